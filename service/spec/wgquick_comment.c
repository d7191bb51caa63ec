#include "service/spec/wgquick_comment.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ipc/obfuscation.h"
#include "ipc/place.h"
#include "ipc/utf8.h"
#include "service/spec/json_reader.h"
#include "service/spec/wgquick_value.h"

struct reading {
	struct wgquick_comment *result;
	struct json_writer *writer;
	json_t *document, *spec, *interface;
};

static void fault(struct reading *reading, const char *code, const char *detail)
{
	reading->result->code = code;
	reading->result->detail = detail;
}

static void note(struct reading *reading, const char *pointer)
{
	snprintf(reading->result->pointer, sizeof(reading->result->pointer), "%s", pointer);
}

/* The object's member, made if it is missing. */
static json_t *member(struct reading *reading, json_t *object, const char *name, json_t *(*make)(void))
{
	if (json_object_get(object, name) == NULL)
		json_writer_set(reading->writer, object, name, make());
	return json_object_get(object, name);
}

/* Takes the element. */
static void add_to_proxy(struct reading *reading, const char *name, json_t *element)
{
	json_t *list = member(reading, member(reading, reading->spec, "proxy", json_object), name, json_array);
	json_writer_add(reading->writer, list, element);
	char pointer[64];
	snprintf(pointer, sizeof(pointer), "/spec/proxy/%s/%zu", name, json_array_size(list) - 1);
	note(reading, pointer);
}

/* P1: a tunnel that is meant to go through another must not leave from the host because the id is missing; an empty one is refused. */
static void read_via(struct reading *reading, char *value)
{
	if (json_object_get(reading->interface, "via") != NULL)
		fault(reading, "duplicate", "A tunnel goes through one other tunnel, and the file has a via already.");
	else
		json_writer_set(reading->writer, reading->interface, "via", json_string(value));
	note(reading, "/spec/interface/via");
}

/* AmneziaWG has keys. */
static void read_obfuscation(struct reading *reading, char *value)
{
	if (strcmp(value, obfuscation_type_name(OBFUSCATION_LWO)) != 0)
		fault(reading, "invalid_value", "The obfuscation must be lwo; for AmneziaWG the file has keys, such as Jc and H1.");
	else if (json_object_get(reading->interface, "obfuscation") != NULL)
		fault(reading, "conflict", "The file has an obfuscation already: another comment, or keys of AmneziaWG.");
	else
		json_writer_set(reading->writer, reading->interface, "obfuscation", json_pack("{s:s}", "type", value));
	note(reading, "/spec/interface/obfuscation");
}

static void read_listen(struct reading *reading, char *value)
{
	add_to_proxy(reading, "listen", json_string(value));
}

