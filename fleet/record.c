#include "fleet/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/fleet_placement.h"
#include "ipc/object_id.h"
#include "service/spec/json_reader.h"
#include "service/spec/json_writer.h"
#include "service/spec/labels.h"

/* ---- Keys ---- */

static bool take_prefix(const char **text, const char *prefix)
{
	size_t length = strlen(prefix);
	if (strncmp(*text, prefix, length) != 0)
		return false;
	*text += length;
	return true;
}

static bool take_name(const char *text, char name[FLEET_NAME])
{
	if (!object_id_is_valid(text))
		return false;
	memcpy(name, text, strlen(text) + 1);
	return true;
}

/* Letters of both cases, other than in names. */
static bool take_token_id(const char *text, char name[FLEET_NAME])
{
	size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
	if (length == 0 || length >= FLEET_NAME || text[length] != '\0')
		return false;
	memcpy(name, text, length + 1);
	return true;
}

static bool take_id(const char *text, struct fleet_key *key)
{
	key->is_pool = take_prefix(&text, "+");
	return take_name(text, key->name);
}

static bool take_class(const char **text, char class[FLEET_CLASS_TEXT])
{
	size_t length = strcspn(*text, "/");
	if (length == 0 || length >= FLEET_CLASS_TEXT || (*text)[length] != '/')
		return false;
	memcpy(class, *text, length);
	class[length] = '\0';
	*text += length + 1;
	return true;
}

/* Decimal without leading zeros. */
static bool take_shard(const char **text, uint32_t *shard)
{
	size_t digits = strspn(*text, "0123456789");
	if (digits == 0 || digits > 4 || (digits > 1 && **text == '0'))
		return false;
	*shard = (uint32_t)strtoul(*text, NULL, 10);
	*text += digits;
	return *shard < FLEET_CLASS_SHARDS;
}

static bool take_place(const char **text, struct fleet_key *key)
{
	return take_class(text, key->class) && take_shard(text, &key->shard);
}

static enum fleet_key_kind read_key(struct fleet_key *key, const char *text)
{
	if (strcmp(text, "p/leader") == 0)
		return FLEET_KEY_LEADER;
	if (strcmp(text, "p/tokens") == 0)
		return FLEET_KEY_TOKENS;
	if (take_prefix(&text, "p/node/"))
		return take_name(text, key->name) ? FLEET_KEY_NODE : FLEET_KEY_OTHER;
	if (take_prefix(&text, "p/shard/"))
		return take_place(&text, key) && *text == '\0' ? FLEET_KEY_SHARD : FLEET_KEY_OTHER;
	if (take_prefix(&text, "p/changed/"))
		return take_place(&text, key) && *text == '\0' ? FLEET_KEY_CHANGED : FLEET_KEY_OTHER;
	if (take_prefix(&text, "s/"))
		return take_place(&text, key) && *text == '\0' ? FLEET_KEY_STATUS : FLEET_KEY_OTHER;
	if (take_prefix(&text, "t/"))
		return take_place(&text, key) && *text == '/' && take_id(text + 1, key) ? FLEET_KEY_OBJECT : FLEET_KEY_OTHER;
	if (take_prefix(&text, "k/"))
		return take_token_id(text, key->name) ? FLEET_KEY_TOKEN : FLEET_KEY_OTHER;
	if (take_prefix(&text, "id/"))
		return take_id(text, key) ? FLEET_KEY_ID : FLEET_KEY_OTHER;
	return FLEET_KEY_OTHER;
}

void fleet_key_read(struct fleet_key *key, const char *text)
{
	*key = (struct fleet_key){ .kind = FLEET_KEY_OTHER };
	key->kind = read_key(key, text);
}

void fleet_key_write(const struct fleet_key *key, char text[FLEET_KEY_TEXT])
{
	const char *mark = key->is_pool ? "+" : "";
	switch (key->kind) {
	case FLEET_KEY_OTHER: *text = '\0'; break;
	case FLEET_KEY_LEADER: snprintf(text, FLEET_KEY_TEXT, "p/leader"); break;
	case FLEET_KEY_TOKENS: snprintf(text, FLEET_KEY_TEXT, "p/tokens"); break;
	case FLEET_KEY_TOKEN: snprintf(text, FLEET_KEY_TEXT, "k/%s", key->name); break;
	case FLEET_KEY_NODE: snprintf(text, FLEET_KEY_TEXT, "p/node/%s", key->name); break;
	case FLEET_KEY_SHARD: snprintf(text, FLEET_KEY_TEXT, "p/shard/%s/%u", key->class, key->shard); break;
	case FLEET_KEY_CHANGED: snprintf(text, FLEET_KEY_TEXT, "p/changed/%s/%u", key->class, key->shard); break;
	case FLEET_KEY_STATUS: snprintf(text, FLEET_KEY_TEXT, "s/%s/%u", key->class, key->shard); break;
	case FLEET_KEY_OBJECT: snprintf(text, FLEET_KEY_TEXT, "t/%s/%u/%s%s", key->class, key->shard, mark, key->name); break;
	case FLEET_KEY_ID: snprintf(text, FLEET_KEY_TEXT, "id/%s%s", mark, key->name); break;
	}
}

