/* A new key: records of an older one are sealed anew by the node that places, and then the old key is not needed. etcd is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/fleet/object_record.h"
#include "service/fleet/resealer.h"
#include "service/fleet/token_record.h"
#include "service/registry/snapshot_make.h"
#include "service/spec/candidate.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/fleet/fake_store.h"
#include "tests/service/quoted_json.h"

static struct fleet_keyring both = { .count = 2 }, old = { .count = 1 }, new = { .count = 1 };
static struct fleet_node *node;
static struct resealer *resealer;

static struct resealer *make(void)
{
	const struct resealer_means means = { .loop = &bench.loop, .ring = &both, .node = node };
	return resealer_create(&means);
}

static int set_up(void **state)
{
	const struct fleet_node_config config = { .name = "me", .boot = "b", .address = "", .capacity = 10, .rule = FLEET_RULE_DEFAULT };
	bench_mutations_set_up(state);
	fake_store_reset();
	node = fleet_node_create(&config, 0);
	resealer = make();
	return resealer == NULL;
}

static int tear_down(void **state)
{
	resealer_free(resealer);
	fleet_node_free(node);
	fake_store_reset();
	return bench_mutations_tear_down(state);
}

static void place_by(const char *name)
{
	char value[64];
	snprintf(value, sizeof(value), "{\"n\":\"%s\"}", name);
	const struct fleet_kv kv = { .key = "p/leader", .value = value, .length = strlen(value), .revision = ++fake_store.revision };
	assert_int_equal(fleet_view_apply((struct fleet_view *)(uintptr_t)fleet_node_view(node), &kv, 0), FLEET_VIEW_OK);
}

static void object_key(const char *id, enum fleet_key_kind kind, char text[FLEET_KEY_TEXT])
{
	struct fleet_key key;
	assert_true(object_record_place(&key, SPEC_TUNNEL, id, NULL));
	key.kind = kind;
	fleet_key_write(&key, text);
}

static void store_object(const char *id)
{
	struct candidate candidate;
	char key[FLEET_KEY_TEXT], *value;
	json_t *document =
	    quoted_json("{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}");
	candidate_init(&candidate, SPEC_TUNNEL);
	candidate_read(&candidate, document, "");
	candidate_complete(&candidate, NULL);
	struct snapshot *snapshot = snapshot_make(id, &candidate.labels, 0, &candidate.spec, NULL, NULL, NULL, 1000);
	snapshot->former = strdup("@x");
	assert_int_equal(object_record_write(&value, &old, snapshot), OBJECT_RECORD_OK);
	object_key(id, FLEET_KEY_OBJECT, key);
	fake_store_put(key, value);
	object_key(id, FLEET_KEY_CHANGED, key);
	fake_store_put(key, "{\"count\":1}");
	free(value);
	snapshot_release(snapshot);
	candidate_clear(&candidate);
	json_decref(document);
}

static void store_token(void)
{
	const struct database_token token = { .id = "fX", .scopes = 2, .name = (char[]){ "n" }, .labels = (char[]){ "{}" } };
	char text[FLEET_SEALED_TEXT];
	assert_int_equal(token_record_write(text, &old, &token, fake_store.revision + 1), TOKEN_RECORD_OK);
	fake_store_put("k/fX", text);
	fake_store_put("k/fY", TOKEN_RECORD_RESERVED);
}

static void pass(void)
{
	resealer_look(resealer);
	while (fake_store_answer() > 0)
		continue;
}

static int read_object(const struct fleet_keyring *ring, const char *id, char **former)
{
	struct object_record record;
	char key[FLEET_KEY_TEXT];
	object_key(id, FLEET_KEY_OBJECT, key);
	const struct fake_record *stored = fake_store_find(key);
	const struct fleet_kv kv = { .key = key, .value = stored->value, .length = strlen(stored->value), .revision = stored->revision };
	int error = object_record_read(&record, ring, &kv);
	*former = record.former == NULL ? NULL : strdup(record.former);
	assert_true(error != OBJECT_RECORD_OK || (record.stamp.updated_at == 1000 && record.stamp.generation == 1));
	object_record_clear(&record);
	return error;
}

static int read_token(const struct fleet_keyring *ring)
{
	struct database_token token;
	const struct fake_record *stored = fake_store_find("k/fX");
	const struct fleet_kv kv = { .key = "k/fX", .value = stored->value, .length = strlen(stored->value), .created = stored->created };
	int error = token_record_read(&token, ring, &kv);
	database_token_clear(&token);
	return error;
}

static void after_a_pass_the_old_key_is_not_needed(void **state)
{
	char key[FLEET_KEY_TEXT], *former;
	(void)state;
	store_object("a");
	store_object("b");
	store_token();
	place_by("other");
	pass();
	assert_int_equal(fake_store.asked, 0); /* it is another node's to do */
	place_by("me");
	assert_int_equal(read_object(&new, "a", &former), OBJECT_RECORD_SEALED);
	assert_int_equal(read_token(&new), TOKEN_RECORD_SEALED);
	object_key("a", FLEET_KEY_CHANGED, key);
	int64_t before = fake_store_find(key)->revision;
	pass();
	for (const char *id = "a"; id != NULL; id = *id == 'a' ? "b" : NULL) {
		assert_int_equal(read_object(&new, id, &former), OBJECT_RECORD_OK);
		assert_string_equal(former, "@x");
		free(former);
		assert_int_equal(read_object(&old, id, &former), OBJECT_RECORD_SEALED);
	}
	assert_int_equal(read_token(&new), TOKEN_RECORD_OK);
	assert_true(fake_store_find(key)->revision > before); /* its owner reads it again */
	assert_string_equal(fake_store_find(key)->value, "{\"count\":1}");
	assert_string_equal(fake_store_find("k/fY")->value, TOKEN_RECORD_RESERVED);
	/* The next one finds nothing, and then there is a rest. */
	int64_t revision = fake_store.revision;
	pass();
	unsigned asked = fake_store.asked;
	pass();
	assert_int_equal(fake_store.asked, asked);
	assert_int_equal(fake_store.revision, revision);
}

