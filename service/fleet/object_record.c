#include "service/fleet/object_record.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/object_key.h"
#include "service/spec/candidate.h"
#include "service/spec/json_writer.h"
#include "service/spec/spec_json.h"

#define POINTER_MAX 160 /* of a secret: "/proxy/users/255/password" */

const char *object_record_explain(enum object_record_error error)
{
	switch (error) {
	case OBJECT_RECORD_OK: break;
	case OBJECT_RECORD_INVALID: return "its record in etcd is not one that this version can read";
	case OBJECT_RECORD_SEALED: return "its record in etcd is sealed with a key that is not in --fleet-key-file here";
	case OBJECT_RECORD_FORGED: return "its record in etcd is forged: no node of this fleet has written it as it is";
	case OBJECT_RECORD_TOO_LARGE: return "it is larger than a record in etcd can be (1 MB)";
	case OBJECT_RECORD_NO_MEMORY: return "out of memory";
	}
	return "";
}

/* ---- Places ---- */

bool object_record_place(struct fleet_key *key, enum spec_kind kind, const char *id, const struct placement_spec *placement)
{
	struct fleet_class class = { .node = "" };
	*key = (struct fleet_key){ .kind = FLEET_KEY_OBJECT, .is_pool = kind == SPEC_POOL };
	snprintf(key->name, sizeof(key->name), "%s", id);
	if (placement != NULL) {
		memcpy(class.node, placement->node, sizeof(class.node));
		class.labels = placement->labels;
		class.label_count = placement->label_count;
	}
	key->shard = fleet_class_shard_of(&class, id);
	return fleet_class_write(&class, key->class);
}

/* OBJECT_RECORD_OK: the spec is of that place. */
static int check_place(const struct fleet_key *key, const json_t *spec)
{
	struct candidate candidate;
	struct json_reader reader;
	struct fleet_key place;
	candidate_init(&candidate, key->is_pool ? SPEC_POOL : SPEC_TUNNEL);
	json_reader_init(&reader, "", &candidate.problem);
	candidate_read_placement(&candidate, &reader, spec);
	bool lacks_memory = candidate.problem.code == PROBLEM_OUT_OF_RESOURCES;
	bool is_here = candidate.problem.code == PROBLEM_NONE &&
	               object_record_place(&place, candidate.spec.kind, key->name, candidate.spec.placement) && place.shard == key->shard &&
	               strcmp(place.class, key->class) == 0;
	candidate_clear(&candidate);
	return is_here ? OBJECT_RECORD_OK : lacks_memory ? OBJECT_RECORD_NO_MEMORY : OBJECT_RECORD_INVALID;
}

/* ---- Sealing ---- */

struct sealing {
	const struct fleet_keyring *ring;
	char object[OBJECT_KEY_SIZE];
	uint64_t version;
	struct json_writer writer;
	json_t *sealed; /* {POINTER: TEXT} */
};

static void seal(struct sealing *sealing, const char *pointer, const json_t *secret)
{
	char text[FLEET_SEALED_TEXT];
	const struct fleet_seal_place place = { .object = sealing->object, .member = pointer, .version = sealing->version };
	assert(json_is_string(secret));
	int error = fleet_seal(sealing->ring, &place, json_string_value(secret), json_string_length(secret), text);
	json_writer_set(&sealing->writer, sealing->sealed, pointer, error == FLEET_SEAL_OK ? json_string(text) : NULL);
}

static void seal_missing(struct sealing *sealing, const char *pointer, const json_t *whole, const json_t *shown);

static void seal_member(struct sealing *sealing, const char *pointer, const char *name, const json_t *whole, const json_t *shown)
{
	char inner[POINTER_MAX];
	int length = snprintf(inner, sizeof(inner), "%s/%s", pointer, name);
	assert(length < (int)sizeof(inner)); /* a label's key is the longest name */
	if (shown == NULL)
		seal(sealing, inner, whole);
	else
		seal_missing(sealing, inner, whole, shown);
}

