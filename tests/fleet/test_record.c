/* Records: written and read as they were; what strangers write is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/record.h"

static void a_key_is_read_and_written_as_it_was(void **state)
{
	static const struct {
		const char *text;
		enum fleet_key_kind kind;
	} keys[] = {
		{ "p/leader", FLEET_KEY_LEADER },
		{ "p/node/ams-1", FLEET_KEY_NODE },
		{ "p/shard/any/0", FLEET_KEY_SHARD },
		{ "p/shard/@ams-1,region=eu/63", FLEET_KEY_SHARD },
		{ "p/changed/region=eu/4095", FLEET_KEY_CHANGED },
		{ "t/any/17/t-1", FLEET_KEY_OBJECT },
		{ "t/any/17/+t-1", FLEET_KEY_OBJECT }, /* a pool */
		{ "id/t-1", FLEET_KEY_ID },
		{ "s/region=eu/7", FLEET_KEY_STATUS },
		{ "p/tokens", FLEET_KEY_TOKENS },
		{ "k/fA_b-9", FLEET_KEY_TOKEN },
		{ "id/+t-1", FLEET_KEY_ID },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct fleet_key key;
		char text[FLEET_KEY_TEXT];
		fleet_key_read(&key, keys[i].text);
		assert_int_equal(key.kind, keys[i].kind);
		fleet_key_write(&key, text);
		assert_string_equal(text, keys[i].text);
	}
}

static void the_longest_key_fits(void **state)
{
	struct fleet_key key = { .kind = FLEET_KEY_OBJECT, .shard = 4095, .is_pool = true }, again;
	char text[FLEET_KEY_TEXT];
	(void)state;
	memset(key.class, 'x', sizeof(key.class) - 1);
	memset(key.name, 'a', sizeof(key.name) - 1);
	fleet_key_write(&key, text);
	fleet_key_read(&again, text);
	assert_memory_equal(&key, &again, sizeof(key));
}

static void other_keys_are_none_of_ours(void **state)
{
	static const char *const keys[] = { "",
		                            "p",
		                            "p/",
		                            "p/leader/",
		                            "p/leaders",
		                            "p/node/",
		                            "p/node/A",
		                            "p/node/a/b",
		                            "p/shard/any",
		                            "p/shard/any/",
		                            "p/shard//1",
		                            "p/shard/any/4096",
		                            "p/shard/any/01",
		                            "p/shard/any/-1",
		                            "p/shard/any/1x",
		                            "p/shard/any/12345",
		                            "p/changed/any/1/2",
		                            "t/any/1",
		                            "t/any/1/",
		                            "t/any/1/A",
		                            "p/tokens/",
		                            "k/",
		                            "k/a.b",
		                            "k/a/b",
		                            "k/0123456789012345678901234567890123456789012345678901234567890123",
		                            "id/",
		                            "id/a/b",
		                            "q/leader" };
	char text[FLEET_CLASS_TEXT + 32] = "p/shard/";
	struct fleet_key key;
	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		fleet_key_read(&key, keys[i]);
		assert_int_equal(key.kind, FLEET_KEY_OTHER);
	}
	memset(text + 8, 'x', FLEET_CLASS_TEXT);
	strcpy(text + 8 + FLEET_CLASS_TEXT, "/1");
	fleet_key_read(&key, text);
	assert_int_equal(key.kind, FLEET_KEY_OTHER);
}

static char region[] = "region", eu[] = "e\"u\n";

static void a_heartbeat_is_read_as_it_was_written(void **state)
{
	struct spec_label label = { region, eu };
	struct fleet_heartbeat heartbeat = { .t = FLEET_TIME_MAX,
		                             .applied = INT64_MAX,
		                             .wall = 1700000000000,
		                             .told = 9,
		                             .settled = 8,
		                             .boot = "b-1",
		                             .drain = true,
		                             .capacity = 10000 };
	struct fleet_heartbeat again;
	char text[FLEET_VALUE_TEXT];
	(void)state;
	eu[3] = '\\';
	heartbeat.labels = &label;
	heartbeat.label_count = 1;
	strcpy(heartbeat.address, "https://ams-1.example:8443");
	strcpy(heartbeat.version, "0.1.0");
	assert_int_equal(fleet_heartbeat_write(&heartbeat, text), FLEET_RECORD_OK);
	assert_int_equal(fleet_heartbeat_read(&again, text, strlen(text)), FLEET_RECORD_OK);
	assert_int_equal(again.t, heartbeat.t);
	assert_int_equal(again.applied, heartbeat.applied);
	assert_int_equal(again.wall, heartbeat.wall);
	assert_int_equal(again.told, heartbeat.told);
	assert_int_equal(again.settled, heartbeat.settled);
	assert_string_equal(again.boot, "b-1");
	assert_true(again.drain && !again.bye);
	assert_int_equal(again.capacity, 10000);
	assert_int_equal(again.label_count, 1);
	assert_string_equal(again.labels[0].value, eu);
	assert_string_equal(again.address, heartbeat.address);
	assert_string_equal(again.version, "0.1.0");
	fleet_heartbeat_clear(&again);
}

/* What a later version adds is no reason to take its node for silent. */
static void unknown_and_absent_members_are_allowed(void **state)
{
	struct fleet_heartbeat heartbeat;
	struct fleet_owner owner;
	(void)state;
	assert_int_equal(fleet_heartbeat_read(&heartbeat, "{\"t\":5,\"new\":[{}]}", 18), FLEET_RECORD_OK);
	assert_int_equal(heartbeat.t, 5);
	fleet_heartbeat_clear(&heartbeat);
	assert_int_equal(fleet_owner_read(&owner, "{\"n\":\"a\"}", 9), FLEET_RECORD_OK);
	assert_string_equal(owner.node, "a");
	assert_string_equal(owner.from, "");
	assert_int_equal(owner.ts_floor, 0);
}

