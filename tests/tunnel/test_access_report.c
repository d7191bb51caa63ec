/* Connections that have ended are told in batches, or counted when they cannot be told. */
#include <stdlib.h>
#include <string.h>

#include "ipc/query.h"
#include "tests/tunnel/rig.h"
#include "tunnel/access_report.h"

static bool room;

static bool has_room(struct context *context)
{
	(void)context;
	return room;
}

static int start(void **state)
{
	room = true;
	rig_start(state);
	access_report_start(&rig.context, has_room);
	return 0;
}

static int stop(void **state)
{
	access_report_clear(&rig.context.access_report);
	return rig_stop(state);
}

static void open_and_close(size_t count, size_t user_length)
{
	char user[255];
	memset(user, 'u', sizeof(user));
	for (size_t i = 0; i < count; i++) {
		struct connection connection;
		connection_add(&connection, &rig.tunnel, COUNTERS_SOCKS5, rig_never_end);
		connection_set_user(&connection, user, user_length);
		connection_count_failed(&connection, COUNTERS_FAILED_REFUSED);
		connection_remove(&connection);
	}
}

/* The connections of all reports sent so far. */
static size_t told(void)
{
	size_t count = 0;
	for (size_t i = 0; i < rig.sent_count; i++) {
		struct message_reader reader = { .bytes = rig.sent[i].bytes, .left = rig.sent[i].length };
		struct query_connection connection;
		assert_int_equal(rig.sent[i].type, MESSAGE_ENDED);
		assert_in_range(reader.left, 1, QUERY_PIECE_MAX);
		for (; reader.left > 0; count++) {
			assert_true(query_decode_connection(&reader, &connection));
			assert_true(connection.closed_at >= connection.opened_at && connection.opened_at > 0);
			assert_int_equal(connection.result, QUERY_RESULT_FAILED);
			assert_int_equal(connection.failure, COUNTERS_FAILED_REFUSED);
		}
	}
	return count;
}

static void they_are_told_after_a_moment(void **state)
{
	(void)state;
	open_and_close(3, 4);
	rig_pass(99 * LOOP_MILLISECOND);
	assert_int_equal(rig.sent_count, 0);
	rig_pass(LOOP_MILLISECOND);
	assert_int_equal(rig.sent_count, 1);
	assert_int_equal(told(), 3);
	rig_pass(LOOP_SECOND);
	assert_int_equal(rig.sent_count, 1);
}

static void a_full_message_is_sent_at_once(void **state)
{
	(void)state;
	open_and_close(100, 255);
	assert_in_range(rig.sent_count, 5, 20);
	access_report_flush(&rig.context.access_report);
	assert_int_equal(told(), 100);
}

/* P6 */
static void those_that_there_is_no_room_for_are_counted(void **state)
{
	(void)state;
	room = false;
	open_and_close(100, 255);
	rig_pass(LOOP_SECOND);
	assert_int_equal(rig.sent_count, 0);
	assert_int_equal(counter_read(&rig.context.counters->worker.access_log_dropped), 100);
	room = true;
	open_and_close(1, 255);
	rig_pass(LOOP_SECOND);
	assert_int_equal(told(), 1);
	assert_int_equal(counter_read(&rig.context.counters->worker.access_log_dropped), 100);
}

static void without_a_log_nothing_is_noted(void **state)
{
	(void)state;
	access_report_clear(&rig.context.access_report);
	open_and_close(10, 255);
	rig_pass(LOOP_SECOND);
	assert_int_equal(rig.sent_count, 0);
	assert_null(rig.context.access_report.writer.bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(they_are_told_after_a_moment),
		TEST(a_full_message_is_sent_at_once),
		TEST(those_that_there_is_no_room_for_are_counted),
		TEST(without_a_log_nothing_is_noted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
