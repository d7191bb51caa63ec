/* Tunnels and pools as records in etcd: what is secret is sealed, whatever it is, and opens only where it was put. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/fleet/object_record.h"
#include "service/registry/snapshot_make.h"
#include "service/spec/candidate.h"
#include "tests/service/quoted_json.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define PSK "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA="
#define HEADER_KEY "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="

static const char tunnel[] =
    "{'labels':{'a':'b'},'spec':{'interface':{'private_key':'" KEY "','addresses':['10.2.0.2'],'obfuscation':{'type':'amneziawg',"
    "'s1':12,'s2':12,'s3':12,'s4':12,'header_protection_key':'" HEADER_KEY "'}},'peers':[{'public_key':'" PEER "','preshared_key':'" PSK
    "','allowed_ips':['0.0.0.0/0']}],"
    "'proxy':{'users':[{'username':'u','password':'p/\\\\ss "
    "\\u00e4'}]},'placement':{'node':'ams-1','labels':{'region':'eu'},'on_isolation':'stop'}}}";
static const char pool[] = "{'spec':{'members':{'tunnels':['t']},'proxy':{'users':[{'username':'u','password':'hush'}]}}}";

static struct fleet_keyring ring = { .count = 1 };

static struct snapshot *snapshot_of(enum spec_kind kind, const char *id, const char *text)
{
	struct candidate candidate;
	json_t *document = quoted_json(text);
	candidate_init(&candidate, kind);
	candidate_read(&candidate, document, "");
	candidate_complete(&candidate, NULL);
	if (candidate.problem.code != PROBLEM_NONE)
		fail_msg("%s %s", candidate.problem.faults[0].pointer, candidate.problem.faults[0].detail);
	size_t count = candidate.label_count;
	candidate.label_count = 0;
	struct snapshot *snapshot = snapshot_make(id, &candidate.labels, count, &candidate.spec, NULL, NULL, NULL, 1000);
	assert_non_null(snapshot);
	snapshot->generation = 7;
	snapshot->updated_at = 2000;
	candidate_clear(&candidate);
	json_decref(document);
	return snapshot;
}

static char *written(enum spec_kind kind, const char *id, const char *text)
{
	struct snapshot *snapshot = snapshot_of(kind, id, text);
	char *value;
	assert_int_equal(object_record_write(&value, &ring, snapshot), OBJECT_RECORD_OK);
	snapshot_release(snapshot);
	return value;
}

static int read_text(struct object_record *record, const char *key, const char *value)
{
	const struct fleet_kv kv = { .key = key, .value = value, .length = strlen(value), .revision = 99 };
	return object_record_read(record, &ring, &kv);
}

static void key_of(enum spec_kind kind, const char *id, const struct placement_spec *placement, char text[FLEET_KEY_TEXT])
{
	struct fleet_key key;
	assert_true(object_record_place(&key, kind, id, placement));
	fleet_key_write(&key, text);
}

static void check_read(enum spec_kind kind, const char *id, const char *text)
{
	struct object_record record;
	struct candidate candidate;
	char key[FLEET_KEY_TEXT], *value = written(kind, id, text);
	struct snapshot *snapshot = snapshot_of(kind, id, text);
	key_of(kind, id, snapshot->spec.placement, key);
	assert_int_equal(read_text(&record, key, value), OBJECT_RECORD_OK);
	assert_int_equal(record.stamp.generation, 7);
	assert_true(record.stamp.revision == 99 && record.stamp.created_at == 1000 && record.stamp.updated_at == 2000);
	candidate_init(&candidate, kind);
	candidate_read(&candidate, record.document, "");
	candidate_complete(&candidate, NULL);
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	assert_true(spec_equal(&candidate.spec, &snapshot->spec));
	assert_true(labels_equal(candidate.labels, candidate.label_count, snapshot->labels, snapshot->label_count));
	candidate_clear(&candidate);
	object_record_clear(&record);
	snapshot_release(snapshot);
	free(value);
}

static void what_is_written_reads_back(void **state)
{
	(void)state;
	check_read(SPEC_TUNNEL, "t", tunnel);
	check_read(SPEC_POOL, "t", pool);
}

static void no_secret_can_be_read_in_etcd(void **state)
{
	static const char *const secrets[] = { KEY, PSK, HEADER_KEY, "p/\\\\", "ss " };
	char *value = written(SPEC_TUNNEL, "t", tunnel);
	(void)state;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		assert_null(strstr(value, secrets[i]));
	json_t *record = json_loads(value, 0, NULL), *sealed = json_object_get(record, "sealed");
	assert_int_equal(json_object_size(sealed), 4);
	json_decref(record);
	free(value);
	value = written(SPEC_POOL, "p", pool);
	assert_null(strstr(value, "hush"));
	free(value);
}

/* As a node would have written it. */
static char *sealed_again(const char *object, json_t *value)
{
	char *text, *plain;
	json_object_del(value, "seal");
	plain = json_dumps(value, JSON_COMPACT);
	assert_int_equal(fleet_seal_record(&ring, object, plain, &text), FLEET_SEAL_OK);
	free(plain);
	return text;
}