/* ---- Reading values ---- */

/* A cursor with a sticky error. */
struct reading {
	json_t *object; /* owned; NULL: nothing can be read */
	int error;
};

static struct reading open_value(const char *text, size_t length)
{
	struct reading reading = { .error = FLEET_RECORD_INVALID };
	json_error_t error;
	bool lacks_memory = false;
	if (length >= FLEET_VALUE_TEXT)
		return reading;
	reading.object = json_reader_load(text, length, &error, &lacks_memory);
	if (lacks_memory)
		reading.error = FLEET_RECORD_NO_MEMORY;
	else if (json_is_object(reading.object))
		reading.error = FLEET_RECORD_OK;
	return reading;
}

static int close_value(struct reading *reading)
{
	json_decref(reading->object);
	return reading->error;
}

static uint64_t read_number(struct reading *reading, const char *member, uint64_t most)
{
	const json_t *value = json_object_get(reading->object, member);
	if (value == NULL)
		return 0;
	json_int_t number = json_integer_value(value);
	if (json_is_integer(value) && number >= 0 && (uint64_t)number <= most)
		return (uint64_t)number;
	if (reading->error == FLEET_RECORD_OK)
		reading->error = FLEET_RECORD_INVALID;
	return 0;
}

static bool read_flag(struct reading *reading, const char *member)
{
	const json_t *value = json_object_get(reading->object, member);
	if (value != NULL && !json_is_boolean(value) && reading->error == FLEET_RECORD_OK)
		reading->error = FLEET_RECORD_INVALID;
	return json_is_true(value);
}

/* Printable, shorter than `size`. */
static void read_text(struct reading *reading, const char *member, char *text, size_t size)
{
	const json_t *value = json_object_get(reading->object, member);
	const char *found = json_string_value(value);
	*text = '\0';
	if (value == NULL)
		return;
	bool is_valid = found != NULL && strlen(found) < size;
	for (const char *c = found; is_valid && *c != '\0'; c++)
		is_valid = (unsigned char)*c >= 0x20 && *c != 0x7f;
	if (is_valid)
		memcpy(text, found, strlen(found) + 1);
	else if (reading->error == FLEET_RECORD_OK)
		reading->error = FLEET_RECORD_INVALID;
}

/* "" or a valid name. */
static void read_name(struct reading *reading, const char *member, char name[FLEET_NAME])
{
	read_text(reading, member, name, FLEET_NAME);
	if (*name != '\0' && !object_id_is_valid(name) && reading->error == FLEET_RECORD_OK)
		reading->error = FLEET_RECORD_INVALID;
}

static void read_labels(struct reading *reading, struct spec_label **labels, size_t *count)
{
	struct problem problem;
	struct json_reader reader;
	if (reading->error != FLEET_RECORD_OK)
		return;
	problem_init(&problem);
	json_reader_init(&reader, "", &problem);
	*count = labels_read(&reader, reading->object, labels);
	if (problem.code == PROBLEM_OUT_OF_RESOURCES)
		reading->error = FLEET_RECORD_NO_MEMORY;
	else if (problem.code != PROBLEM_NONE)
		reading->error = FLEET_RECORD_INVALID;
	problem_clear(&problem);
}

int fleet_heartbeat_read(struct fleet_heartbeat *heartbeat, const char *text, size_t length)
{
	struct reading reading = open_value(text, length);
	*heartbeat = (struct fleet_heartbeat){
		.t = read_number(&reading, "t", FLEET_TIME_MAX),
		.applied = (int64_t)read_number(&reading, "a", INT64_MAX),
		.settled = (int64_t)read_number(&reading, "c", INT64_MAX),
		.wall = read_number(&reading, "wall", FLEET_TIME_MAX),
		.told = read_number(&reading, "told", FLEET_TIME_MAX),
		.drain = read_flag(&reading, "drain"),
		.bye = read_flag(&reading, "bye"),
		.capacity = (uint32_t)read_number(&reading, "capacity", FLEET_CAPACITY_MAX),
	};
	read_name(&reading, "boot", heartbeat->boot);
	read_text(&reading, "address", heartbeat->address, sizeof(heartbeat->address));
	read_text(&reading, "version", heartbeat->version, sizeof(heartbeat->version));
	read_labels(&reading, &heartbeat->labels, &heartbeat->label_count);
	if (close_value(&reading) != FLEET_RECORD_OK)
		fleet_heartbeat_clear(heartbeat);
	return reading.error;
}

