#include "service/spec/wgquick_value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ipc/key.h"
#include "ipc/network.h"
#include "ipc/place.h"
#include "ipc/signature.h"
#include "ipc/spec.h"

void wgquick_fault(struct wgquick_reading *reading, const char *code, const char *detail)
{
	char pointer[32];
	bool has_key = reading->key != NULL;
	snprintf(pointer, sizeof(pointer), "/line/%zu", reading->line);
	problem_add(reading->problem, pointer, code, "%s%s%s", has_key ? reading->key : "", has_key ? ": " : "", detail);
}

void wgquick_warn(struct wgquick_reading *reading, const char *code, const char *detail)
{
	json_writer_add(&reading->writer, reading->warnings,
	                json_pack("{s:I, s:s, s:s}", "line", (json_int_t)reading->line, "code", code, "detail", detail));
}

char *wgquick_trim(char *text)
{
	text += strspn(text, WGQUICK_BLANKS);
	char *end = text + strlen(text);
	while (end > text && strchr(WGQUICK_BLANKS, end[-1]) != NULL)
		*--end = '\0';
	return text;
}

char *wgquick_squeeze(char *text)
{
	char *end = text;
	for (const char *c = text; *c != '\0'; c++)
		if (strchr(WGQUICK_BLANKS, *c) == NULL)
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

/* At most `most`; otherwise one of the two above. */
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

static void set_number(struct wgquick_reading *reading, json_t *object, const char *member, long number, long most)
{
	char detail[64];
	snprintf(detail, sizeof(detail), "This must be a number from 0 to %ld.", most);
	if (number < 0)
		wgquick_fault(reading, number == NOT_A_NUMBER ? "invalid_value" : "out_of_range", detail);
	else
		json_writer_set(&reading->writer, object, member, json_integer(number));
}

void wgquick_value_key(struct wgquick_reading *reading, json_t *object, const char *member, char *value)
{
	struct wireguard_key key;
	if (!key_parse(wgquick_squeeze(value), &key))
		wgquick_fault(reading, "invalid_key", "A key must be 32 bytes in base64: 44 characters, the last one =.");
	else
		json_writer_set(&reading->writer, object, member, json_string(value));
	memset(&key, 0, sizeof(key));
}

json_t *wgquick_value_list(struct wgquick_reading *reading, json_t *object, const char *member)
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

static void add_address(struct wgquick_reading *reading, json_t *list, const char *entry)
{
	struct wireguard_network network;
	bool is_address = network_parse(entry, true, &network);
	if (is_address && has_network(list, &network))
		wgquick_warn(reading, "duplicate", "This address is listed twice; its first prefix length is used.");
	else if (is_address)
		json_writer_add(&reading->writer, list, json_string(entry));
	else
		wgquick_fault(reading, "invalid_address", network_fault(entry));
}

/* wg-quick takes digits with dots, and what has a colon, for addresses, and all else for search domains. */
static void add_dns(struct wgquick_reading *reading, json_t *list, const char *entry)
{
	struct wireguard_network network;
	bool is_address = network_parse_address(entry, &network);
	if (!is_address && strchr(entry, ':') == NULL && strspn(entry, "0123456789.") < strlen(entry))
		wgquick_warn(reading, "dns_search_domain", "A DNS search domain has no meaning for a proxy; it is ignored.");
	else if (!is_address)
		wgquick_fault(reading, "invalid_address", "This must be the IP address of a DNS server.");
	else if (!network_is_host(&network))
		wgquick_warn(reading, "dns_not_inside", "This DNS server cannot be inside the tunnel; it is ignored.");
	else if (json_array_size(list) == SPEC_DNS_MAX)
		wgquick_warn(reading, "dns_too_many", "A tunnel can have at most 8 DNS servers; this one is ignored.");
	else
		json_writer_add(&reading->writer, list, json_string(entry));
}

/* Separated by blanks and commas, and again on each further line. */
static void read_list(struct wgquick_reading *reading, json_t *list, char *value,
                      void (*add)(struct wgquick_reading *reading, json_t *list, const char *entry))
{
	char *rest = value;
	for (char *entry = strsep(&rest, "," WGQUICK_BLANKS); entry != NULL; entry = strsep(&rest, "," WGQUICK_BLANKS))
		if (*entry != '\0')
			add(reading, list, entry);
}

void wgquick_value_addresses(struct wgquick_reading *reading, json_t *object, const char *member, char *value)
{
	read_list(reading, wgquick_value_list(reading, object, member), value, add_address);
}

void wgquick_value_dns(struct wgquick_reading *reading, json_t *object, const char *member, char *value)
{
	read_list(reading, wgquick_value_list(reading, object, member), value, add_dns);
}

static void add_network(struct wgquick_reading *reading, json_t *list, char *entry)
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
		wgquick_fault(reading, "invalid_network", network_fault(entry));
}

