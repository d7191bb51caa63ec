/* A wg-quick file to the document of a create or put: its lines, sections and keys, their case ignored, as wg(8) and wg-quick(8) read them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ipc/obfuscation.h"
#include "service/spec/wgquick.h"
#include "service/spec/wgquick_comment.h"
#include "service/spec/wgquick_value.h"

#define LINE_MAX_SIZE 65536

#define INTERFACE "/spec/interface"
#define OBFUSCATION INTERFACE "/obfuscation"
#define PEERS "/spec/peers"

enum section { SECTION_NONE, SECTION_INTERFACE, SECTION_PEER };

struct reading {
	struct wgquick_reading at;
	json_t *lines;
	json_t *document;
	json_t *interface;
	json_t *peers;
	json_t *peer; /* the last of peers, or NULL */
	json_t *peers_by_key;
	enum section section;
	size_t peer_line;         /* where the last [Peer] began */
	bool keeps_preshared_key; /* the last [Peer] has the comment about it */
	bool keeps_header_key;    /* [Interface] has the comment about it */
	bool has_interface;
	bool has_unknown_section;
	bool has_conflict; /* it has two obfuscations: neither is judged */
};

/* The line has said what is at this place of the document. */
static void note_place(struct reading *reading, const char *pointer)
{
	json_writer_set(&reading->at.writer, reading->lines, pointer, json_integer((json_int_t)reading->at.line));
}

static bool is_without_meaning(struct reading *reading, const char *key)
{
	static const char *const names[] = { "PreUp", "PostUp", "PreDown", "PostDown", "Table", "SaveConfig", "FwMark" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(key, names[i]) != 0)
			continue;
		char detail[96];
		snprintf(detail, sizeof(detail), "%s has no meaning for a tunnel without a network interface; it is ignored.", names[i]);
		wgquick_warn(&reading->at, "ignored_key", detail);
		return true;
	}
	return false;
}

/* A long or odd key is not repeated: it may be a secret in the wrong place. */
static void unknown_key(struct reading *reading, const char *key, const char *section)
{
	char detail[96];
	bool is_shown = strlen(key) <= 32 && strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") == strlen(key);
	snprintf(detail, sizeof(detail), "Unknown key%s%s in [%s].", is_shown ? " " : "", is_shown ? key : "", section);
	wgquick_fault(&reading->at, "unknown_member", detail);
}

static bool is_amneziawg(const json_t *obfuscation)
{
	const char *type = json_string_value(json_object_get(obfuscation, "type"));
	return type != NULL && strcmp(type, obfuscation_type_name(OBFUSCATION_AMNEZIAWG)) == 0;
}

static json_t *amneziawg(struct reading *reading)
{
	json_t *object = json_object_get(reading->interface, "obfuscation");
	if (object == NULL) {
		note_place(reading, OBFUSCATION);
		json_writer_set(&reading->at.writer, reading->interface, "obfuscation", json_pack("{s:s}", "type", "amneziawg"));
	}
	return json_object_get(reading->interface, "obfuscation");
}

/* Whether it is one of AmneziaWG's keys. An empty value is none, as the Amnezia app writes it. */
static bool read_obfuscation_key(struct reading *reading, const char *key, char *value)
{
	char pointer[96];
	for (size_t i = 0; i < obfuscation_field_count; i++) {
		const struct obfuscation_field *field = &obfuscation_fields[i];
		if (strcasecmp(key, field->key) != 0)
			continue;
		reading->at.key = field->key;
		json_t *object = amneziawg(reading);
		snprintf(pointer, sizeof(pointer), OBFUSCATION "/%s", field->member);
		note_place(reading, pointer);
		reading->has_conflict |= !is_amneziawg(object);
		if (!is_amneziawg(object))
			wgquick_fault(&reading->at, "conflict", "The file has the obfuscation lwo already, which has no keys.");
		else if (*value != '\0')
			wgquick_value_obfuscation(&reading->at, object, field, value);
		return true;
	}
	return false;
}

/* No key: there is none, unless the file comes from us, without its secrets. */
static void finish_obfuscation(struct reading *reading)
{
	json_t *object = json_object_get(reading->interface, "obfuscation");
	const char *member = "header_protection_key";
	if (reading->has_conflict)
		(void)json_object_del(reading->interface, "obfuscation");
	else if (is_amneziawg(object) && json_object_get(object, member) == NULL && !reading->keeps_header_key)
		json_writer_set(&reading->at.writer, object, member, json_null());
}

