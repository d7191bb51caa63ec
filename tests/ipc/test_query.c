/* Questions and answers survive the way; what is no such message is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "ipc/query.h"

static struct query_connection example(void)
{
	struct query_connection connection = { .number = 77,
		                               .slot = 5,
		                               .protocol = QUERY_PROTOCOL_UDP,
		                               .result = QUERY_RESULT_CUT,
		                               .failure = COUNTERS_FAILED_LIMIT,
		                               .opened_at = 1,
		                               .closed_at = 2,
		                               .bytes_sent = 3,
		                               .bytes_received = 4,
		                               .user = "anna",
		                               .target = "h:1",
		                               .pool = 11,
		                               .session = "a1" };
	connection.client.v4.sin_family = AF_INET;
	connection.client.v4.sin_port = 9;
	return connection;
}

static void a_question_survives(void **state)
{
	struct query query = { .request = 1, .ends = true, .counts = true, .limit = 3, .cursor = { 4, 5 } }, read;
	struct message_writer writer;
	(void)state;
	query.filter = (struct query_filter){ .number = 6, .slot = 7, .pool = 8, .protocol = QUERY_ANY_PROTOCOL, .user = "u", .target = "t" };
	message_writer_init(&writer);
	query_encode(&writer, &query);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_true(query_decode(&reader, &read));
	assert_int_equal(read.limit, 3);
	assert_true(read.ends && read.counts);
	assert_int_equal(read.cursor.within, 5);
	assert_int_equal(read.filter.slot, 7);
	assert_int_equal(read.filter.pool, 8);
	assert_string_equal(read.filter.target, "t");
	reader = (struct message_reader){ .bytes = writer.bytes, .left = writer.length - 1 };
	assert_false(query_decode(&reader, &read));
	message_writer_clear(&writer);
}

static void write_answer(struct message_writer *writer, uint16_t claimed, const struct query_connection *connection, size_t count)
{
	struct message_writer items;
	const struct queried answer = { .request = 8, .cursor = { 9, 10 }, .count = claimed };
	message_writer_init(writer);
	message_writer_init(&items);
	for (size_t i = 0; i < count; i++)
		query_encode_connection(&items, connection);
	query_encode_answer(writer, &answer, &items);
	message_writer_clear(&items);
}

static void an_answer_survives_and_its_count_is_right(void **state)
{
	struct query_connection connection = example(), read;
	struct message_writer writer;
	struct queried answer;
	(void)state;
	write_answer(&writer, 2, &connection, 2);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_true(query_decode_answer(&reader, &answer));
	for (int i = 0; i < 2; i++) {
		assert_true(query_decode_connection(&answer.items, &read));
		assert_int_equal(read.number, 77);
		assert_int_equal(read.bytes_received, 4);
		assert_string_equal(read.user, "anna");
		assert_int_equal(read.client.v4.sin_port, 9);
		assert_int_equal(read.address.any.sa_family, AF_UNSPEC);
	}
	assert_int_equal(answer.items.left, 0);
	message_writer_clear(&writer);
	/* Counted alone. */
	write_answer(&writer, 500, &connection, 0);
	reader = (struct message_reader){ .bytes = writer.bytes, .left = writer.length };
	assert_true(query_decode_answer(&reader, &answer));
	assert_int_equal(answer.count, 500);
	assert_int_equal(answer.items.left, 0);
	message_writer_clear(&writer);
	static const struct {
		uint16_t claimed;
		size_t count;
	} wrong[] = { { 1, 2 }, { 3, 2 }, { 65535, 2 } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		write_answer(&writer, wrong[i].claimed, &connection, wrong[i].count);
		reader = (struct message_reader){ .bytes = writer.bytes, .left = writer.length };
		assert_false(query_decode_answer(&reader, &answer));
		message_writer_clear(&writer);
	}
}

static void numbers_that_name_nothing_are_refused(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct query_connection connection = example();
		struct message_writer writer;
		if (i == 0)
			connection.protocol = QUERY_PROTOCOLS;
		else if (i == 1)
			connection.result = QUERY_RESULTS;
		else
			connection.failure = COUNTERS_FAILURES;
		message_writer_init(&writer);
		query_encode_connection(&writer, &connection);
		assert_false(query_are_connections((struct message_reader){ .bytes = writer.bytes, .left = writer.length }));
		message_writer_clear(&writer);
	}
	assert_false(query_are_connections((struct message_reader){ .left = 0 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_survives),
		cmocka_unit_test(an_answer_survives_and_its_count_is_right),
		cmocka_unit_test(numbers_that_name_nothing_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