/* Whatever the whole has and the shown one has not. */
static void seal_missing(struct sealing *sealing, const char *pointer, const json_t *whole, const json_t *shown)
{
	json_t *walked = (json_t *)(uintptr_t)whole, *value;
	const char *name;
	size_t index;
	char number[24];
	if (json_is_object(whole)) {
		json_object_foreach (walked, name, value)
			seal_member(sealing, pointer, name, value, json_object_get(shown, name));
	} else if (json_is_array(whole)) {
		json_array_foreach (walked, index, value) {
			snprintf(number, sizeof(number), "%zu", index);
			seal_member(sealing, pointer, number, value, json_array_get(shown, index));
		}
	}
}

/* ---- Opening ---- */

static int error_of_seal(int error)
{
	return error == FLEET_SEAL_OK ? OBJECT_RECORD_OK : error == FLEET_SEAL_UNKNOWN_KEY ? OBJECT_RECORD_SEALED : OBJECT_RECORD_FORGED;
}

/* The object or array that has the pointer's last name, which comes back in `name`; NULL: there is none. */
static json_t *holder_of(json_t *spec, const char *pointer, char name[POINTER_MAX])
{
	char text[POINTER_MAX];
	json_t *holder = spec;
	if (*pointer != '/' || strlen(pointer) >= sizeof(text))
		return NULL;
	snprintf(text, sizeof(text), "%s", pointer + 1);
	char *rest = text;
	for (char *part = strsep(&rest, "/"); rest != NULL; part = strsep(&rest, "/"))
		holder = json_is_array(holder) ? json_array_get(holder, strtoul(part, NULL, 10)) : json_object_get(holder, part);
	snprintf(name, POINTER_MAX, "%s", strrchr(pointer, '/') + 1);
	return json_is_object(holder) ? holder : NULL;
}

static int open_one(const struct sealing *sealing, json_t *spec, const char *pointer, const json_t *sealed)
{
	uint8_t secret[FLEET_SECRET_MAX];
	char name[POINTER_MAX];
	size_t length;
	const struct fleet_seal_place place = { .object = sealing->object, .member = pointer, .version = sealing->version };
	json_t *holder = holder_of(spec, pointer, name);
	if (holder == NULL || !json_is_string(sealed))
		return OBJECT_RECORD_INVALID;
	int opened = fleet_seal_open(sealing->ring, &place, json_string_value(sealed), secret, &length);
	if (opened != FLEET_SEAL_OK)
		return error_of_seal(opened);
	json_t *value = json_stringn((const char *)secret, length);
	sodium_memzero(secret, sizeof(secret));
	return value != NULL && json_object_set_new(holder, name, value) == 0 ? OBJECT_RECORD_OK : OBJECT_RECORD_NO_MEMORY;
}

static int open_all(const struct sealing *sealing, json_t *spec, json_t *sealed)
{
	const char *pointer;
	json_t *text;
	json_object_foreach (sealed, pointer, text) {
		int error = open_one(sealing, spec, pointer, text);
		if (error != OBJECT_RECORD_OK)
			return error;
	}
	return OBJECT_RECORD_OK;
}

/* ---- Records ---- */

static int64_t number_in(const json_t *value, const char *member)
{
	return json_integer_value(json_object_get(value, member));
}

static bool read_stamp(struct operation_stamp *stamp, const json_t *value)
{
	*stamp = (struct operation_stamp){ .generation = (uint64_t)number_in(value, "generation"),
		                           .created_at = number_in(value, "created_at"),
		                           .updated_at = number_in(value, "updated_at") };
	return number_in(value, "generation") > 0 && stamp->created_at > 0 && stamp->updated_at >= stamp->created_at;
}

