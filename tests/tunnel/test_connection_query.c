/* What a worker says of its connections: in pieces of bounded size and work, each connection once, by filter. */
#include <stdlib.h>
#include <string.h>

#include "tests/tunnel/rig.h"
#include "tunnel/connection_query.h"
#include "tunnel/http/target.h"

static unsigned ended;

static void end(struct connection *connection)
{
	ended++;
	connection_remove(connection);
}

static int start(void **state)
{
	ended = 0;
	return rig_start(state);
}

static struct query everything(void)
{
	return (struct query){ .limit = UINT32_MAX, .filter = { .slot = QUERY_ANY_SLOT, .protocol = QUERY_ANY_PROTOCOL } };
}

/* The next piece; the query's cursor moves on. */
static struct queried ask(struct query *query)
{
	static uint8_t bytes[QUERY_PIECE_MAX];
	struct queried answer;
	rig.sent_count = 0;
	query->request++;
	connection_query_answer(&rig.context, query);
	const struct rig_message *sent = rig_sent(MESSAGE_QUERIED);
	assert_non_null(sent);
	memcpy(bytes, sent->bytes, sent->length);
	struct message_reader reader = { .bytes = bytes, .left = sent->length };
	assert_true(query_decode_answer(&reader, &answer));
	assert_int_equal(answer.request, query->request);
	query->cursor = answer.cursor;
	return answer;
}

static unsigned count(struct query query)
{
	unsigned found = 0, pieces = 0;
	for (bool is_over = false; !is_over; pieces++) {
		struct queried answer = ask(&query);
		found += answer.count;
		is_over = answer.is_over;
		assert_in_range(pieces, 0, 2 * CONNECTION_TABLE_CHAINS);
	}
	return found;
}

static struct connection *add(const char *target, uint16_t port, const char *user, const char *client)
{
	struct target there;
	struct connection *connection = calloc(1, sizeof(*connection));
	assert_int_equal(target_parse(&there, target, strlen(target), port), 0);
	connection_add(connection, &rig.tunnel, COUNTERS_CONNECT, end);
	connection_set_target(connection, &there);
	if (user != NULL)
		connection_set_user(connection, user, strlen(user));
	connection->client = rig_endpoint(client, 4000);
	return connection;
}

static void remove_all(void)
{
	while (rig.tunnel.connections != NULL) {
		struct connection *connection = rig.tunnel.connections;
		connection_remove(connection);
		free(connection);
	}
}

static void one_is_told_with_all_that_is_known(void **state)
{
	struct query_connection told;
	(void)state;
	struct connection *connection = add("Example.COM", 443, "anna", "192.0.2.9");
	connection->address = rig_endpoint("fd00::7", 443);
	connection_count_sent(connection, 11);
	connection_count_received(connection, 22);
	connection_count_ok(connection);
	struct query query = everything();
	query.filter.number = connection->number;
	struct queried answer = ask(&query);
	assert_true(answer.is_over);
	assert_int_equal(answer.count, 1);
	assert_true(query_decode_connection(&answer.items, &told));
	assert_int_equal(told.number, connection->number);
	assert_int_equal(told.protocol, COUNTERS_CONNECT);
	assert_int_equal(told.result, QUERY_RESULT_OK);
	assert_string_equal(told.user, "anna");
	assert_string_equal(told.target, "example.com:443");
	assert_int_equal(told.bytes_sent, 11);
	assert_int_equal(told.bytes_received, 22);
	assert_int_equal(told.closed_at, 0);
	assert_true(told.opened_at > 0);
	char text[64];
	endpoint_format(&told.client, text);
	assert_string_equal(text, "192.0.2.9:4000");
	endpoint_format(&told.address, text);
	assert_string_equal(text, "[fd00::7]:443");
	query.filter.number++;
	assert_int_equal(ask(&query).count, 0);
	remove_all();
}