/* Whatever has changed a record without the key. */
static void what_is_not_secret_cannot_be_changed_either(void **state)
{
	static const char from[] = "10.2.0.2", to[] = "10.2.0.3";
	struct object_record record;
	struct spec_label label = { (char[]){ "region" }, (char[]){ "eu" } };
	const struct placement_spec placement = { .node = "ams-1", .labels = &label, .label_count = 1 };
	char key[FLEET_KEY_TEXT], *first = written(SPEC_TUNNEL, "t", tunnel), *value = strdup(first);
	(void)state;
	free(first);
	key_of(SPEC_TUNNEL, "t", &placement, key);
	assert_int_equal(read_text(&record, key, value), OBJECT_RECORD_OK);
	object_record_clear(&record);
	size_t at = (size_t)(strstr(value, from) - value);
	memcpy(value + at, to, strlen(to));
	assert_int_equal(read_text(&record, key, value), OBJECT_RECORD_FORGED);
	assert_null(record.document);
	memcpy(value + at, from, strlen(from));
	assert_int_equal(read_text(&record, key, value), OBJECT_RECORD_OK);
	object_record_clear(&record);
	/* Without its seal it is a record of nobody. */
	json_t *document = json_loads(value, 0, NULL);
	json_object_del(document, "seal");
	char *plain = json_dumps(document, JSON_COMPACT);
	assert_int_equal(read_text(&record, key, plain), OBJECT_RECORD_FORGED);
	json_decref(document);
	free(plain);
	free(value);
}

/* The key of `from` in place of that of `to`. */
static int moved(const char *from, const char *to, const char *id, int64_t updated_at)
{
	struct object_record record;
	char key[FLEET_KEY_TEXT], *first = written(SPEC_TUNNEL, "t", tunnel);
	json_t *value = json_loads(first, 0, NULL), *sealed = json_object_get(value, "sealed");
	struct spec_label label = { (char[]){ "region" }, (char[]){ "eu" } };
	const struct placement_spec placement = { .node = "ams-1", .labels = &label, .label_count = 1 };
	if (from != NULL)
		json_object_set(sealed, to, json_object_get(sealed, from));
	if (updated_at != 0)
		json_object_set_new(value, "updated_at", json_integer(updated_at));
	char *text = sealed_again(id, value);
	key_of(SPEC_TUNNEL, id, &placement, key);
	int error = read_text(&record, key, text);
	object_record_clear(&record);
	json_decref(value);
	free(text);
	free(first);
	return error;
}

static void a_sealed_text_opens_only_where_it_was_put(void **state)
{
	(void)state;
	assert_int_equal(moved(NULL, NULL, "t", 0), OBJECT_RECORD_OK);
	assert_int_equal(moved("/interface/private_key", "/peers/0/preshared_key", "t", 0), OBJECT_RECORD_FORGED);
	assert_int_equal(moved(NULL, NULL, "u", 0), OBJECT_RECORD_FORGED);
	assert_int_equal(moved(NULL, NULL, "t", 2001), OBJECT_RECORD_FORGED);
	assert_int_equal(moved("/interface/private_key", "/none/private_key", "t", 0), OBJECT_RECORD_INVALID);
	assert_int_equal(moved("/interface/private_key", "/peers/x/y", "t", 0), OBJECT_RECORD_FORGED);
	assert_int_equal(moved("/interface/private_key", "/peers/7/y", "t", 0), OBJECT_RECORD_INVALID);
	assert_int_equal(moved("/interface/private_key", "nonsense", "t", 0), OBJECT_RECORD_INVALID);
	assert_int_equal(moved("/interface/private_key", "/", "t", 0), OBJECT_RECORD_FORGED);
	ring.keys[0].id[0] ^= 1;
	struct fleet_seal_key other = ring.keys[0];
	ring.keys[0].id[0] ^= 1;
	char *value = written(SPEC_POOL, "p", pool), key[FLEET_KEY_TEXT];
	struct object_record record;
	struct fleet_seal_key own = ring.keys[0];
	key_of(SPEC_POOL, "p", NULL, key);
	ring.keys[0] = other;
	assert_int_equal(read_text(&record, key, value), OBJECT_RECORD_SEALED);
	ring.keys[0] = own;
	free(value);
}