static void what_is_malformed_is_refused(void **state)
{
	static const char *const heartbeats[] = { "",
		                                  "null",
		                                  "[]",
		                                  "5",
		                                  "{",
		                                  "{\"t\":1}x",
		                                  "{\"t\":1,\"t\":1}",
		                                  "{\"t\":-1}",
		                                  "{\"t\":1.5}",
		                                  "{\"t\":\"1\"}",
		                                  "{\"t\":9007199254740993}",
		                                  "{\"a\":9223372036854775808}",
		                                  "{\"a\":-1}",
		                                  "{\"drain\":1}",
		                                  "{\"bye\":\"\"}",
		                                  "{\"capacity\":100001}",
		                                  "{\"boot\":\"A B\"}",
		                                  "{\"boot\":5}",
		                                  "{\"labels\":[]}",
		                                  "{\"labels\":{\"\":\"\"}}",
		                                  "{\"labels\":{\"k\":1}}",
		                                  "{\"address\":\"a\\nb\"}",
		                                  "{\"address\":\"\\u0000\"}",
		                                  "{\"boot\":\"\xff\"}" };
	static const char *const owners[] = { "{\"n\":\"A\"}", "{\"n\":5}", "{\"f\":\"a/b\"}", "{\"ts_floor\":-1}", "{\"n\":null}" };
	struct fleet_heartbeat heartbeat;
	struct fleet_owner owner;
	char name[FLEET_NAME];
	(void)state;
	for (size_t i = 0; i < sizeof(heartbeats) / sizeof(heartbeats[0]); i++)
		assert_int_equal(fleet_heartbeat_read(&heartbeat, heartbeats[i], strlen(heartbeats[i])), FLEET_RECORD_INVALID);
	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++)
		assert_int_equal(fleet_owner_read(&owner, owners[i], strlen(owners[i])), FLEET_RECORD_INVALID);
	assert_int_equal(fleet_leader_read(name, "{\"n\":\"../x\"}", 12), FLEET_RECORD_INVALID);
	assert_string_equal(name, "");
}

static void what_is_too_long_is_refused(void **state)
{
	struct fleet_heartbeat heartbeat = { .t = 1 };
	char *text = malloc(FLEET_VALUE_TEXT + 1), value[FLEET_VALUE_TEXT], long_value[256];
	struct spec_label labels[64];
	char keys[64][4];
	(void)state;
	memset(text, ' ', FLEET_VALUE_TEXT);
	text[0] = '{';
	text[FLEET_VALUE_TEXT - 1] = '}';
	assert_int_equal(fleet_heartbeat_read(&heartbeat, text, FLEET_VALUE_TEXT), FLEET_RECORD_INVALID);
	text[FLEET_VALUE_TEXT - 2] = '}';
	assert_int_equal(fleet_heartbeat_read(&heartbeat, text, FLEET_VALUE_TEXT - 1), FLEET_RECORD_OK);
	free(text);
	memset(long_value, 'x', 255);
	long_value[255] = '\0';
	for (size_t i = 0; i < 64; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%02zu", i);
		labels[i] = (struct spec_label){ keys[i], long_value };
	}
	heartbeat = (struct fleet_heartbeat){ .labels = labels, .label_count = 64 };
	assert_int_equal(fleet_heartbeat_write(&heartbeat, value), FLEET_RECORD_INVALID);
	heartbeat.label_count = 16;
	assert_int_equal(fleet_heartbeat_write(&heartbeat, value), FLEET_RECORD_OK);
}

static void the_small_records_are_read_as_they_were_written(void **state)
{
	struct fleet_owner owner = { .node = "a", .from = "b", .ts_floor = 7 }, again;
	char text[FLEET_VALUE_TEXT], name[FLEET_NAME], class[FLEET_CLASS_TEXT];
	uint32_t count;
	(void)state;
	assert_int_equal(fleet_owner_write(&owner, text), FLEET_RECORD_OK);
	assert_int_equal(fleet_owner_read(&again, text, strlen(text)), FLEET_RECORD_OK);
	assert_memory_equal(&owner, &again, sizeof(owner));
	assert_int_equal(fleet_leader_write("ams-1", text), FLEET_RECORD_OK);
	assert_int_equal(fleet_leader_read(name, text, strlen(text)), FLEET_RECORD_OK);
	assert_string_equal(name, "ams-1");
	assert_int_equal(fleet_count_write(300, text), FLEET_RECORD_OK);
	assert_int_equal(fleet_count_read(&count, text, strlen(text)), FLEET_RECORD_OK);
	assert_int_equal(count, 300);
	assert_int_equal(fleet_id_write("@ams-1", text), FLEET_RECORD_OK);
	assert_int_equal(fleet_id_read(class, text, strlen(text)), FLEET_RECORD_OK);
	assert_string_equal(class, "@ams-1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_read_and_written_as_it_was),
		cmocka_unit_test(the_longest_key_fits),
		cmocka_unit_test(other_keys_are_none_of_ours),
		cmocka_unit_test(a_heartbeat_is_read_as_it_was_written),
		cmocka_unit_test(unknown_and_absent_members_are_allowed),
		cmocka_unit_test(what_is_malformed_is_refused),
		cmocka_unit_test(what_is_too_long_is_refused),
		cmocka_unit_test(the_small_records_are_read_as_they_were_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