/* One that ends and one that begins in the middle of a walk change nothing for the others. */
static void a_walk_meets_each_that_stays_once(void **state)
{
	enum { COUNT = 9000, LIMIT = 7 };
	static unsigned met[COUNT + 2000];
	static struct connection *all[COUNT];
	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		all[i] = add("h", 1, NULL, "192.0.2.1");
	struct query query = everything();
	query.limit = LIMIT;
	for (size_t piece = 0, gone = 0;; piece++) {
		struct queried answer = ask(&query);
		assert_in_range(answer.count, 0, LIMIT);
		for (struct query_connection told; answer.count > 0; answer.count--) {
			assert_true(query_decode_connection(&answer.items, &told));
			met[told.number - 1]++;
		}
		if (answer.is_over)
			break;
		if (piece % 3 == 0 && gone < COUNT) {
			connection_remove(all[gone]);
			free(all[gone]);
			all[gone] = NULL;
			gone += 5;
			add("h", 1, NULL, "192.0.2.1");
		}
	}
	for (size_t i = 0; i < COUNT; i++)
		assert_true(met[i] == 1 || (all[i] == NULL && met[i] == 0));
	remove_all();
}

static void filters_are_taken_together(void **state)
{
	(void)state;
	add("a.example", 443, "anna", "192.0.2.1");
	add("a.example", 80, "bert", "192.0.2.1");
	add("2001:db8::1", 443, NULL, "192.0.2.2");
	struct connection *other = add("b.example", 443, "anna", "192.0.2.1");
	connection_set_protocol(other, COUNTERS_SOCKS5);
	other->is_association = true;
	struct query query = everything();
	assert_int_equal(count(query), 4);
	strcpy(query.filter.target, "a.example");
	assert_int_equal(count(query), 2);
	strcpy(query.filter.target, "a.example:80");
	assert_int_equal(count(query), 1);
	strcpy(query.filter.user, "anna");
	assert_int_equal(count(query), 0);
	query.filter.target[0] = '\0';
	assert_int_equal(count(query), 2);
	query.filter.protocol = QUERY_PROTOCOL_UDP;
	assert_int_equal(count(query), 1);
	query = everything();
	query.filter.protocol = COUNTERS_SOCKS5;
	assert_int_equal(count(query), 0);
	static const char *const six[] = { "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443" };
	query = everything();
	for (size_t i = 0; i < 3; i++) {
		strcpy(query.filter.target, six[i]);
		assert_int_equal(count(query), 1);
	}
	query = everything();
	query.filter.client = rig_host("192.0.2.1", 0);
	assert_int_equal(count(query), 3);
	query.filter.client = rig_host("192.0.2.1", 4001);
	assert_int_equal(count(query), 0);
	query = everything();
	query.filter.slot = rig.tunnel.slot;
	assert_int_equal(count(query), 4);
	query.filter.slot++;
	assert_int_equal(count(query), 0);
	remove_all();
}

static void those_that_are_meant_are_ended(void **state)
{
	(void)state;
	struct connection *all[3] = { add("a", 1, "anna", "192.0.2.1"), add("a", 1, "bert", "192.0.2.1"), add("a", 1, "anna", "192.0.2.1") };
	struct query query = everything();
	strcpy(query.filter.user, "anna");
	query.counts = true;
	assert_int_equal(count(query), 2);
	assert_int_equal(ended, 0);
	query.ends = true;
	assert_int_equal(count(query), 2);
	assert_int_equal(ended, 2);
	assert_ptr_equal(rig.tunnel.connections, all[1]);
	assert_int_equal(all[0]->result, QUERY_RESULT_CUT);
	assert_int_equal(all[1]->result, QUERY_RESULT_FAILED);
	free(all[0]);
	free(all[2]);
	remove_all();
}

/* P6: the largest that there can be. */
static void a_piece_is_bounded(void **state)
{
	char name[256], user[256];
	(void)state;
	memset(name, 'a', 255);
	for (size_t i = 63; i < 254; i += 64)
		name[i] = '.';
	name[253] = name[255] = '\0';
	memset(user, 'u', 255);
	user[255] = '\0';
	for (size_t i = 0; i < 100; i++)
		add(name, 65535, user, "2001:db8::1")->address = rig_endpoint("2001:db8::2", 65535);
	struct query query = everything();
	for (struct queried answer = { .is_over = false }; !answer.is_over;) {
		answer = ask(&query);
		assert_in_range(rig_sent(MESSAGE_QUERIED)->length, 1, QUERY_PIECE_MAX);
		assert_in_range(answer.count, 0, 10);
	}
	query = everything();
	assert_int_equal(count(query), 100);
	remove_all();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(one_is_told_with_all_that_is_known),
		TEST(a_walk_meets_each_that_stays_once),
		TEST(filters_are_taken_together),
		TEST(those_that_are_meant_are_ended),
		TEST(a_piece_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
