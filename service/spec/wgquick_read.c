/* A wg-quick file to the document of a create or put: the keys of wg(8) and wg-quick(8), their case ignored, as those read them. What
 * they take is taken: wg removes every blank from its keys and values, wg-quick separates its lists by blanks and commas. */
#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ipc/key.h"
#include "ipc/network.h"
#include "ipc/place.h"
#include "service/spec/json_writer.h"
#include "service/spec/wgquick.h"

#define LINE_MAX_SIZE 65536
#define BLANKS " \t\n\v\f\r"

enum section { SECTION_NONE, SECTION_INTERFACE, SECTION_PEER };

struct reading {
	struct problem *problem;
	struct json_writer writer;
	json_t *warnings;
	json_t *interface;
	json_t *peers;
	json_t *peer; /* the last of peers, or NULL */
	json_t *peers_by_key;
	enum section section;
	size_t line;
	size_t peer_line;         /* where the last [Peer] began */
	bool keeps_preshared_key; /* the last [Peer] has the comment about it */
	bool has_interface;
};

static void fault(struct reading *reading, const char *code, const char *detail)
{
	char pointer[32];
	snprintf(pointer, sizeof(pointer), "/line/%zu", reading->line);
	problem_add(reading->problem, pointer, code, "%s", detail);
}

static void warn(struct reading *reading, const char *code, const char *detail)
{
	json_writer_add(&reading->writer, reading->warnings,
	                json_pack("{s:I, s:s, s:s}", "line", (json_int_t)reading->line, "code", code, "detail", detail));
}

/* Trims white space around it, in place. */
static char *trim(char *text)
{
	text += strspn(text, BLANKS);
	char *end = text + strlen(text);
	while (end > text && strchr(BLANKS, end[-1]) != NULL)
		*--end = '\0';
	return text;
}

/* Removes all the space in it, in place. */
static char *squeeze(char *text)
{
	char *end = text;
	for (const char *c = text; *c != '\0'; c++)
		if (strchr(BLANKS, *c) == NULL)
			*end++ = *c;
	*end = '\0';
	return text;
}

/* Skips leading zeros. */
static const char *significant(const char *digits)
{
	size_t zeros = strspn(digits, "0");
	return digits + zeros - (zeros > 0 && digits[zeros] == '\0');
}

#define OUT_OF_RANGE (-1)
#define NOT_A_NUMBER (-2)

/* Or one of the two above. */
static long parse_number(const char *text, long most)
{
	const char *digits = significant(text);
	size_t length = strspn(digits, "0123456789");
	if (*text == '\0' || digits[length] != '\0')
		return NOT_A_NUMBER;
	long number = length <= 9 ? strtol(text, NULL, 10) : OUT_OF_RANGE;
	return number <= most ? number : OUT_OF_RANGE;
}

/* A number, or the name of a UDP service (services(5)). */
static long parse_port(const char *text)
{
	struct servent entry, *found = NULL;
	char names[1024];
	long port = parse_number(text, 65535);
	if (port >= 0 || getservbyname_r(text, "udp", &entry, names, sizeof(names), &found) != 0 || found == NULL)
		return port;
	return ntohs((uint16_t)found->s_port);
}

static void set_number(struct reading *reading, json_t *object, const char *member, long number)
{
	if (number == NOT_A_NUMBER)
		fault(reading, "invalid_value", "This is not a number.");
	else if (number < 0)
		fault(reading, "out_of_range", "This number is out of range for the key.");
	else
		json_writer_set(&reading->writer, object, member, json_integer(number));
}

static void read_key(struct reading *reading, json_t *object, const char *member, const char *value)
{
	struct wireguard_key key;
	if (!key_parse(value, &key))
		fault(reading, "invalid_key", "A key must be 32 bytes in base64: 44 characters, the last one =.");
	else
		json_writer_set(&reading->writer, object, member, json_string(value));
	memset(&key, 0, sizeof(key));
}

static json_t *list_of(struct reading *reading, json_t *object, const char *member)
{
	if (json_object_get(object, member) == NULL)
		json_writer_set(&reading->writer, object, member, json_array());
	return json_object_get(object, member);
}

static bool has_network(const json_t *list, const struct wireguard_network *network)
{
	struct wireguard_network known;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (network_parse(json_string_value(json_array_get(list, i)), true, &known) && known.family == network->family &&
		    memcmp(known.bytes, network->bytes, sizeof(known.bytes)) == 0)
			return true;
	return false;
}

