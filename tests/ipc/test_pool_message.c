#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/channel.h"
#include "ipc/pool_message.h"

/* Whether a decoder takes a body; what it made is cleared. */
typedef bool taken(struct message_reader *reader);

static bool takes_link(struct message_reader *reader)
{
	struct peer_link message;
	return peer_link_decode(reader, &message);
}

static bool takes_elsewhere(struct message_reader *reader)
{
	struct pool_elsewhere message;
	bool takes = pool_elsewhere_decode(reader, &message);
	if (takes)
		spec_clear(&message.spec);
	return takes;
}

static bool takes_members(struct message_reader *reader)
{
	struct pool_members message;
	bool takes = pool_members_decode(reader, &message);
	pool_members_clear(&message);
	return takes;
}

static bool takes_sessions(struct message_reader *reader)
{
	struct pool_sessions message;
	return pool_sessions_decode(reader, &message);
}

static bool takes_forget(struct message_reader *reader)
{
	struct pool_forget message;
	return pool_forget_decode(reader, &message);
}

static bool takes_forgotten(struct message_reader *reader)
{
	struct pool_forgotten message;
	return pool_forgotten_decode(reader, &message);
}

static bool takes_count(struct message_reader *reader)
{
	struct pool_count message;
	return pool_count_decode(reader, &message);
}

static bool takes_counted(struct message_reader *reader)
{
	struct pool_counted message;
	return pool_counted_decode(reader, &message);
}

static bool takes_open(struct message_reader *reader)
{
	struct pool_open message;
	return pool_open_decode(reader, &message);
}

/* A body is taken at its own length and at no other; the writer is cleared. */
static void check_lengths(struct message_writer *writer, taken *takes)
{
	size_t whole = writer->length;
	message_put_u8(writer, 0);
	assert_false(writer->failed);
	for (size_t length = 0; length <= whole + 1; length++) {
		struct message_reader reader = { .bytes = writer->bytes, .left = length };
		assert_int_equal(takes(&reader), length == whole);
	}
	message_writer_clear(writer);
}

static struct spec_label *make_labels(void)
{
	struct spec_label *labels = calloc(2, sizeof(*labels));
	labels[0] = (struct spec_label){ .key = strdup("country"), .value = strdup("nl") };
	labels[1] = (struct spec_label){ .key = strdup("pool"), .value = strdup("eu") };
	return labels;
}

static struct pool_member make_member(void)
{
	return (struct pool_member){ .number = 7,
		                     .worker = 1,
		                     .slot = 5,
		                     .generation = 1ull << 40,
		                     .weight = 3,
		                     .order = 2,
		                     .up = true,
		                     .health = POOL_UNHEALTHY,
		                     .rtt_us = 12100,
		                     .id = "ams-1",
		                     .labels = make_labels(),
		                     .label_count = 2 };
}

static void encode_members(struct message_writer *writer, const struct pool_member *member)
{
	struct pool_members message = { .pool = 9, .is_first = true, .list = (struct pool_member *)(uintptr_t)member, .count = 1 };
	message_writer_init(writer);
	pool_members_encode(writer, &message);
}

static void members_survive_the_wire(void **state)
{
	(void)state;
	struct pool_member member = make_member();
	struct message_writer writer;
	struct pool_members back;
	encode_members(&writer, &member);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_true(pool_members_decode(&reader, &back));
	assert_int_equal(back.pool, 9);
	assert_true(back.is_first && !back.is_last);
	assert_int_equal(back.count, 1);
	assert_int_equal(back.list[0].number, 7);
	assert_int_equal(back.list[0].worker, 1);
	assert_int_equal(back.list[0].slot, 5);
	assert_int_equal(back.list[0].generation, 1ull << 40);
	assert_int_equal(back.list[0].weight, 3);
	assert_int_equal(back.list[0].order, 2);
	assert_true(back.list[0].up);
	assert_int_equal(back.list[0].health, POOL_UNHEALTHY);
	assert_int_equal(back.list[0].rtt_us, 12100);
	assert_string_equal(back.list[0].id, "ams-1");
	assert_string_equal(spec_label_find(back.list[0].labels, back.list[0].label_count, "country"), "nl");
	pool_members_clear(&back);
	check_lengths(&writer, takes_members);
	pool_member_clear(&member);
}

static void a_member_that_cannot_be_is_refused(void **state)
{
	(void)state;
	struct pool_member good = make_member(), bad[3] = { good, good, good };
	bad[0].weight = 0;
	bad[1].weight = POOL_SPEC_WEIGHT_MAX + 1;
	bad[2].health = POOL_HEALTHS;
	for (size_t i = 0; i < 3; i++) {
		struct message_writer writer;
		encode_members(&writer, &bad[i]);
		struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
		assert_false(takes_members(&reader));
		message_writer_clear(&writer);
	}
	pool_member_clear(&good);
}

static void a_pool_elsewhere_survives_the_wire_and_is_a_pool(void **state)
{
	(void)state;
	struct pool_elsewhere message = { .pool = 3, .home = 2 }, back;
	struct message_writer writer;
	spec_init(&message.spec);
	message.spec.kind = SPEC_POOL;
	message.spec.pool.retries = 4;
	message_writer_init(&writer);
	pool_elsewhere_encode(&writer, &message);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_true(pool_elsewhere_decode(&reader, &back));
	assert_int_equal(back.pool, 3);
	assert_int_equal(back.home, 2);
	assert_int_equal(back.spec.pool.retries, 4);
	spec_clear(&back.spec);
	check_lengths(&writer, takes_elsewhere);
	message.spec.kind = SPEC_TUNNEL;
	message_writer_init(&writer);
	pool_elsewhere_encode(&writer, &message);
	reader = (struct message_reader){ .bytes = writer.bytes, .left = writer.length };
	assert_false(takes_elsewhere(&reader));
	message_writer_clear(&writer);
	spec_clear(&message.spec);
}

