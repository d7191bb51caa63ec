/* A wg-quick file to the document of a create or put: the keys of wg(8) and wg-quick(8), their case ignored, as those read them. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service/service.h"
#include "service/spec_text.h"

#define LINE_MAX_SIZE 65536

enum section { SECTION_NONE, SECTION_INTERFACE, SECTION_PEER };

struct reading {
	struct problem *problem;
	json_t *warnings;
	json_t *interface;
	json_t *peers;
	json_t *peer; /* the last of peers, or NULL */
	enum section section;
	size_t line;
	size_t peer_line; /* where the last [Peer] began */
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
	(void)json_array_append_new(reading->warnings,
	                            json_pack("{s:I, s:s, s:s}", "line", (json_int_t)reading->line, "code", code, "detail", detail));
}

/* Cuts the space around it off, in place. */
static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	char *end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text;
}

static void read_number(struct reading *reading, json_t *object, const char *member, const char *value, long most, bool may_be_off)
{
	size_t length = strspn(value, "0123456789");
	if (may_be_off && strcasecmp(value, "off") == 0) {
		(void)json_object_set_new(object, member, json_integer(0));
		return;
	}
	long number = length > 0 && length <= 9 && value[length] == '\0' ? strtol(value, NULL, 10) : -1;
	if (number < 0 || number > most)
		fault(reading, "out_of_range", "This number is not in the range of the key.");
	else
		(void)json_object_set_new(object, member, json_integer(number));
}

static void read_key(struct reading *reading, json_t *object, const char *member, const char *value)
{
	struct wireguard_key key;
	if (!key_parse(value, &key))
		fault(reading, "invalid_key", "A key is the base64 form of 32 bytes: 44 characters with one = at the end.");
	else
		(void)json_object_set_new(object, member, json_string(value));
	memset(&key, 0, sizeof(key));
}

static json_t *list_of(json_t *object, const char *member)
{
	json_t *list = json_object_get(object, member);
	if (list != NULL)
		return list;
	list = json_array();
	(void)json_object_set_new(object, member, list);
	return list;
}

enum list { LIST_ADDRESS, LIST_DNS, LIST_ALLOWED_IPS };

static void read_entry(struct reading *reading, json_t *list, const char *entry, enum list kind)
{
	struct wireguard_network network;
	if (kind == LIST_DNS && !network_parse_address(entry, &network)) {
		if (name_is_valid(entry))
			warn(reading, "dns_search_domain", "A DNS search domain means nothing to a proxy; it was left out.");
		else
			fault(reading, "invalid_address", "This must be the IP address of a DNS server.");
		return;
	}
	if (kind != LIST_DNS && !network_parse(entry, kind == LIST_ADDRESS, &network)) {
		fault(reading, kind == LIST_ADDRESS ? "invalid_address" : "invalid_network",
		      "This must be an IP address with or without a prefix length.");
		return;
	}
	(void)json_array_append_new(list, json_string(entry));
}

/* Comma separated, and again on each further line. */
static void read_list(struct reading *reading, json_t *object, const char *member, char *value, enum list kind)
{
	json_t *list = list_of(object, member);
	/* An empty AllowedIPs says that there are none. */
	if (*value == '\0' && kind == LIST_ALLOWED_IPS)
		return;
	char *rest = value;
	for (char *entry = strsep(&rest, ","); entry != NULL; entry = strsep(&rest, ","))
		read_entry(reading, list, trim(entry), kind);
}

static void read_endpoint(struct reading *reading, const char *value)
{
	struct spec_place place;
	if (!place_parse(value, &place) || place.kind != SPEC_PLACE_INET || place.port == 0)
		fault(reading, "invalid_address", "An endpoint is HOST:PORT, with an IPv6 address in brackets.");
	else
		(void)json_object_set_new(reading->peer, "endpoint", json_string(value));
	place_clear(&place);
}

static bool is_without_meaning(struct reading *reading, const char *key)
{
	static const char *const names[] = { "PreUp", "PostUp", "PreDown", "PostDown", "Table", "SaveConfig", "FwMark" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(key, names[i]) != 0)
			continue;
		char detail[96];
		snprintf(detail, sizeof(detail), "%s means nothing to a tunnel without an interface; it was left out.", names[i]);
		warn(reading, "ignored_key", detail);
		return true;
	}
	return false;
}