struct key {
	const char *name, *member;
	void (*read)(struct wgquick_reading *reading, json_t *object, const char *member, char *value);
};

static const struct key interface_keys[] = {
	{ "PrivateKey", "private_key", wgquick_value_key },
	{ "Address", "addresses", wgquick_value_addresses },
	{ "DNS", "dns", wgquick_value_dns },
	{ "MTU", "mtu", wgquick_value_mtu },
	{ "ListenPort", "listen_port", wgquick_value_port },
	{ NULL, NULL, NULL },
};

static const struct key peer_keys[] = {
	{ "PublicKey", "public_key", wgquick_value_key },
	{ "PresharedKey", "preshared_key", wgquick_value_key },
	{ "AllowedIPs", "allowed_ips", wgquick_value_allowed_ips },
	{ "Endpoint", "endpoint", wgquick_value_endpoint },
	{ "PersistentKeepalive", "persistent_keepalive", wgquick_value_keepalive },
	{ "Reserved", "reserved", wgquick_value_reserved },
	{ NULL, NULL, NULL },
};

#define PEERS_NOTED 64 /* of further ones only the section's line is kept, to save memory */

/* Whether it is one of `keys`, whose members are those of the object at `pointer`. */
static bool read_one_of(struct reading *reading, const struct key *keys, json_t *object, const char *pointer, const char *key, char *value)
{
	char place[96];
	while (keys->name != NULL && strcasecmp(key, keys->name) != 0)
		keys++;
	if (keys->name == NULL)
		return false;
	reading->at.key = keys->name;
	snprintf(place, sizeof(place), "%s/%s", pointer, keys->member);
	if (json_array_size(reading->peers) <= PEERS_NOTED)
		note_place(reading, place);
	keys->read(&reading->at, object, keys->member, value);
	return true;
}

static void read_interface_key(struct reading *reading, const char *key, char *value)
{
	if (!read_one_of(reading, interface_keys, reading->interface, INTERFACE, key, value) && !read_obfuscation_key(reading, key, value) &&
	    !is_without_meaning(reading, key))
		unknown_key(reading, key, "Interface");
}

static void read_peer_key(struct reading *reading, const char *key, char *value)
{
	char pointer[48];
	snprintf(pointer, sizeof(pointer), PEERS "/%zu", json_array_size(reading->peers) - 1);
	if (!read_one_of(reading, peer_keys, reading->peer, pointer, key, value))
		unknown_key(reading, key, "Peer");
}

/* The later section takes precedence, in what it has; allowed IPs are joined. */
static void merge_peer(struct reading *reading, json_t *first, json_t *second)
{
	const char *member;
	json_t *value;
	json_object_foreach (second, member, value) {
		if (strcmp(member, "allowed_ips") == 0)
			reading->at.writer.failed |= json_array_extend(wgquick_value_list(&reading->at, first, member), value) != 0;
		else if (!json_is_null(value))
			json_writer_set(&reading->at.writer, first, member, json_incref(value));
	}
	wgquick_warn(&reading->at, "merged_peer", "Another [Peer] has this key; they are merged into one peer with the AllowedIPs of both.");
	(void)json_array_remove(reading->peers, json_array_size(reading->peers) - 1);
}

static void finish_peer(struct reading *reading)
{
	const char *key = json_string_value(json_object_get(reading->peer, "public_key"));
	json_t *first = key != NULL ? json_object_get(reading->peers_by_key, key) : NULL;
	/* No PresharedKey: there is none, as wg setconf has it. Unless the file comes from us, without its secrets. */
	if (json_object_get(reading->peer, "preshared_key") == NULL && !reading->keeps_preshared_key)
		json_writer_set(&reading->at.writer, reading->peer, "preshared_key", json_null());
	/* A malformed key already has its own fault; one more for the section does no harm. */
	if (key == NULL)
		wgquick_fault(&reading->at, "required", "A peer needs its PublicKey.");
	else if (first != NULL)
		merge_peer(reading, first, reading->peer);
	else
		json_writer_set(&reading->at.writer, reading->peers_by_key, key, json_incref(reading->peer));
}

static void end_peer(struct reading *reading)
{
	size_t line = reading->at.line;
	if (reading->peer == NULL)
		return;
	reading->at.line = reading->peer_line;
	finish_peer(reading);
	reading->at.line = line;
	reading->peer = NULL;
}