/* Separated by commas, with no comma at the end. Empty: none. */
void wgquick_value_allowed_ips(struct wgquick_reading *reading, json_t *object, const char *member, char *value)
{
	json_t *list = wgquick_value_list(reading, object, member);
	char *rest = *wgquick_squeeze(value) == '\0' ? NULL : value;
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

void wgquick_value_endpoint(struct wgquick_reading *reading, json_t *object, const char *member, char *value)
{
	struct spec_place place = { .kind = SPEC_PLACE_NONE };
	char text[320], detail[400], why[PLACE_FAULT_SIZE];
	if (*wgquick_squeeze(value) == '\0')
		return;
	bool is_bare = value[0] != '[' && strchr(value, ':') != strrchr(value, ':');
	place_fault(value, true, why);
	errno = 0;
	bool is_place = format_endpoint(value, text, sizeof(text)) && place_parse(text, &place);
	if (!is_place && errno == ENOMEM)
		reading->writer.failed = true;
	else if (!is_place || place.kind != SPEC_PLACE_INET)
		wgquick_fault(reading, "invalid_address", why);
	else
		json_writer_set(&reading->writer, object, member, json_string(text));
	if (place.kind == SPEC_PLACE_INET && is_bare) {
		snprintf(detail, sizeof(detail), "An IPv6 address without brackets: this endpoint is read as %s.", text);
		wgquick_warn(reading, "bare_ipv6_endpoint", detail);
	}
	place_clear(&place);
}

/* wg-quick takes an empty MTU for none; wg refuses empty numbers, and nothing else can be meant by one. */
static void read_number(struct wgquick_reading *reading, json_t *object, const char *member, const char *value, long most)
{
	if (*value != '\0')
		set_number(reading, object, member, parse_number(value, most), most);
}

void wgquick_value_mtu(struct wgquick_reading *reading, json_t *object, const char *member, char *value)
{
	read_number(reading, object, member, value, 9000);
}

void wgquick_value_port(struct wgquick_reading *reading, json_t *object, const char *member, char *value)
{
	if (*wgquick_squeeze(value) != '\0')
		set_number(reading, object, member, parse_port(value), 65535);
}

static void read_range(struct wgquick_reading *reading, json_t *object, const char *member, const char *text, uint32_t most)
{
	struct obfuscation_range range;
	char detail[96];
	snprintf(detail, sizeof(detail), "This must be a number, or a range such as 5-10, from 0 to %u.", most);
	if (!obfuscation_range_parse(text, most, &range))
		wgquick_fault(reading, "invalid_range", detail);
	else
		json_writer_set(&reading->writer, object, member, json_string(text));
}

static void read_signature(struct wgquick_reading *reading, json_t *object, const char *member, const char *text)
{
	int length = signature_length(text);
	if (length < 0)
		wgquick_fault(reading, "invalid_signature", signature_error_text((enum signature_error)length));
	else
		json_writer_set(&reading->writer, object, member, json_string(text));
}

/* on, off, 1 or 0, as awg takes them. */
static void read_switch(struct wgquick_reading *reading, json_t *object, const char *member, const char *text)
{
	bool is_on = strcasecmp(text, "on") == 0 || strcmp(text, "1") == 0;
	if (!is_on && strcasecmp(text, "off") != 0 && strcmp(text, "0") != 0)
		wgquick_fault(reading, "invalid_value", "This must be on or off.");
	else
		json_writer_set(&reading->writer, object, member, json_boolean(is_on));
}

void wgquick_value_obfuscation(struct wgquick_reading *reading, json_t *object, const struct obfuscation_field *field, char *value)
{
	long most = (long)field->most;
	switch (field->value) {
	case OBFUSCATION_NUMBER: set_number(reading, object, field->member, parse_number(wgquick_squeeze(value), most), most); break;
	case OBFUSCATION_RANGE: read_range(reading, object, field->member, wgquick_squeeze(value), field->most); break;
	case OBFUSCATION_TEXT: read_signature(reading, object, field->member, value); break;
	case OBFUSCATION_KEY: wgquick_value_key(reading, object, field->member, value); break;
	case OBFUSCATION_SWITCH: read_switch(reading, object, field->member, wgquick_squeeze(value)); break;
	}
}

/* As sing-box writes them, [35,74,190], they may stand in brackets. */
static char *without_brackets(char *text)
{
	size_t length = strlen(text);
	if (length < 2 || text[0] != '[' || text[length - 1] != ']')
		return text;
	text[length - 1] = '\0';
	return text + 1;
}

/* Three numbers, or base64 of three bytes, which is what a registration with WARP tells. */
static bool parse_reserved(char *text, long bytes[3])
{
	uint8_t decoded[3];
	size_t length, count = 0;
	if (sodium_base642bin(decoded, sizeof(decoded), text, strlen(text), NULL, &length, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
	    length == 3) {
		for (; count < 3; count++)
			bytes[count] = decoded[count];
		return true;
	}
	char *rest = without_brackets(text);
	for (; count < 3 && rest != NULL; count++) {
		bytes[count] = parse_number(strsep(&rest, ","), 255);
		if (bytes[count] < 0)
			return false;
	}
	return count == 3 && rest == NULL;
}

void wgquick_value_reserved(struct wgquick_reading *reading, json_t *object, const char *member, char *value)
{
	long bytes[3];
	if (!parse_reserved(wgquick_squeeze(value), bytes)) {
		wgquick_fault(reading, "invalid_value",
		              "This must be three numbers from 0 to 255, with commas between them, or three bytes in base64.");
		return;
	}
	json_t *list = json_array();
	for (size_t i = 0; i < 3; i++)
		json_writer_add(&reading->writer, list, json_integer(bytes[i]));
	json_writer_set(&reading->writer, object, member, list);
}

void wgquick_value_keepalive(struct wgquick_reading *reading, json_t *object, const char *member, char *value)
{
	if (strchr(wgquick_squeeze(value), '-') != NULL)
		read_range(reading, object, member, value, 65535);
	else
		read_number(reading, object, member, strcasecmp(value, "off") == 0 ? "0" : value, 65535);
}