/* A record at another place would be served by two nodes. */
static void a_record_of_another_place_is_none(void **state)
{
	struct object_record record;
	char key[FLEET_KEY_TEXT], *value = written(SPEC_POOL, "p", pool);
	(void)state;
	key_of(SPEC_POOL, "p", &(struct placement_spec){ .node = "ams-2" }, key);
	assert_int_equal(read_text(&record, key, value), OBJECT_RECORD_INVALID);
	key_of(SPEC_TUNNEL, "p", NULL, key);
	assert_int_not_equal(read_text(&record, key, value), OBJECT_RECORD_OK);
	assert_int_equal(read_text(&record, "t/any/1/+p", value), OBJECT_RECORD_INVALID);
	assert_int_equal(read_text(&record, "id/+p", value), OBJECT_RECORD_INVALID);
	free(value);
}

static void nonsense_is_no_record(void **state)
{
	static const char *const strangers[] = { "", "null", "[]", "{}" };
	static const char *const texts[] = { "{'labels':{},'spec':{},'sealed':{}}",
		                             "{'labels':{},'spec':[],'sealed':{},'generation':1,'created_at':1,'updated_at':1}",
		                             "{'labels':{},'spec':{},'sealed':{},'generation':0,'created_at':1,'updated_at':1}",
		                             "{'labels':{},'spec':{},'sealed':{},'generation':1,'created_at':2,'updated_at':1}",
		                             "{'labels':{},'spec':{'placement':7},'sealed':{},'generation':1,'created_at':1,'updated_at':1}",
		                             "{'labels':{},'spec':{},'sealed':{'/a':7},'generation':1,'created_at':1,'updated_at':1}" };
	struct object_record record;
	char key[FLEET_KEY_TEXT], text[256];
	(void)state;
	key_of(SPEC_TUNNEL, "t", NULL, key);
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		assert_int_equal(read_text(&record, key, strangers[i]), OBJECT_RECORD_FORGED);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *sealed;
		snprintf(text, sizeof(text), "%s", texts[i]);
		for (char *quote = text; (quote = strchr(quote, '\'')) != NULL;)
			*quote = '"';
		assert_int_equal(fleet_seal_record(&ring, "t", text, &sealed), FLEET_SEAL_OK);
		assert_int_equal(read_text(&record, key, sealed), OBJECT_RECORD_INVALID);
		assert_null(record.document);
		free(sealed);
	}
}

static void a_place_that_does_not_fit_into_a_key_is_told(void **state)
{
	struct spec_label labels[2];
	struct placement_spec placement = { .labels = labels, .label_count = 2 };
	struct fleet_key key;
	char value[201], keys[2][2] = { "a", "b" };
	(void)state;
	memset(value, 'v', 200);
	value[200] = '\0';
	for (int i = 0; i < 2; i++)
		labels[i] = (struct spec_label){ keys[i], value };
	assert_false(object_record_place(&key, SPEC_TUNNEL, "t", &placement));
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	memset(&ring.keys[0], 5, sizeof(ring.keys[0]));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(no_secret_can_be_read_in_etcd),
		cmocka_unit_test(what_is_not_secret_cannot_be_changed_either),
		cmocka_unit_test(a_sealed_text_opens_only_where_it_was_put),
		cmocka_unit_test(a_record_of_another_place_is_none),
		cmocka_unit_test(nonsense_is_no_record),
		cmocka_unit_test(a_place_that_does_not_fit_into_a_key_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