static void read_interface_key(struct reading *reading, const char *key, char *value)
{
	if (strcasecmp(key, "PrivateKey") == 0)
		read_key(reading, reading->interface, "private_key", value);
	else if (strcasecmp(key, "Address") == 0)
		read_list(reading, reading->interface, "addresses", value, LIST_ADDRESS);
	else if (strcasecmp(key, "DNS") == 0)
		read_list(reading, reading->interface, "dns", value, LIST_DNS);
	else if (strcasecmp(key, "MTU") == 0)
		read_number(reading, reading->interface, "mtu", value, 9000, false);
	else if (strcasecmp(key, "ListenPort") == 0)
		read_number(reading, reading->interface, "listen_port", value, 65535, false);
	else if (!is_without_meaning(reading, key))
		fault(reading, "unknown_member", "There is no such key in [Interface].");
}

static void read_peer_key(struct reading *reading, const char *key, char *value)
{
	if (strcasecmp(key, "PublicKey") == 0)
		read_key(reading, reading->peer, "public_key", value);
	else if (strcasecmp(key, "PresharedKey") == 0)
		read_key(reading, reading->peer, "preshared_key", value);
	else if (strcasecmp(key, "AllowedIPs") == 0)
		read_list(reading, reading->peer, "allowed_ips", value, LIST_ALLOWED_IPS);
	else if (strcasecmp(key, "Endpoint") == 0)
		read_endpoint(reading, value);
	else if (strcasecmp(key, "PersistentKeepalive") == 0)
		read_number(reading, reading->peer, "persistent_keepalive", value, 65535, true);
	else
		fault(reading, "unknown_member", "There is no such key in [Peer].");
}

static void end_peer(struct reading *reading)
{
	if (reading->peer == NULL || json_object_get(reading->peer, "public_key") != NULL)
		return;
	size_t line = reading->line;
	reading->line = reading->peer_line;
	/* A key that is there and wrong has a fault of its own already; one more on the section does no harm. */
	fault(reading, "required", "A peer needs its PublicKey.");
	reading->line = line;
}

static void read_section(struct reading *reading, const char *name)
{
	end_peer(reading);
	reading->peer = NULL;
	if (strcasecmp(name, "[Interface]") == 0) {
		reading->section = SECTION_INTERFACE;
		reading->has_interface = true;
	} else if (strcasecmp(name, "[Peer]") == 0) {
		reading->section = SECTION_PEER;
		reading->peer_line = reading->line;
		reading->peer = json_object();
		(void)json_array_append_new(reading->peers, reading->peer);
	} else {
		reading->section = SECTION_NONE;
		fault(reading, "unknown_section", "A section is [Interface] or [Peer].");
	}
}

static void read_line(struct reading *reading, char *line)
{
	char *comment = strchr(line, '#');
	if (comment != NULL)
		*comment = '\0';
	line = trim(line);
	if (*line == '\0')
		return;
	if (*line == '[') {
		read_section(reading, line);
		return;
	}
	char *equals = strchr(line, '=');
	if (equals == NULL) {
		fault(reading, "invalid_value", "A line is Key = Value, a [Section] or a comment.");
		return;
	}
	*equals = '\0';
	const char *key = trim(line);
	char *value = trim(equals + 1);
	switch (reading->section) {
	case SECTION_NONE: fault(reading, "unknown_member", "This key is in no section."); break;
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
		char *line = size < LINE_MAX_SIZE && memchr(text, '\0', size) == NULL ? strndup(text, size) : NULL;
		if (line != NULL)
			read_line(reading, line);
		else
			fault(reading, "invalid_value", "A line has less than 65536 bytes and no NUL.");
		if (line != NULL)
			explicit_bzero(line, size);
		free(line);
		size += newline != NULL;
		text += size;
		length -= size;
	}
	end_peer(reading);
}

static bool is_utf8(const char *text, size_t length)
{
	json_t *string = json_stringn(text, length);
	bool valid = string != NULL;
	json_decref(string);
	return valid;
}

json_t *wgquick_to_document(const char *text, size_t length, json_t **warnings, struct problem *problem)
{
	struct reading reading = { .problem = problem, .warnings = json_array(), .interface = json_object(), .peers = json_array() };
	json_t *document = json_pack("{s:{s:o, s:o}}", "spec", "interface", reading.interface, "peers", reading.peers);
	*warnings = reading.warnings;
	if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3, length -= 3;
	if (document == NULL || reading.warnings == NULL)
		problem_set(problem, PROBLEM_OUT_OF_RESOURCES, "Memory ran out.");
	else if (!is_utf8(text, length))
		problem_set(problem, PROBLEM_INVALID_REQUEST, "The file is not UTF-8 text.");
	else
		read_lines(&reading, text, length);
	if (problem->code == PROBLEM_NONE && !reading.has_interface) {
		reading.line = 1;
		fault(&reading, "required", "There is no [Interface] section.");
	}
	if (problem->code == PROBLEM_NONE)
		return document;
	json_decref(document);
	return NULL;
}