void fleet_heartbeat_clear(struct fleet_heartbeat *heartbeat)
{
	spec_labels_free(heartbeat->labels, heartbeat->label_count);
	*heartbeat = (struct fleet_heartbeat){ .t = 0 };
}

int fleet_owner_read(struct fleet_owner *owner, const char *text, size_t length)
{
	struct reading reading = open_value(text, length);
	*owner = (struct fleet_owner){ .ts_floor = read_number(&reading, "ts_floor", FLEET_TIME_MAX) };
	read_name(&reading, "n", owner->node);
	read_name(&reading, "f", owner->from);
	if (close_value(&reading) != FLEET_RECORD_OK)
		*owner = (struct fleet_owner){ .ts_floor = 0 };
	return reading.error;
}

int fleet_leader_read(char name[FLEET_NAME], const char *text, size_t length)
{
	struct reading reading = open_value(text, length);
	read_name(&reading, "n", name);
	if (close_value(&reading) != FLEET_RECORD_OK)
		*name = '\0';
	return reading.error;
}

int fleet_count_read(uint32_t *count, const char *text, size_t length)
{
	struct reading reading = open_value(text, length);
	*count = (uint32_t)read_number(&reading, "count", FLEET_WEIGHT_MAX);
	return close_value(&reading);
}

int fleet_id_read(char class[FLEET_CLASS_TEXT], const char *text, size_t length)
{
	struct reading reading = open_value(text, length);
	read_text(&reading, "class", class, FLEET_CLASS_TEXT);
	if (close_value(&reading) != FLEET_RECORD_OK)
		*class = '\0';
	return reading.error;
}

/* ---- Writing values ---- */

/* Takes `document`. */
static int write_value(const struct json_writer *writer, json_t *document, char text[FLEET_VALUE_TEXT])
{
	json_t *whole = json_writer_end(writer, document);
	char *written = json_writer_text(whole);
	int error = FLEET_RECORD_NO_MEMORY;
	json_decref(whole);
	if (written != NULL)
		error = strlen(written) < FLEET_VALUE_TEXT ? FLEET_RECORD_OK : FLEET_RECORD_INVALID;
	if (error == FLEET_RECORD_OK)
		memcpy(text, written, strlen(written) + 1);
	free(written);
	return error;
}

int fleet_heartbeat_write(const struct fleet_heartbeat *heartbeat, char text[FLEET_VALUE_TEXT])
{
	struct json_writer writer = { .failed = false };
	json_t *object = json_object();
	json_writer_set(&writer, object, "t", json_integer((json_int_t)heartbeat->t));
	json_writer_set(&writer, object, "a", json_integer(heartbeat->applied));
	json_writer_set(&writer, object, "c", json_integer(heartbeat->settled));
	json_writer_set(&writer, object, "wall", json_integer((json_int_t)heartbeat->wall));
	json_writer_set(&writer, object, "told", json_integer((json_int_t)heartbeat->told));
	json_writer_set(&writer, object, "boot", json_string(heartbeat->boot));
	json_writer_set(&writer, object, "drain", json_boolean(heartbeat->drain));
	json_writer_set(&writer, object, "bye", json_boolean(heartbeat->bye));
	json_writer_set(&writer, object, "capacity", json_integer(heartbeat->capacity));
	json_writer_set(&writer, object, "labels", labels_to_json(heartbeat->labels, heartbeat->label_count));
	json_writer_set(&writer, object, "address", json_string(heartbeat->address));
	json_writer_set(&writer, object, "version", json_string(heartbeat->version));
	return write_value(&writer, object, text);
}

int fleet_owner_write(const struct fleet_owner *owner, char text[FLEET_VALUE_TEXT])
{
	struct json_writer writer = { .failed = false };
	json_t *object = json_object();
	json_writer_set(&writer, object, "n", json_string(owner->node));
	json_writer_set(&writer, object, "f", json_string(owner->from));
	json_writer_set(&writer, object, "ts_floor", json_integer((json_int_t)owner->ts_floor));
	return write_value(&writer, object, text);
}

/* An object with one member, which is taken. */
static int write_member(const char *member, json_t *value, char text[FLEET_VALUE_TEXT])
{
	struct json_writer writer = { .failed = false };
	json_t *object = json_object();
	json_writer_set(&writer, object, member, value);
	return write_value(&writer, object, text);
}

int fleet_leader_write(const char *name, char text[FLEET_VALUE_TEXT])
{
	return write_member("n", json_string(name), text);
}

int fleet_count_write(uint32_t count, char text[FLEET_VALUE_TEXT])
{
	return write_member("count", json_integer(count), text);
}

int fleet_id_write(const char *class, char text[FLEET_VALUE_TEXT])
{
	return write_member("class", json_string(class), text);
}
