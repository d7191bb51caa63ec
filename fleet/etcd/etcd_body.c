#include "fleet/etcd/etcd_body.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/record.h"
#include "service/spec/json_writer.h"

#define KEY_MAX ((size_t)(FLEET_PREFIX_MAX + FLEET_KEY_TEXT))
#define LOGIN_MAX 8192 /* bytes: a password from a file, each byte escaped */

static json_t *number_of(int64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRId64, value);
	return json_string(text);
}

static json_t *base64_of(const char *bytes, size_t length)
{
	size_t size = sodium_base64_encoded_len(length, sodium_base64_VARIANT_ORIGINAL);
	char *text = malloc(size);
	if (text == NULL)
		return NULL;
	sodium_bin2base64(text, size, (const unsigned char *)bytes, length, sodium_base64_VARIANT_ORIGINAL);
	json_t *value = json_string(text);
	free(text);
	return value;
}

/* `more` bytes of the text are added to it, which may be its end. */
static json_t *key_of(const char *prefix, const char *key, size_t more)
{
	char text[KEY_MAX + 1];
	int length = snprintf(text, sizeof(text), "%s%s", prefix, key);
	return base64_of(text, (size_t)length + more);
}

/* The first key that does not begin with the folder's text, which ends with a slash. */
static json_t *end_of(const char *prefix, const char *folder)
{
	char text[KEY_MAX + 1];
	int length = snprintf(text, sizeof(text), "%s%s", prefix, folder);
	text[length - 1]++;
	return base64_of(text, (size_t)length);
}

static char *text_of(const struct json_writer *writer, json_t *object)
{
	json_t *document = json_writer_end(writer, object);
	char *text = json_writer_text(document);
	json_decref(document);
	return text;
}

char *etcd_body_range(const char *prefix, const char *folder, const char *after, int64_t revision, unsigned page)
{
	struct json_writer writer = { 0 };
	json_t *range = json_object();
	/* The next key after one is that with a byte 0 added: the end of the text. */
	json_writer_set(&writer, range, "key", after == NULL ? key_of(prefix, folder, 0) : key_of(prefix, after, 1));
	json_writer_set(&writer, range, "range_end", end_of(prefix, folder));
	json_writer_set(&writer, range, "limit", number_of(page));
	if (revision != 0)
		json_writer_set(&writer, range, "revision", number_of(revision));
	return text_of(&writer, range);
}

char *etcd_body_read(const char *prefix, const char *key)
{
	struct json_writer writer = { 0 };
	json_t *range = json_object();
	json_writer_set(&writer, range, "key", key_of(prefix, key, 0));
	return text_of(&writer, range);
}

static json_t *compare_of(struct json_writer *writer, const char *prefix, const struct fleet_compare *compare)
{
	bool is_revision = compare->target == FLEET_MOD_REVISION;
	json_t *object = json_object();
	json_writer_set(writer, object, "key", key_of(prefix, compare->key, 0));
	json_writer_set(writer, object, "target", json_string(is_revision ? "MOD" : "LEASE"));
	json_writer_set(writer, object, "result", json_string("EQUAL"));
	json_writer_set(writer, object, is_revision ? "mod_revision" : "lease", number_of(compare->value));
	return object;
}

static json_t *operation_of(struct json_writer *writer, const char *name, json_t *operation)
{
	json_t *object = json_object();
	json_writer_set(writer, object, name, operation);
	return object;
}

static json_t *put_of(struct json_writer *writer, const char *prefix, const struct fleet_put *put)
{
	json_t *object = json_object();
	json_writer_set(writer, object, "key", key_of(prefix, put->key, 0));
	if (put->value == NULL)
		return operation_of(writer, "request_delete_range", object);
	json_writer_set(writer, object, "value", base64_of(put->value, strlen(put->value)));
	json_writer_set(writer, object, "lease", number_of(put->lease));
	return operation_of(writer, "request_put", object);
}

static json_t *read_of(struct json_writer *writer, const char *prefix, const char *key)
{
	json_t *object = json_object();
	json_writer_set(writer, object, "key", key_of(prefix, key, 0));
	return operation_of(writer, "request_range", object);
}

char *etcd_body_txn(const char *prefix, const struct fleet_txn *txn)
{
	struct json_writer writer = { 0 };
	json_t *object = json_object(), *compares = json_array(), *puts = json_array(), *reads = json_array();
	for (size_t i = 0; i < txn->compare_count; i++)
		json_writer_add(&writer, compares, compare_of(&writer, prefix, &txn->compares[i]));
	for (size_t i = 0; i < txn->put_count; i++)
		json_writer_add(&writer, puts, put_of(&writer, prefix, &txn->puts[i]));
	if (txn->read != NULL)
		json_writer_add(&writer, reads, read_of(&writer, prefix, txn->read));
	json_writer_set(&writer, object, "compare", compares);
	json_writer_set(&writer, object, "success", puts);
	json_writer_set(&writer, object, "failure", reads);
	return text_of(&writer, object);
}

char *etcd_body_watch(const char *prefix, const char *folder, int64_t revision)
{
	struct json_writer writer = { 0 };
	json_t *object = json_object(), *watch = json_object();
	json_writer_set(&writer, watch, "key", key_of(prefix, folder, 0));
	json_writer_set(&writer, watch, "range_end", end_of(prefix, folder));
	json_writer_set(&writer, watch, "start_revision", number_of(revision));
	json_writer_set(&writer, watch, "fragment", json_true());
	json_writer_set(&writer, object, "create_request", watch);
	return text_of(&writer, object);
}

char *etcd_body_grant(uint64_t ttl)
{
	struct json_writer writer = { 0 };
	json_t *object = json_object();
	json_writer_set(&writer, object, "TTL", number_of((int64_t)ttl));
	return text_of(&writer, object);
}

char *etcd_body_keepalive(int64_t lease)
{
	struct json_writer writer = { 0 };
	json_t *object = json_object();
	json_writer_set(&writer, object, "ID", number_of(lease));
	return text_of(&writer, object);
}

/* jansson's buffers grow by realloc, so this is written into one of ours, and its copy of the password is wiped where it is. */
char *etcd_body_login(const char *name, const char *password)
{
	struct json_writer writer = { 0 };
	json_t *object = json_object(), *secret = json_string(password);
	char *text = calloc(1, LOGIN_MAX + 1);
	json_writer_set(&writer, object, "name", json_string(name));
	json_writer_set(&writer, object, "password", secret == NULL ? NULL : json_incref(secret));
	size_t length = text == NULL || writer.failed ? 0 : json_dumpb(object, text, LOGIN_MAX, JSON_COMPACT);
	if (secret != NULL)
		sodium_memzero((char *)(uintptr_t)json_string_value(secret), json_string_length(secret));
	json_decref(secret);
	json_decref(object);
	if (length > 0 && length <= LOGIN_MAX)
		return text;
	if (text != NULL)
		sodium_memzero(text, LOGIN_MAX);
	free(text);
	return NULL;
}