static void add_address(struct reading *reading, json_t *list, const char *entry)
{
	struct wireguard_network network;
	bool is_address = network_parse(entry, true, &network);
	if (is_address && has_network(list, &network))
		warn(reading, "duplicate", "This address is listed twice; its first prefix length is used.");
	else if (is_address)
		json_writer_add(&reading->writer, list, json_string(entry));
	else
		fault(reading, "invalid_address", network_fault(entry));
}

/* wg-quick takes digits with dots, and what has a colon, for addresses, and all else for search domains. */
static void add_dns(struct reading *reading, json_t *list, const char *entry)
{
	struct wireguard_network network;
	bool is_address = network_parse_address(entry, &network);
	if (!is_address && strchr(entry, ':') == NULL && strspn(entry, "0123456789.") < strlen(entry))
		warn(reading, "dns_search_domain", "A DNS search domain has no meaning for a proxy; it is ignored.");
	else if (!is_address)
		fault(reading, "invalid_address", "This must be the IP address of a DNS server.");
	else if (!network_is_host(&network))
		warn(reading, "dns_not_inside", "This DNS server cannot be inside the tunnel; it is ignored.");
	else if (json_array_size(list) == SPEC_DNS_MAX)
		warn(reading, "dns_too_many", "A tunnel can have at most 8 DNS servers; this one is ignored.");
	else
		json_writer_add(&reading->writer, list, json_string(entry));
}

/* Separated by blanks and commas, and again on each further line. */
static void read_list(struct reading *reading, const char *member, char *value, void (*add)(struct reading *reading, json_t *list, const char *entry))
{
	json_t *list = list_of(reading, reading->interface, member);
	char *rest = value;
	for (char *entry = strsep(&rest, "," BLANKS); entry != NULL; entry = strsep(&rest, "," BLANKS))
		if (*entry != '\0')
			add(reading, list, entry);
}

static void add_network(struct reading *reading, json_t *list, char *entry)
{
	struct wireguard_network network;
	char *slash = strchr(entry, '/');
	if (slash != NULL) {
		const char *prefix = significant(slash + 1);
		memmove(slash + 1, prefix, strlen(prefix) + 1);
	}
	if (network_parse(entry, false, &network))
		json_writer_add(&reading->writer, list, json_string(entry));
	else
		fault(reading, "invalid_network", network_fault(entry));
}

/* Separated by commas, with no comma at the end. Empty: none. */
static void read_allowed_ips(struct reading *reading, char *value)
{
	json_t *list = list_of(reading, reading->peer, "allowed_ips");
	char *rest = *value == '\0' ? NULL : value;
	for (char *entry = strsep(&rest, ","); entry != NULL; entry = strsep(&rest, ","))
		add_network(reading, list, entry);
}

/* IPv4 addresses in all the forms that wg takes, such as 192.000.002.001 (inet_aton(3)). */
static const char *format_host(const char *host, char text[INET_ADDRSTRLEN])
{
	struct in_addr address;
	return inet_aton(host, &address) != 0 && inet_ntop(AF_INET, &address, text, INET_ADDRSTRLEN) != NULL ? text : host;
}

/* [HOST]:PORT or HOST:PORT, the last colon before the port: wg wants no brackets around an IPv6 address, and takes them around any. */
static bool format_endpoint(char *value, char *text, size_t size)
{
	bool is_bracketed = value[0] == '[';
	char *host = value + is_bracketed, *end = is_bracketed ? strchr(value, ']') : strrchr(value, ':');
	if (end == NULL || (is_bracketed && end[1] != ':'))
		return false;
	long port = parse_port(end + 1 + is_bracketed);
	*end = '\0';
	char address[INET_ADDRSTRLEN];
	int length = snprintf(text, size, strchr(host, ':') != NULL ? "[%s]:%ld" : "%s:%ld", format_host(host, address), port);
	return port > 0 && length > 0 && (size_t)length < size;
}

static void read_endpoint(struct reading *reading, char *value)
{
	struct spec_place place = { .kind = SPEC_PLACE_NONE };
	char text[320], detail[400], why[PLACE_FAULT_SIZE];
	if (*value == '\0')
		return;
	bool is_bare = value[0] != '[' && strchr(value, ':') != strrchr(value, ':');
	place_fault(value, true, why);
	if (!format_endpoint(value, text, sizeof(text)) || !place_parse(text, &place) || place.kind != SPEC_PLACE_INET)
		fault(reading, "invalid_address", why);
	else
		json_writer_set(&reading->writer, reading->peer, "endpoint", json_string(text));
	if (place.kind == SPEC_PLACE_INET && is_bare) {
		snprintf(detail, sizeof(detail), "An IPv6 address without brackets: this endpoint is read as %s.", text);
		warn(reading, "bare_ipv6_endpoint", detail);
	}
	place_clear(&place);
}