static void begin_peer(struct reading *reading)
{
	char pointer[48];
	reading->section = SECTION_PEER;
	reading->peer_line = reading->at.line;
	reading->keeps_preshared_key = false;
	reading->peer = json_object();
	json_writer_add(&reading->at.writer, reading->peers, reading->peer);
	if (reading->at.writer.failed)
		reading->peer = NULL;
	snprintf(pointer, sizeof(pointer), PEERS "/%zu", json_array_size(reading->peers) - 1);
	note_place(reading, pointer);
}

static void read_section(struct reading *reading, const char *name)
{
	end_peer(reading);
	if (strcasecmp(name, "[Interface]") == 0) {
		reading->section = SECTION_INTERFACE;
		reading->has_interface = true;
		note_place(reading, INTERFACE);
	} else if (strcasecmp(name, "[Peer]") == 0) {
		begin_peer(reading);
	} else {
		reading->section = SECTION_NONE;
		reading->has_unknown_section = true;
		wgquick_fault(&reading->at, "unknown_section", "A section must be [Interface] or [Peer].");
	}
}

/* P2, P1: one that cannot be taken is a fault: its author means users, or an outer tunnel. */
static void read_comment(struct reading *reading, char *text, bool is_alone)
{
	struct wgquick_comment comment;
	char *said = text + (wgquick_comment_find(text) - text);
	wgquick_comment_read(&comment, said, reading->document, &reading->at.writer);
	if (!is_alone)
		wgquick_fault(&reading->at, "invalid_value", "A comment \"" WGQUICK_COMMENT_MARK "\" must be on a line of its own.");
	else if (comment.detail != NULL)
		wgquick_fault(&reading->at, comment.code, comment.detail);
	else
		note_place(reading, comment.pointer);
	reading->has_conflict |= comment.code != NULL && strcmp(comment.code, "conflict") == 0;
}

/* Cuts the line's comment off. */
static void take_comment(struct reading *reading, char *line)
{
	char *comment = strchr(line, '#');
	if (comment == NULL)
		return;
	reading->keeps_preshared_key |= strncmp(comment, WGQUICK_PRESHARED_KEY_LEFT_OUT, strlen(WGQUICK_PRESHARED_KEY_LEFT_OUT)) == 0;
	reading->keeps_header_key |= strncmp(comment, WGQUICK_HEADER_KEY_LEFT_OUT, strlen(WGQUICK_HEADER_KEY_LEFT_OUT)) == 0;
	if (wgquick_comment_find(comment) != NULL)
		read_comment(reading, comment, strspn(line, WGQUICK_BLANKS) == (size_t)(comment - line));
	*comment = '\0';
}

static void read_line(struct reading *reading, char *line)
{
	reading->at.key = NULL;
	take_comment(reading, line);
	line = wgquick_trim(line);
	if (*line == '\0')
		return;
	if (*line == '[') {
		read_section(reading, wgquick_squeeze(line));
		return;
	}
	char *equals = strchr(line, '=');
	if (equals == NULL) {
		wgquick_fault(&reading->at, "invalid_value", "A line must be Key = Value, a [Section] or a comment.");
		return;
	}
	*equals = '\0';
	const char *key = wgquick_squeeze(line);
	char *value = wgquick_trim(equals + 1);
	switch (reading->section) {
	case SECTION_NONE: wgquick_fault(&reading->at, "unknown_member", "This key is outside any section."); break;
	case SECTION_INTERFACE: read_interface_key(reading, key, value); break;
	case SECTION_PEER: read_peer_key(reading, key, value); break;
	}
}

/* Up to a line that memory was missing for: what follows would seem to be wrong without it. */
static void read_lines(struct reading *reading, const char *text, size_t length)
{
	while (length > 0 && !reading->at.writer.failed) {
		const char *newline = memchr(text, '\n', length);
		size_t size = newline == NULL ? length : (size_t)(newline - text);
		reading->at.line++;
		bool is_line = size < LINE_MAX_SIZE && memchr(text, '\0', size) == NULL;
		char *line = is_line ? strndup(text, size) : NULL;
		reading->at.writer.failed |= is_line && line == NULL;
		if (line != NULL)
			read_line(reading, line);
		else if (!is_line)
			wgquick_fault(&reading->at, "invalid_value", "A line must have fewer than 65536 bytes and no NUL.");
		if (line != NULL)
			explicit_bzero(line, size);
		free(line);
		size += newline != NULL;
		text += size;
		length -= size;
	}
	reading->at.key = NULL;
	end_peer(reading);
	finish_obfuscation(reading);
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
	if (spoiled == NULL)
		read_lines(reading, text, length);
	reading->at.line = 1;
	if (spoiled != NULL)
		wgquick_fault(&reading->at, "invalid_value", spoiled);
	else if (!reading->has_interface && !reading->has_unknown_section && !reading->at.writer.failed)
		wgquick_fault(&reading->at, "required", "There is no [Interface] section.");
}