/* The longest piece that a worker sends must not end it. */
static void sessions_survive_the_wire_and_fit_what_a_worker_may_send(void **state)
{
	(void)state;
	static struct pool_sessions message, back;
	struct message_writer writer;
	message.pool = 4;
	message.count = POOL_SESSIONS_PIECE;
	for (size_t i = 0; i < POOL_SESSIONS_PIECE; i++) {
		memset(message.list[i].key, 'k', POOL_KEY_SIZE - 1);
		memset(message.list[i].tunnel, 't', sizeof(message.list[i].tunnel) - 1);
		message.list[i].expires_at = 1800000000 + i;
	}
	message_writer_init(&writer);
	pool_sessions_encode(&writer, &message);
	assert_in_range(writer.length, 1, CHANNEL_UNTRUSTED_MAX);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_true(pool_sessions_decode(&reader, &back));
	assert_memory_equal(&back, &message, sizeof(back));
	check_lengths(&writer, takes_sessions);
}

static void open_connections_survive_the_wire_and_fit_what_a_worker_may_send(void **state)
{
	(void)state;
	static struct pool_open message, back;
	struct message_writer writer;
	message.pool = 4;
	message.count = POOL_OPEN_PIECE;
	for (uint32_t i = 0; i < POOL_OPEN_PIECE; i++) {
		message.list[i].member = i;
		message.list[i].open = 1000 + i;
	}
	message_writer_init(&writer);
	pool_open_encode(&writer, &message);
	assert_in_range(writer.length, 1, CHANNEL_UNTRUSTED_MAX);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_true(pool_open_decode(&reader, &back));
	assert_int_equal(back.list[255].open, 1255);
	check_lengths(&writer, takes_open);
}

static void small_messages_have_one_length(void **state)
{
	(void)state;
	const struct peer_link link = { .worker = 3, .incarnation = 5 };
	const struct pool_forget forget = { .request = 1, .slot = 2, .generation = 3, .key = "client 7" };
	const struct pool_forgotten forgotten = { .ack = { .request = 1, .slot = 2, .generation = 3 }, .count = 8 };
	struct message_writer writer;
	message_writer_init(&writer);
	peer_link_encode(&writer, &link);
	check_lengths(&writer, takes_link);
	message_writer_init(&writer);
	pool_forget_encode(&writer, &forget);
	check_lengths(&writer, takes_forget);
	message_writer_init(&writer);
	pool_forgotten_encode(&writer, &forgotten);
	check_lengths(&writer, takes_forgotten);
}

static void counts_survive_the_wire_and_fit_what_a_worker_may_send(void **state)
{
	(void)state;
	static struct pool_count count = { .request = 1, .slot = 2, .generation = 3, .count = POOL_COUNT_PIECE }, back;
	struct pool_counted counted = { .ack = { .request = 1, .slot = 2, .generation = 3 }, .count = POOL_COUNT_PIECE }, counted_back;
	for (unsigned i = 0; i < POOL_COUNT_PIECE; i++) {
		snprintf(count.keys[i], sizeof(count.keys[i]), "client %u", i);
		counted.open[i] = 100 + i;
	}
	struct message_writer writer;
	message_writer_init(&writer);
	pool_count_encode(&writer, &count);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_true(pool_count_decode(&reader, &back));
	assert_string_equal(back.keys[POOL_COUNT_PIECE - 1], count.keys[POOL_COUNT_PIECE - 1]);
	check_lengths(&writer, takes_count);
	message_writer_init(&writer);
	pool_counted_encode(&writer, &counted);
	assert_true(writer.length <= CHANNEL_UNTRUSTED_MAX);
	reader = (struct message_reader){ .bytes = writer.bytes, .left = writer.length };
	assert_true(pool_counted_decode(&reader, &counted_back));
	assert_memory_equal(counted_back.open, counted.open, sizeof(counted.open));
	check_lengths(&writer, takes_counted);
}

/* A count says nothing about what follows: only as much is read as the piece may have. */
static void a_count_over_the_bound_is_refused(void **state)
{
	(void)state;
	taken *const takes[] = { takes_sessions, takes_open };
	const uint32_t most[] = { POOL_SESSIONS_PIECE, POOL_OPEN_PIECE };
	for (size_t i = 0; i < 2; i++) {
		struct message_writer writer;
		message_writer_init(&writer);
		message_put_u64(&writer, 1);
		if (takes[i] == takes_sessions)
			message_put_u8(&writer, 0);
		message_put_u32(&writer, most[i] + 1);
		for (size_t j = 0; j < 8192; j++)
			message_put_u8(&writer, 0);
		struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
		assert_false(takes[i](&reader));
		message_writer_clear(&writer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_survive_the_wire),
		cmocka_unit_test(a_member_that_cannot_be_is_refused),
		cmocka_unit_test(a_pool_elsewhere_survives_the_wire_and_is_a_pool),
		cmocka_unit_test(sessions_survive_the_wire_and_fit_what_a_worker_may_send),
		cmocka_unit_test(open_connections_survive_the_wire_and_fit_what_a_worker_may_send),
		cmocka_unit_test(small_messages_have_one_length),
		cmocka_unit_test(counts_survive_the_wire_and_fit_what_a_worker_may_send),
		cmocka_unit_test(a_count_over_the_bound_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