static bool is_without_meaning(struct reading *reading, const char *key)
{
	static const char *const names[] = { "PreUp", "PostUp", "PreDown", "PostDown", "Table", "SaveConfig", "FwMark" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(key, names[i]) != 0)
			continue;
		char detail[96];
		snprintf(detail, sizeof(detail), "%s has no meaning for a tunnel without a network interface; it is ignored.", names[i]);
		warn(reading, "ignored_key", detail);
		return true;
	}
	return false;
}

/* wg-quick takes an empty MTU for none; wg refuses empty numbers, and nothing else can be meant by one. */
static void read_number(struct reading *reading, json_t *object, const char *member, const char *value, long number)
{
	if (*value != '\0')
		set_number(reading, object, member, number);
}

/* A long or odd key is not repeated: it may be a secret in the wrong place. */
static void unknown_key(struct reading *reading, const char *key, const char *section)
{
	char detail[96];
	bool is_shown = strlen(key) <= 32 && strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == strlen(key);
	snprintf(detail, sizeof(detail), "Unknown key%s%s in [%s].", is_shown ? " " : "", is_shown ? key : "", section);
	fault(reading, "unknown_member", detail);
}

static void read_interface_key(struct reading *reading, const char *key, char *value)
{
	if (strcasecmp(key, "PrivateKey") == 0)
		read_key(reading, reading->interface, "private_key", squeeze(value));
	else if (strcasecmp(key, "Address") == 0)
		read_list(reading, "addresses", value, add_address);
	else if (strcasecmp(key, "DNS") == 0)
		read_list(reading, "dns", value, add_dns);
	else if (strcasecmp(key, "MTU") == 0)
		read_number(reading, reading->interface, "mtu", value, parse_number(value, 9000));
	else if (strcasecmp(key, "ListenPort") == 0)
		read_number(reading, reading->interface, "listen_port", value, parse_port(squeeze(value)));
	else if (!is_without_meaning(reading, key))
		unknown_key(reading, key, "Interface");
}

static void read_peer_key(struct reading *reading, const char *key, char *value)
{
	(void)squeeze(value);
	if (strcasecmp(key, "PublicKey") == 0)
		read_key(reading, reading->peer, "public_key", value);
	else if (strcasecmp(key, "PresharedKey") == 0)
		read_key(reading, reading->peer, "preshared_key", value);
	else if (strcasecmp(key, "AllowedIPs") == 0)
		read_allowed_ips(reading, value);
	else if (strcasecmp(key, "Endpoint") == 0)
		read_endpoint(reading, value);
	else if (strcasecmp(key, "PersistentKeepalive") == 0)
		read_number(reading, reading->peer, "persistent_keepalive", value, strcasecmp(value, "off") == 0 ? 0 : parse_number(value, 65535));
	else
		unknown_key(reading, key, "Peer");
}

/* The later section takes precedence, in what it has; allowed IPs are joined. */
static void merge_peer(struct reading *reading, json_t *first, json_t *second)
{
	const char *member;
	json_t *value;
	json_object_foreach (second, member, value) {
		if (strcmp(member, "allowed_ips") == 0)
			reading->writer.failed |= json_array_extend(list_of(reading, first, member), value) != 0;
		else if (!json_is_null(value))
			json_writer_set(&reading->writer, first, member, json_incref(value));
	}
	warn(reading, "merged_peer", "Another [Peer] has this key; they are merged into one peer with the AllowedIPs of both.");
	(void)json_array_remove(reading->peers, json_array_size(reading->peers) - 1);
}

static void finish_peer(struct reading *reading)
{
	const char *key = json_string_value(json_object_get(reading->peer, "public_key"));
	json_t *first = key != NULL ? json_object_get(reading->peers_by_key, key) : NULL;
	/* No PresharedKey: there is none, as wg setconf has it. Unless the file comes from us, without its secrets. */
	if (json_object_get(reading->peer, "preshared_key") == NULL && !reading->keeps_preshared_key)
		json_writer_set(&reading->writer, reading->peer, "preshared_key", json_null());
	/* A malformed key already has its own fault; one more for the section does no harm. */
	if (key == NULL)
		fault(reading, "required", "A peer needs its PublicKey.");
	else if (first != NULL)
		merge_peer(reading, first, reading->peer);
	else
		json_writer_set(&reading->writer, reading->peers_by_key, key, json_incref(reading->peer));
}