/* In place: NAME:PASSWORD; a name has no colon (RFC 7617, 2). Or the user in JSON, where that would not hold it. */
static void read_user(struct reading *reading, char *value)
{
	json_t *whole = *value == '{' ? json_loads(value, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (json_object_get(whole, "username") != NULL) {
		add_to_proxy(reading, "users", whole);
		return;
	}
	json_decref(whole);
	char *colon = strchr(value, ':');
	if (colon == NULL) {
		add_to_proxy(reading, "users", json_pack("{s:s}", "username", value));
		return;
	}
	*colon = '\0';
	add_to_proxy(reading, "users", json_pack("{s:s, s:s}", "username", value, "password", colon + 1));
}

/* In place: KEY=VALUE. */
static void read_label(struct reading *reading, char *value)
{
	char *equals = strchr(value, '=');
	if (equals == NULL) {
		fault(reading, "invalid_value", "A label must be KEY=VALUE.");
		return;
	}
	*equals = '\0';
	struct json_reader place;
	json_reader_init(&place, "/labels", NULL);
	(void)json_reader_enter(&place, value);
	note(reading, place.pointer);
	json_t *labels = member(reading, reading->document, "labels", json_object);
	if (json_object_get(labels, value) != NULL)
		fault(reading, "duplicate", "This label is given twice.");
	else
		json_writer_set(reading->writer, labels, value, json_string(equals + 1));
}

static bool is_utf8(const char *text)
{
	size_t left = strlen(text), length = 1;
	for (; left > 0 && length > 0; text += length, left -= length)
		length = utf8_length(text, left);
	return length > 0;
}

const char *wgquick_comment_find(const char *comment)
{
	static const char word[] = "warren";
	comment += 1 + strspn(comment + 1, WGQUICK_BLANKS);
	if (strncasecmp(comment, word, strlen(word)) != 0)
		return NULL;
	comment += strlen(word);
	comment += strspn(comment, WGQUICK_BLANKS);
	return *comment == ':' ? comment + 1 : NULL;
}

static const struct {
	const char *name;
	void (*read)(struct reading *reading, char *value);
} members[] = { { "via", read_via }, { "obfuscation", read_obfuscation }, { "listen", read_listen }, { "user", read_user }, { "label", read_label } };

void wgquick_comment_read(struct wgquick_comment *result, char *text, json_t *document, struct json_writer *writer)
{
	json_t *spec = json_object_get(document, "spec");
	struct reading reading = { result, writer, document, spec, json_object_get(spec, "interface") };
	*result = (struct wgquick_comment){ .code = NULL };
	char *equals = strchr(text, '=');
	char *value = equals == NULL ? text + strlen(text) : wgquick_trim(equals + 1);
	if (equals != NULL)
		*equals = '\0';
	const char *name = wgquick_trim(text);
	if (!is_utf8(name) || !is_utf8(value)) {
		fault(&reading, "invalid_value", "This comment must be UTF-8.");
		return;
	}
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (strcmp(name, members[i].name) == 0) {
			members[i].read(&reading, value);
			return;
		}
	fault(&reading, "unknown_member",
	      "A line \"" WGQUICK_COMMENT_MARK "\" must be listen = ADDRESS:PORT, user = NAME:PASSWORD, label = KEY=VALUE, via = TUNNEL or "
	      "obfuscation = lwo.");
}

/* Blanks at the ends of what is read are cut. */
static bool ends_with_blank(const char *text)
{
	size_t length = strlen(text);
	return length > 0 && text[length - 1] == ' ';
}

/* Whether NAME:PASSWORD, or the name alone, is read as it was. A name that begins like JSON is none. */
static bool is_exact(const struct spec_user *user, bool secrets)
{
	return strchr(" {", user->username[0]) == NULL && !ends_with_blank(secrets ? user->password : user->username);
}

/* P8: a user that came back under another name, or not at all, could open a port to others. False when out of memory. */
static bool write_user(FILE *file, const struct spec_user *user, bool secrets)
{
	if (is_exact(user, secrets)) {
		fprintf(file, WGQUICK_COMMENT_MARK " user = %s%s%s\n", user->username, secrets ? ":" : "", secrets ? user->password : "");
		return true;
	}
	json_t *json = json_pack("{s:s, s:s*}", "username", user->username, "password", secrets ? user->password : NULL);
	char *text = json_writer_text(json);
	if (text != NULL)
		fprintf(file, WGQUICK_COMMENT_MARK " user = %s\n", text);
	json_decref(json);
	bool is_whole = text != NULL;
	free(text);
	return is_whole;
}

/* Any free loopback port is what a file without listeners gets. */
static bool has_default_listener(const struct spec *spec)
{
	const struct spec_place *place = &spec->listen[0];
	return spec->listen_count == 1 && place->kind == SPEC_PLACE_INET && place->port == 0 && strcmp(place->host, "127.0.0.1") == 0;
}

/* P2: a label with another value is another label, which may be that of a token. */
static void write_label(FILE *file, const struct spec_label *label)
{
	if (ends_with_blank(label->value))
		fprintf(file, "# Label %s is left out: its value ends with a blank\n", label->key);
	else
		fprintf(file, WGQUICK_COMMENT_MARK " label = %s=%s\n", label->key, label->value);
}

/* False when out of memory. */
static bool write_listeners(FILE *file, const struct spec *spec)
{
	bool is_whole = true;
	for (size_t i = 0; i < spec->listen_count && is_whole; i++) {
		char *place = place_format(&spec->listen[i]);
		is_whole = place != NULL;
		if (is_whole)
			fprintf(file, WGQUICK_COMMENT_MARK " listen = %s\n", place);
		free(place);
	}
	return is_whole;
}

bool wgquick_comment_write(FILE *file, const struct spec *spec, const struct spec_label *labels, size_t label_count, bool secrets)
{
	if (spec->via != NULL)
		fprintf(file, WGQUICK_COMMENT_MARK " via = %s\n", spec->via);
	if (spec->obfuscation != NULL && spec->obfuscation->type == OBFUSCATION_LWO)
		fprintf(file, WGQUICK_COMMENT_MARK " obfuscation = %s\n", obfuscation_type_name(OBFUSCATION_LWO));
	bool is_whole = true;
	for (size_t i = 0; i < spec->user_count; i++)
		is_whole &= write_user(file, &spec->users[i], secrets);
	for (size_t i = 0; i < label_count; i++)
		write_label(file, &labels[i]);
	return is_whole && (has_default_listener(spec) || write_listeners(file, spec));
}