static void what_others_change_meanwhile_is_left_for_the_next_pass(void **state)
{
	char key[FLEET_KEY_TEXT], *former;
	(void)state;
	store_object("a");
	place_by("me");
	resealer_look(resealer);
	for (int i = 0; i < 4; i++) /* t/, k/, the count and the record are read */
		fake_store_answer();
	object_key("a", FLEET_KEY_CHANGED, key);
	fake_store_put(key, "{\"count\":2}");
	while (fake_store_answer() > 0)
		continue;
	assert_int_equal(read_object(&new, "a", &former), OBJECT_RECORD_SEALED);
	pass();
	assert_int_equal(read_object(&new, "a", &former), OBJECT_RECORD_OK);
	free(former);
	assert_string_equal(fake_store_find(key)->value, "{\"count\":2}");
}

static void what_fails_is_tried_again(void **state)
{
	char key[FLEET_KEY_TEXT], *former;
	(void)state;
	place_by("me");
	for (int step = 0; step < 5; step++) {
		store_object("a");
		resealer_look(resealer);
		for (int i = 0; i < step; i++)
			fake_store_answer();
		fake_store_fail(ETCD_TIMED_OUT, false);
		while (fake_store_answer() > 0)
			continue;
		/* Those of tunnels that were read are sealed even if the tokens could not be. */
		assert_int_equal(read_object(&new, "a", &former), step == 1 ? OBJECT_RECORD_OK : OBJECT_RECORD_SEALED);
		free(former);
		pass();
		assert_int_equal(read_object(&new, "a", &former), OBJECT_RECORD_OK);
		free(former);
		/* One without a rest before it. */
		resealer_free(resealer);
		resealer = make();
	}
	/* What is forged stays, and is in nobody's way. */
	store_object("b");
	object_key("c", FLEET_KEY_OBJECT, key);
	fake_store_put(key, "{}");
	object_key("c", FLEET_KEY_CHANGED, key);
	fake_store_put(key, "{\"count\":1}");
	pass();
	assert_int_equal(read_object(&new, "b", &former), OBJECT_RECORD_OK);
	free(former);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	log_start(LOG_ERROR + 1, false, "control");
	memset(&new.keys[0], 5, sizeof(new.keys[0]));
	memset(&old.keys[0], 7, sizeof(old.keys[0]));
	both.keys[0] = new.keys[0];
	both.keys[1] = old.keys[0];
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(after_a_pass_the_old_key_is_not_needed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_others_change_meanwhile_is_left_for_the_next_pass, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_fails_is_tried_again, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