static int read_value(struct object_record *record, struct sealing *sealing, const struct fleet_key *key, json_t *value)
{
	struct json_writer writer = { .failed = false };
	json_t *labels = json_object_get(value, "labels"), *spec = json_object_get(value, "spec"), *sealed = json_object_get(value, "sealed");
	const char *former = json_string_value(json_object_get(value, "former"));
	if (!json_is_object(labels) || !json_is_object(spec) || !json_is_object(sealed) || !read_stamp(&record->stamp, value))
		return OBJECT_RECORD_INVALID;
	int error = check_place(key, spec);
	if (error != OBJECT_RECORD_OK)
		return error;
	sealing->version = (uint64_t)record->stamp.updated_at;
	error = open_all(sealing, spec, sealed);
	if (error != OBJECT_RECORD_OK)
		return error;
	record->document = json_object();
	json_writer_set(&writer, record->document, "labels", json_incref(labels));
	json_writer_set(&writer, record->document, "spec", json_incref(spec));
	record->document = json_writer_end(&writer, record->document);
	if (former != NULL)
		record->former = strdup(former);
	if (former != NULL && record->former == NULL)
		return OBJECT_RECORD_NO_MEMORY;
	return record->document == NULL ? OBJECT_RECORD_NO_MEMORY : OBJECT_RECORD_OK;
}

int object_record_read(struct object_record *record, const struct fleet_keyring *ring, const struct fleet_kv *kv)
{
	struct sealing sealing = { .ring = ring };
	struct fleet_key key;
	json_error_t where;
	bool lacks_memory = false;
	*record = (struct object_record){ .document = NULL };
	fleet_key_read(&key, kv->key);
	if (key.kind != FLEET_KEY_OBJECT || kv->length > OBJECT_RECORD_MOST)
		return OBJECT_RECORD_INVALID;
	object_key_make(sealing.object, key.is_pool ? SPEC_POOL : SPEC_TUNNEL, key.name);
	int error = error_of_seal(fleet_seal_check_record(ring, sealing.object, kv->value, kv->length));
	if (error != OBJECT_RECORD_OK)
		return error;
	json_t *value = json_reader_load(kv->value, kv->length, &where, &lacks_memory);
	error = lacks_memory ? OBJECT_RECORD_NO_MEMORY : value == NULL ? OBJECT_RECORD_INVALID : read_value(record, &sealing, &key, value);
	json_decref(value);
	if (error != OBJECT_RECORD_OK)
		object_record_clear(record);
	else
		record->stamp.revision = (uint64_t)kv->revision;
	return error;
}

void object_record_clear(struct object_record *record)
{
	json_decref(record->document);
	free(record->former);
	*record = (struct object_record){ .document = NULL };
}

static json_t *value_of(struct sealing *sealing, const struct snapshot *snapshot)
{
	json_t *whole = spec_to_json(&snapshot->spec, true), *shown = spec_to_json(&snapshot->spec, false), *value = json_object();
	sealing->writer.failed |= whole == NULL || shown == NULL;
	sealing->sealed = json_object();
	/* Without the shown one all would be missing. */
	if (whole != NULL && shown != NULL)
		seal_missing(sealing, "", whole, shown);
	json_writer_set(&sealing->writer, value, "labels", labels_to_json(snapshot->labels, snapshot->label_count));
	json_writer_set(&sealing->writer, value, "spec", shown);
	json_writer_set(&sealing->writer, value, "sealed", sealing->sealed);
	json_writer_set(&sealing->writer, value, "generation", json_integer((json_int_t)snapshot->generation));
	json_writer_set(&sealing->writer, value, "created_at", json_integer(snapshot->created_at));
	json_writer_set(&sealing->writer, value, "updated_at", json_integer(snapshot->updated_at));
	if (snapshot->former != NULL)
		json_writer_set(&sealing->writer, value, "former", json_string(snapshot->former));
	json_decref(whole);
	return json_writer_end(&sealing->writer, value);
}

int object_record_write(char **text, const struct fleet_keyring *ring, const struct snapshot *snapshot)
{
	struct sealing sealing = { .ring = ring, .version = (uint64_t)snapshot->updated_at };
	object_key_make(sealing.object, snapshot->spec.kind, snapshot->id);
	json_t *value = value_of(&sealing, snapshot);
	char *plain = json_writer_text(value);
	*text = NULL;
	if (plain != NULL)
		fleet_seal_record(ring, sealing.object, plain, text);
	json_decref(value);
	free(plain);
	if (*text == NULL)
		return OBJECT_RECORD_NO_MEMORY;
	if (strlen(*text) <= OBJECT_RECORD_MOST)
		return OBJECT_RECORD_OK;
	free(*text);
	*text = NULL;
	return OBJECT_RECORD_TOO_LARGE;
}
