#include "fleet/etcd/etcd_answer.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/etcd_body.h"
#include "service/spec/json_reader.h"

/* gRPC's codes, as etcd uses them. */
enum grpc_code {
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_NOT_FOUND = 5,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNAVAILABLE = 14,
	GRPC_UNAUTHENTICATED = 16
};

/* int64 are strings in etcd's JSON, and small numbers are not. What is none is 0. */
static int64_t number_in(const json_t *object, const char *member)
{
	const json_t *value = json_object_get(object, member);
	const char *text = json_string_value(value);
	if (text == NULL)
		return json_integer_value(value);
	char *end;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' ? number : 0;
}

static uint64_t unsigned_in(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));
	char *end;
	if (text == NULL)
		return 0;
	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' ? number : 0;
}

static bool says(const char *message, const char *part)
{
	return message != NULL && strstr(message, part) != NULL;
}

/* The texts are etcd's, of all versions from 3.4 on: one code stands for several errors. */
static int error_of(int64_t code, const char *message)
{
	switch (code) {
	case GRPC_INVALID_ARGUMENT:
		if (says(message, "user name is empty") || says(message, "revision of auth store is old"))
			return ETCD_NO_LOGIN;
		return says(message, "authentication failed") ? ETCD_DENIED : ETCD_REFUSED;
	case GRPC_NOT_FOUND: return says(message, "lease not found") ? ETCD_NOT_FOUND : ETCD_REFUSED;
	case GRPC_PERMISSION_DENIED: return ETCD_DENIED;
	case GRPC_RESOURCE_EXHAUSTED: return says(message, "space exceeded") ? ETCD_NO_SPACE : ETCD_REFUSED;
	case GRPC_OUT_OF_RANGE: return ETCD_COMPACTED;
	case GRPC_UNAVAILABLE: return ETCD_UNAVAILABLE;
	case GRPC_UNAUTHENTICATED: return ETCD_NO_LOGIN;
	default: return ETCD_REFUSED;
	}
}

/* {"error": TEXT, "message": TEXT, "code": N}, or in a stream {"error": {"grpc_code": N, "message": TEXT}}. */
static int error_in(const json_t *document, long status)
{
	const json_t *error = json_object_get(document, "error");
	if (status >= 500)
		return ETCD_UNAVAILABLE;
	if (error == NULL)
		return status == 200 ? ETCD_OK : ETCD_MALFORMED;
	const json_t *told = json_is_object(error) ? error : document;
	int64_t code = number_in(told, json_is_object(error) ? "grpc_code" : "code");
	if (number_in(told, "http_code") >= 500)
		return ETCD_UNAVAILABLE;
	return error_of(code, json_string_value(json_object_get(told, "message")));
}

static json_t *records_in(const json_t *result)
{
	json_t *events = json_object_get(result, "events"), *records = json_object_get(result, "kvs");
	if (json_is_array(events))
		return events;
	if (json_is_array(records))
		return records;
	const json_t *first = json_array_get(json_object_get(result, "responses"), 0);
	records = json_object_get(json_object_get(first, "response_range"), "kvs");
	return json_is_array(records) ? records : NULL;
}

static void take(struct etcd_answer *answer)
{
	const json_t *result = json_object_get(answer->document, "result");
	if (result == NULL)
		result = answer->document;
	const json_t *header = json_object_get(result, "header");
	answer->revision = number_in(header, "revision");
	answer->cluster = unsigned_in(header, "cluster_id");
	answer->lease = number_in(result, "ID");
	answer->ttl = number_in(result, "TTL");
	answer->has_succeeded = json_is_true(json_object_get(result, "succeeded"));
	answer->has_more = json_is_true(json_object_get(result, "more"));
	answer->is_created = json_is_true(json_object_get(result, "created"));
	answer->is_canceled = json_is_true(json_object_get(result, "canceled"));
	answer->is_compacted = number_in(result, "compact_revision") > 0;
	answer->is_fragment = json_is_true(json_object_get(result, "fragment"));
	answer->token = json_string_value(json_object_get(result, "token"));
	answer->records = records_in(result);
	answer->record_count = json_array_size(answer->records);
}