static void end_peer(struct reading *reading)
{
	size_t line = reading->line;
	if (reading->peer == NULL)
		return;
	reading->line = reading->peer_line;
	finish_peer(reading);
	reading->line = line;
	reading->peer = NULL;
}

static void read_section(struct reading *reading, const char *name)
{
	end_peer(reading);
	if (strcasecmp(name, "[Interface]") == 0) {
		reading->section = SECTION_INTERFACE;
		reading->has_interface = true;
	} else if (strcasecmp(name, "[Peer]") == 0) {
		reading->section = SECTION_PEER;
		reading->peer_line = reading->line;
		reading->keeps_preshared_key = false;
		reading->peer = json_object();
		json_writer_add(&reading->writer, reading->peers, reading->peer);
		if (reading->writer.failed)
			reading->peer = NULL;
	} else {
		reading->section = SECTION_NONE;
		fault(reading, "unknown_section", "A section must be [Interface] or [Peer].");
	}
}

static void read_line(struct reading *reading, char *line)
{
	char *comment = strchr(line, '#');
	if (comment != NULL && strncmp(comment, WGQUICK_PRESHARED_KEY_LEFT_OUT, strlen(WGQUICK_PRESHARED_KEY_LEFT_OUT)) == 0)
		reading->keeps_preshared_key = true;
	if (comment != NULL)
		*comment = '\0';
	line = trim(line);
	if (*line == '\0')
		return;
	if (*line == '[') {
		read_section(reading, squeeze(line));
		return;
	}
	char *equals = strchr(line, '=');
	if (equals == NULL) {
		fault(reading, "invalid_value", "A line must be Key = Value, a [Section] or a comment.");
		return;
	}
	*equals = '\0';
	const char *key = squeeze(line);
	char *value = trim(equals + 1);
	switch (reading->section) {
	case SECTION_NONE: fault(reading, "unknown_member", "This key is outside any section."); break;
	case SECTION_INTERFACE: read_interface_key(reading, key, value); break;
	case SECTION_PEER: read_peer_key(reading, key, value); break;
	}
}

static void read_lines(struct reading *reading, const char *text, size_t length)
{
	while (length > 0) {
		const char *newline = memchr(text, '\n', length);
		size_t size = newline == NULL ? length : (size_t)(newline - text);
		reading->line++;
		bool is_line = size < LINE_MAX_SIZE && memchr(text, '\0', size) == NULL;
		char *line = is_line ? strndup(text, size) : NULL;
		reading->writer.failed |= is_line && line == NULL;
		if (line != NULL)
			read_line(reading, line);
		else if (!is_line)
			fault(reading, "invalid_value", "A line must have fewer than 65536 bytes and no NUL.");
		if (line != NULL)
			explicit_bzero(line, size);
		free(line);
		size += newline != NULL;
		text += size;
		length -= size;
	}
	end_peer(reading);
}

/* What spoils a whole file is one fault, not one for each line. */
static const char *whole_fault(const char *text, size_t length)
{
	if (length == 0)
		return "The body is empty.";
	if (length >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0 || text[0] == '\0' || text[1] == '\0'))
		return "The file is not UTF-8 but UTF-16; save it as UTF-8.";
	if (memchr(text, '\n', length) == NULL && memchr(text, ']', length) != NULL && memchr(text, '=', length) != NULL)
		return "The file has no line breaks: curl -d removes them; send it with --data-binary.";
	return NULL;
}

static void read_file(struct reading *reading, const char *text, size_t length)
{
	const char *spoiled = whole_fault(text, length);
	if (spoiled == NULL) {
		read_lines(reading, text, length);
		return;
	}
	reading->line = 1;
	fault(reading, "invalid_value", spoiled);
}

json_t *wgquick_to_document(const char *text, size_t length, json_t **warnings, struct problem *problem)
{
	struct reading reading = {
		.problem = problem, .warnings = json_array(), .interface = json_object(), .peers = json_array(), .peers_by_key = json_object()
	};
	json_t *document = json_pack("{s:{s:o, s:o}}", "spec", "interface", reading.interface, "peers", reading.peers);
	*warnings = reading.warnings;
	if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3, length -= 3;
	if (document == NULL || reading.warnings == NULL || reading.peers_by_key == NULL)
		problem_set(problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	else
		read_file(&reading, text, length);
	json_decref(reading.peers_by_key);
	if (reading.writer.failed)
		problem_set(problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	if (problem->code == PROBLEM_NONE && !reading.has_interface) {
		reading.line = 1;
		fault(&reading, "required", "There is no [Interface] section.");
	}
	if (problem->code == PROBLEM_NONE)
		return document;
	json_decref(document);
	return NULL;
}
