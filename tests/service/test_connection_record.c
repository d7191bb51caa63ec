/* A connection is one JSON object of bounded length, whatever a worker tells of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/connection_record.h"

#define NOW 1700000000123u

#define POOL "a-pool-whose-id-is-as-long-as-one-can-be-which-is-63-letters..." /* the longest */

static json_t *written(const struct query_connection *connection)
{
	char out[CONNECTION_RECORD_MAX];
	const struct connection_id id = { .worker = 1, .term = 0xabc, .number = 0x12 };
	size_t length = connection_record_write(out, &id, "ams-1", POOL, connection, NOW);
	assert_in_range(length, 2, CONNECTION_RECORD_MAX - 1);
	json_t *object = json_loadb(out, length, JSON_REJECT_DUPLICATES, NULL);
	assert_true(json_is_object(object));
	return object;
}

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void one_that_is_open_has_the_members_of_the_contract(void **state)
{
	struct query_connection connection = {
		.protocol = COUNTERS_CONNECT, .opened_at = NOW - 12345, .bytes_sent = 7, .user = "anna", .target = "h:1"
	};
	(void)state;
	connection.client.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x7f000001) };
	json_t *object = written(&connection);
	assert_int_equal(json_object_size(object), 13);
	assert_string_equal(text_of(object, "id"), "1-abc-12");
	assert_string_equal(text_of(object, "client"), "127.0.0.1:9");
	assert_string_equal(text_of(object, "user"), "anna");
	assert_string_equal(text_of(object, "opened_at"), "2023-11-14T22:13:07.778Z");
	assert_true(json_real_value(json_object_get(object, "age")) > 12.344 && json_real_value(json_object_get(object, "age")) < 12.346);
	assert_true(json_is_null(json_object_get(object, "address")));
	assert_string_equal(json_string_value(json_object_get(object, "pool")), POOL);
	assert_null(json_object_get(object, "result"));
	json_decref(object);
}

static void one_that_ended_tells_how(void **state)
{
	static const struct {
		enum query_result result;
		const char *text, *reason;
	} ends[] = { { QUERY_RESULT_OK, "ok", NULL },
		     { QUERY_RESULT_FAILED, "failed", "refused" },
		     { QUERY_RESULT_CUT, "cut", "request" },
		     { QUERY_RESULT_CLOSED, "cut", "tunnel" } };
	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct query_connection connection = {
			.opened_at = NOW - 5000, .closed_at = NOW - 3000, .result = (uint8_t)ends[i].result, .failure = COUNTERS_FAILED_REFUSED
		};
		json_t *object = written(&connection);
		assert_string_equal(text_of(object, "result"), ends[i].text);
		assert_true(json_real_value(json_object_get(object, "age")) == 2.0);
		if (ends[i].reason == NULL)
			assert_true(json_is_null(json_object_get(object, "reason")));
		else
			assert_string_equal(text_of(object, "reason"), ends[i].reason);
		assert_non_null(text_of(object, "closed_at"));
		json_decref(object);
	}
}

/* Every byte, and the longest there can be of each kind: quotes, control bytes, and bytes that are no UTF-8. */
static void whatever_a_worker_tells_is_valid_and_bounded(void **state)
{
	(void)state;
	for (int byte = 1; byte < 256; byte++) {
		struct query_connection connection = { .protocol = QUERY_PROTOCOLS - 1,
			                               .opened_at = UINT64_MAX,
			                               .closed_at = UINT64_MAX,
			                               .bytes_sent = UINT64_MAX,
			                               .bytes_received = UINT64_MAX };
		memset(connection.user, byte, sizeof(connection.user) - 1);
		memset(connection.target, byte, sizeof(connection.target) - 1);
		memset(connection.session, byte, sizeof(connection.session) - 1);
		json_decref(written(&connection));
	}
	srand(7);
	for (int round = 0; round < 2000; round++) {
		struct query_connection connection = { .closed_at = (uint64_t)rand() };
		for (size_t i = 0; i + 1 < sizeof(connection.user); i++)
			connection.user[i] = (char)(1 + rand() % 255);
		for (size_t i = 0; i + 1 < sizeof(connection.target); i++)
			connection.target[i] = (char)(1 + rand() % 255);
		json_decref(written(&connection));
	}
}

static void an_id_is_read_as_it_is_written_and_in_no_other_form(void **state)
{
	const struct connection_id id = { .worker = 255, .term = UINT64_MAX, .number = 1 };
	struct connection_id read;
	char text[CONNECTION_ID_SIZE];
	(void)state;
	connection_id_write(&id, text);
	assert_true(connection_id_read(text, &read));
	assert_int_equal(read.worker, 255);
	assert_true(read.term == UINT64_MAX && read.number == 1);
	static const char *const wrong[] = { "",
		                             "-",
		                             "1",
		                             "1-2",
		                             "1-2-",
		                             "01-2-3",
		                             "1-2-3-4",
		                             " 1-2-3",
		                             "1-+2-3",
		                             "0x1-2-3",
		                             "1-2-3 ",
		                             "A-2-3",
		                             "-1-2-3",
		                             "1-2-10000000000000000",
		                             "100000000-2-3" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(connection_id_read(wrong[i], &read));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_is_open_has_the_members_of_the_contract),
		cmocka_unit_test(one_that_ended_tells_how),
		cmocka_unit_test(whatever_a_worker_tells_is_valid_and_bounded),
		cmocka_unit_test(an_id_is_read_as_it_is_written_and_in_no_other_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