int etcd_answer_read(struct etcd_answer *answer, long status, const char *text, size_t length)
{
	json_error_t where;
	bool lacks_memory;
	*answer = (struct etcd_answer){ .document = json_reader_load(text, length, &where, &lacks_memory) };
	if (lacks_memory)
		return ETCD_NO_MEMORY;
	int error = json_is_object(answer->document) ? error_in(answer->document, status) : status >= 500 ? ETCD_UNAVAILABLE : ETCD_MALFORMED;
	if (error == ETCD_OK)
		take(answer);
	else
		etcd_answer_clear(answer);
	return error;
}

void etcd_answer_clear(struct etcd_answer *answer)
{
	if (answer->token != NULL)
		sodium_memzero((char *)(uintptr_t)answer->token, strlen(answer->token));
	json_decref(answer->document);
	*answer = (struct etcd_answer){ 0 };
}

/* False: it is not base64, or does not fit. */
static bool decode(const json_t *value, unsigned char *bytes, size_t size, size_t *length)
{
	const char *text = json_string_value(value);
	*length = 0;
	if (text == NULL)
		return value == NULL; /* empty */
	return sodium_base642bin(bytes, size, text, json_string_length(value), NULL, length, NULL, sodium_base64_VARIANT_ORIGINAL) == 0;
}

static bool take_key(char key[FLEET_KEY_TEXT], const json_t *value, const char *prefix)
{
	unsigned char bytes[FLEET_PREFIX_MAX + FLEET_KEY_TEXT];
	size_t length, skipped = strlen(prefix);
	if (!decode(value, bytes, sizeof(bytes), &length) || length <= skipped || memcmp(bytes, prefix, skipped) != 0)
		return false;
	length -= skipped;
	if (length >= FLEET_KEY_TEXT || memchr(bytes + skipped, '\0', length) != NULL)
		return false;
	memcpy(key, bytes + skipped, length);
	key[length] = '\0';
	return true;
}

static const json_t *kv_in(const json_t *element)
{
	const json_t *kv = json_object_get(element, "kv");
	return kv == NULL ? element : kv;
}

static struct fleet_kv kv_of(const json_t *element, const char *key, const void *value, size_t length)
{
	const char *type = json_string_value(json_object_get(element, "type"));
	const json_t *kv = kv_in(element);
	return (struct fleet_kv){
		.key = key,
		.value = value,
		.length = length,
		.revision = number_in(kv, "mod_revision"),
		.created = number_in(kv, "create_revision"),
		.lease = number_in(kv, "lease"),
		.is_deleted = type != NULL && strcmp(type, "DELETE") == 0,
	};
}

bool etcd_answer_record(const struct etcd_answer *answer, size_t index, const char *prefix, struct etcd_record *record)
{
	const json_t *element = json_array_get(answer->records, index), *kv = kv_in(element);
	size_t length;
	if (!take_key(record->key, json_object_get(kv, "key"), prefix))
		return false;
	if (!decode(json_object_get(kv, "value"), record->value, sizeof(record->value), &length))
		length = 0;
	record->kv = kv_of(element, record->key, record->value, length);
	return true;
}

int etcd_answer_object(const struct etcd_answer *answer, size_t index, const char *prefix, struct etcd_object *object)
{
	const json_t *element = json_array_get(answer->records, index), *kv = kv_in(element), *value = json_object_get(kv, "value");
	size_t length, room = json_string_length(value) + 1; /* more than it needs */
	if (!take_key(object->key, json_object_get(kv, "key"), prefix))
		return ETCD_MALFORMED;
	char *bytes = room <= object->room ? object->value : realloc(object->value, room);
	if (bytes == NULL)
		return ETCD_NO_MEMORY;
	object->value = bytes;
	object->room = room > object->room ? room : object->room;
	if (!decode(value, (unsigned char *)bytes, object->room - 1, &length))
		return ETCD_MALFORMED;
	bytes[length] = '\0';
	object->kv = kv_of(element, object->key, bytes, length);
	return ETCD_OK;
}

void etcd_object_clear(struct etcd_object *object)
{
	free(object->value);
	*object = (struct etcd_object){ 0 };
}
