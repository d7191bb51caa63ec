/* What a worker tells of connections that have ended becomes lines with our own names, also for a tunnel that is being removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/query.h"
#include "service/worker/access_log.h"
#include "service/worker/worker_process.h"

static char path[] = "/tmp/warren-access-XXXXXX";
static struct worker worker;
static struct entry *entry;
static struct access_log access_log;
static uv_loop_t loop;
static bool is_pool;

static int set_up(void **state)
{
	char failure[512];
	(void)state;
	is_pool = false;
	strcpy(path, "/tmp/warren-access-XXXXXX");
	close(mkstemp(path));
	struct counters *counters;
	int descriptor = counters_create(&counters);
	worker = (struct worker){ .index = 0, .term = 0xabc, .slots = slots_create(counters, descriptor, 0) };
	worker.last = &worker.first;
	entry = entry_create("ams-1");
	entry->worker = &worker;
	entry->slot = slot_take_tunnel(worker.slots);
	access_log = (struct access_log){ .writer = line_writer_create(path, failure), .slots = slot_table_create(1), .loop = &loop };
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_non_null(access_log.writer);
	slot_table_put(access_log.slots, entry);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	uv_loop_close(&loop);
	slot_table_free(access_log.slots);
	entry_free(entry);
	slots_free(worker.slots);
	return unlink(path);
}

static bool tell(uint32_t slot, size_t count)
{
	const struct query_connection connection = { .number = 7, .slot = slot, .closed_at = 5, .failure = COUNTERS_FAILED_POLICY };
	struct message_writer writer;
	message_writer_init(&writer);
	for (size_t i = 0; i < count; i++)
		query_encode_connection(&writer, &connection);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	bool is_sound = access_log_take(&access_log, &worker, &reader);
	message_writer_clear(&writer);
	return is_sound;
}

/* The lines, once all are written. Each is an object of that tunnel or pool. */
static size_t lines(const char *id)
{
	char line[8192];
	size_t count = 0;
	line_writer_free(access_log.writer);
	FILE *file = fopen(path, "re");
	for (; fgets(line, sizeof(line), file) != NULL; count++) {
		json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		assert_string_equal(json_string_value(json_object_get(object, is_pool ? "pool" : "tunnel")), id);
		assert_true(json_is_null(json_object_get(object, is_pool ? "tunnel" : "pool")));
		assert_string_equal(json_string_value(json_object_get(object, "id")), "0-abc-7");
		assert_string_equal(json_string_value(json_object_get(object, "reason")), "policy");
		json_decref(object);
	}
	fclose(file);
	return count;
}

static void each_is_a_line_of_its_tunnel(void **state)
{
	(void)state;
	assert_true(tell(slot_index(entry->slot), 3));
	assert_true(tell(slot_index(entry->slot) + 1, 1)); /* it has no such tunnel */
	assert_true(tell(UINT32_MAX, 1));
	assert_int_equal(lines("ams-1"), 3);
}

static void a_tunnel_that_is_being_removed_has_its_name(void **state)
{
	struct worker_request request = {
		.slot = slot_index(entry->slot), .generation = 1, .reply = MESSAGE_DONE, .is_removal = true, .removed = "ams-1"
	};
	(void)state;
	slot_table_remove(access_log.slots, entry);
	assert_true(tell(slot_index(entry->slot), 1));
	worker_expect(&worker, &request);
	assert_true(tell(slot_index(entry->slot), 2));
	worker_forget(&worker, &request);
	assert_true(tell(slot_index(entry->slot), 1));
	assert_int_equal(lines("ams-1"), 2);
}

static void what_a_pool_refused_is_a_line_of_the_pool(void **state)
{
	struct worker_request request = {
		.slot = slot_index(entry->slot), .generation = 1, .reply = MESSAGE_DONE, .is_removal = true, .removed = OBJECT_KEY_POOLS "eu"
	};
	(void)state;
	slot_table_remove(access_log.slots, entry);
	worker_expect(&worker, &request);
	assert_true(tell(slot_index(entry->slot), 2));
	worker_forget(&worker, &request);
	is_pool = true;
	assert_int_equal(lines("eu"), 2);
}

/* P7: the clock stands still. */
static void more_than_an_honest_worker_tells_is_dropped(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(tell(slot_index(entry->slot), 100));
	uint64_t dropped = line_writer_dropped(access_log.writer);
	size_t written = lines("ams-1");
	assert_int_equal(written + dropped, 100000);
	assert_in_range(written, 1, WORKER_LINES_BURST);
}

static void what_nobody_asked_for_breaks_the_protocol(void **state)
{
	(void)state;
	assert_false(tell(slot_index(entry->slot), 0));
	assert_int_equal(lines("ams-1"), 0);
	access_log.writer = NULL;
	assert_false(tell(slot_index(entry->slot), 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_is_a_line_of_its_tunnel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_that_is_being_removed_has_its_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_a_pool_refused_is_a_line_of_the_pool, set_up, tear_down),
		cmocka_unit_test_setup_teardown(more_than_an_honest_worker_tells_is_dropped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_nobody_asked_for_breaks_the_protocol, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