json_t *wgquick_to_document(const char *text, size_t length, json_t **warnings, json_t **lines, struct problem *problem)
{
	struct reading reading = { .at = { .problem = problem, .warnings = json_array() },
		                   .lines = json_object(),
		                   .interface = json_object(),
		                   .peers = json_array(),
		                   .peers_by_key = json_object() };
	json_t *document = json_pack("{s:{s:o, s:o}}", "spec", "interface", reading.interface, "peers", reading.peers);
	reading.document = document;
	*warnings = reading.at.warnings;
	*lines = reading.lines;
	if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3, length -= 3;
	if (document == NULL || reading.at.warnings == NULL || reading.lines == NULL || reading.peers_by_key == NULL)
		problem_out_of_memory(problem);
	else
		read_file(&reading, text, length);
	json_decref(reading.peers_by_key);
	if (reading.at.writer.failed)
		problem_out_of_memory(problem);
	if (reading.has_interface && problem->code != PROBLEM_OUT_OF_RESOURCES)
		return document;
	json_decref(document);
	return NULL;
}

/* What a file's key is called; NULL: there is none for this place of the document. */
static const char *key_of(const char *pointer)
{
	const char *member = strrchr(pointer, '/');
	bool is_peers = strncmp(pointer, PEERS "/", strlen(PEERS "/")) == 0;
	if (strncmp(pointer, OBFUSCATION "/", strlen(OBFUSCATION "/")) == 0) {
		for (size_t i = 0; i < obfuscation_field_count; i++)
			if (strcmp(obfuscation_fields[i].member, member + 1) == 0)
				return obfuscation_fields[i].key;
		return NULL;
	}
	if (!is_peers && strncmp(pointer, INTERFACE "/", strlen(INTERFACE "/")) != 0)
		return NULL;
	for (const struct key *key = is_peers ? peer_keys : interface_keys; key->name != NULL; key++)
		if (strcmp(key->member, member + 1) == 0)
			return key->name;
	return NULL;
}

/* The line that has said what is there, else of the nearest around it; 0: none. */
static json_int_t line_of(const json_t *lines, const char *pointer)
{
	char place[512];
	snprintf(place, sizeof(place), "%s", pointer);
	const json_t *line = json_object_get(lines, place);
	for (char *slash; line == NULL && (slash = strrchr(place, '/')) != NULL; line = json_object_get(lines, place))
		*slash = '\0';
	return json_integer_value(line);
}

/* Whether the line has a fault of its own, which its reader has found. */
static bool has_own_fault(const struct problem *problem, json_int_t line)
{
	char place[32];
	snprintf(place, sizeof(place), "/line/%lld", (long long)line);
	for (size_t i = 0; i < problem->fault_count; i++)
		if (strcmp(problem->faults[i].pointer, place) == 0)
			return true;
	return false;
}

/* What is missing because its line cannot be read. A number of a message that cannot be read may overlap another or not. */
static bool follows(const json_t *lines, const struct problem *problem, const struct problem_fault *fault)
{
	static const char *const numbers[] = { OBFUSCATION "/h1", OBFUSCATION "/h2", OBFUSCATION "/h3", OBFUSCATION "/h4" };
	bool it_does = has_own_fault(problem, line_of(lines, fault->pointer));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && strcmp(fault->code, "overlap") == 0; i++)
		it_does |= has_own_fault(problem, json_integer_value(json_object_get(lines, numbers[i])));
	return it_does;
}

static void locate(const json_t *lines, const struct problem_fault *fault, struct problem *located)
{
	const char *key = key_of(fault->pointer);
	char place[32];
	json_int_t line = line_of(lines, fault->pointer);
	snprintf(place, sizeof(place), "/line/%lld", (long long)line);
	problem_add(located, line > 0 ? place : fault->pointer, fault->code, "%s%s%s", key == NULL ? "" : key, key == NULL ? "" : ": ",
	            fault->detail);
}

void wgquick_locate(const json_t *lines, struct problem *problem)
{
	struct problem located;
	problem_init(&located);
	if (lines == NULL || problem->fault_count == 0)
		return;
	for (size_t i = 0; i < problem->fault_count; i++)
		if (!follows(lines, problem, &problem->faults[i]))
			locate(lines, &problem->faults[i], &located);
	memcpy(located.detail, problem->detail, sizeof(located.detail));
	problem_clear(problem);
	*problem = located;
}
