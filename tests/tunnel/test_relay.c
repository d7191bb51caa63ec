#include "tests/tunnel/rig.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/flush.h"
#include "tunnel/proxy/relay.h"

static struct netstack_stream *stream;
static struct relay *relay;
static int client;
static unsigned ended;

static struct connection connection;

static void on_ended(void *owner)
{
	(void)owner;
	ended++;
	relay = NULL;
}

static void join(struct block *early, const char *first)
{
	struct netstack_endpoint there = rig_endpoint("198.51.100.7", 443);
	struct poller *poller = rig_client(&client);
	ended = 0;
	connection = (struct connection){ .tunnel = &rig.tunnel };
	assert_int_equal(netstack_stream_connect(NULL, &there, &rig_deaf, NULL, rig.now, &stream), NETSTACK_OK);
	relay = relay_create(&connection, poller, stream, early, first, strlen(first), 300, on_ended, NULL);
	assert_non_null(relay);
	assert_int_equal(ended, 0);
	rig_turn();
}

static void test_bytes_go_both_ways(void **state)
{
	(void)state;
	struct block *early = block_pool_take(rig.context.blocks, false);
	memcpy(early->bytes, "CONNECThello", 12);
	early->start = 7;
	early->end = 12;
	join(early, "HTTP/1.1 200\r\n\r\n");
	assert_string_equal(rig_read(client), "HTTP/1.1 200\r\n\r\n");
	assert_string_equal(rig_stream_read(stream), "hello");
	for (int late = 0; late < 2; late++) {
		rig.settles_late = late == 1;
		rig_write(client, "up");
		assert_string_equal(rig_stream_read(stream), "up");
		rig_stream_write(stream, "down");
		assert_string_equal(rig_read(client), "down");
	}
	assert_int_equal(stream->consumed, 8);
	assert_int_equal(counter_read(&rig.tunnel.counters->bytes_sent), 9);
	assert_int_equal(counter_read(&rig.tunnel.counters->bytes_received), 8);
	assert_int_equal(block_pool_in_use(rig.context.blocks), 0);
	relay_abort(relay);
	assert_true(stream->aborted);
	close(client);
}

/* X14: each end may finish first, and the other goes on. */
static void test_half_closes_pass(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		join(NULL, "");
		for (int turn = 0; turn < 2; turn++) {
			assert_int_equal(ended, 0);
			if (turn == first) {
				rig_write(client, "last up");
				shutdown(client, SHUT_WR);
				assert_string_equal(rig_stream_read(stream), "last up");
				assert_true(stream->finished || stream->gone);
			} else {
				rig_stream_write(stream, "last down");
				rig_stream_finish(stream);
				assert_string_equal(rig_read(client), "last down");
				assert_true(rig_is_at_end(client));
			}
		}
		assert_int_equal(ended, 1);
		assert_true(stream->released);
		close(client);
	}
}

static void test_resets_pass(void **state)
{
	(void)state;
	join(NULL, "");
	rig_stream_write(stream, "some");
	rig_stream_close(stream, NETSTACK_RESET);
	assert_int_equal(ended, 1);
	assert_true(rig_is_reset(client));
	close(client);
	join(NULL, "");
	close(client); /* with a FIN, and gone: the next write tells */
	rig_turn();
	assert_int_equal(ended, 0);
	rig_stream_write(stream, "some");
	assert_int_equal(ended, 1);
	assert_true(stream->aborted);
}

static void test_silence_ends_it(void **state)
{
	(void)state;
	join(NULL, "");
	rig_pass(200 * LOOP_SECOND);
	rig_write(client, "x");
	rig_stream_read(stream);
	rig_pass(299 * LOOP_SECOND);
	assert_int_equal(ended, 0);
	rig_pass(LOOP_SECOND);
	assert_int_equal(ended, 1);
	close(client);
}

/* An idle connection whose far end answers lives on; one that does not, or is half closed, ends by the idle timeout. */
static void test_what_answers_is_kept(void **state)
{
	(void)state;
	join(NULL, "");
	for (int i = 0; i < 20; i++) {
		rig_pass(80 * LOOP_SECOND);
		assert_true(stream->probes > 0 && stream->probes <= 2);
		stream->probes = 0;
		stream->heard_at = rig.now;
	}
	assert_int_equal(ended, 0);
	rig_pass(299 * LOOP_SECOND);
	assert_int_equal(ended, 0);
	rig_pass(2 * LOOP_SECOND);
	assert_int_equal(ended, 1);
	assert_true(stream->aborted && rig_is_reset(client));
	close(client);
	join(NULL, "");
	shutdown(client, SHUT_WR);
	for (int i = 0; i < 3; i++) {
		rig_pass(90 * LOOP_SECOND);
		stream->heard_at = rig.now;
	}
	assert_int_equal(ended, 0);
	rig_pass(31 * LOOP_SECOND);
	assert_int_equal(ended, 1);
	close(client);
}

/* P6: what waits for a client that does not read is bounded by the window, and the blocks that it lies in by twice that. */
static void test_a_client_that_does_not_read_costs_little(void **state)
{
	(void)state;
	static const size_t sizes[] = { 700, 2500, 9000, 33000, 70000 };
	char piece[70000];
	memset(piece, 'd', sizeof(piece));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		join(NULL, "");
		for (size_t sent = 0; sent < 300000; sent += sizes[i]) {
			rig_stream_write_bytes(stream, piece, sizes[i]);
			size_t waiting = (size_t)(stream->shown - stream->consumed);
			assert_true(block_pool_in_use(rig.context.blocks) <= 2 * waiting + 2 * 4096);
		}
		assert_true(stream->shown > stream->consumed);
		relay_abort(relay);
		close(client);
		assert_int_equal(block_pool_in_use(rig.context.blocks), 0);
	}
}

/* A stream without room stops reading, and the bytes read wait in one block. */
static void test_back_pressure(void **state)
{
	(void)state;
	char piece[1000];
	memset(piece, 'p', sizeof(piece));
	rig.stream_room = 100;
	join(NULL, "");
	for (int i = 0; i < 50; i++)
		rig_write_bytes(client, piece, sizeof(piece));
	assert_true(block_pool_in_use(rig.context.blocks) <= 4096 + 65536);
	assert_int_equal(strlen(rig_stream_read(stream)), 50 * sizeof(piece));
	assert_int_equal(block_pool_in_use(rig.context.blocks), 0);
	stream->room = 10000;
	bucket_set_limit(&rig.tunnel.tx_limit, 80000, rig.now);
	rig_write_bytes(client, piece, sizeof(piece));
	assert_int_equal(strlen(rig_stream_read(stream)), 0);
	rig_pass(LOOP_SECOND);
	rig_stream_read(stream);
	assert_int_equal(counter_read(&rig.tunnel.counters->bytes_sent), 51 * sizeof(piece));
	relay_abort(relay);
	close(client);
}

static size_t count_borrowed(void)
{
	size_t bytes = 0;
	for (size_t i = 0; i < stream->borrowed_count; i++)
		bytes += stream->borrowed[i].iov_len;
	return bytes;
}

/* A client that waits is read when there is room, not when the loop comes round to its socket. */
static void test_room_is_used_in_the_same_turn(void **state)
{
	(void)state;
	char piece[1000];
	memset(piece, 'p', sizeof(piece));
	rig.stream_room = 5000;
	join(NULL, "");
	for (int i = 0; i < 50; i++)
		rig_write_bytes(client, piece, sizeof(piece));
	assert_int_equal(count_borrowed(), 5000);
	stream->borrowed_count = 0;
	stream->room = 100000;
	stream->events->acknowledged(stream->owner, 5000);
	flush_all(&rig.tunnel);
	assert_int_equal(count_borrowed(), 45000);
	relay_abort(relay);
	close(client);
}

/* `length` bytes of a pattern wait at the client, and the stream gets room for all of them. */
static void send_pattern(size_t length)
{
	static uint8_t piece[10000];
	const int room = 200000;
	rig.stream_room = 1;
	join(NULL, "");
	setsockopt(client, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	for (size_t at = 0; at < length; at += sizeof(piece)) {
		for (size_t i = 0; i < sizeof(piece); i++)
			piece[i] = (uint8_t)(1 + (at + i) % 251);
		rig_write_bytes(client, piece, sizeof(piece));
	}
	stream->room = 1 << 20;
}

static void assert_pattern(const char *bytes, size_t length)
{
	assert_int_equal(strlen(bytes), length);
	for (size_t i = 0; i < length; i++)
		assert_int_equal((uint8_t)bytes[i], 1 + i % 251);
}

/* A read that fills several blocks leaves no byte out and no block behind. */
static void test_large_reads_keep_the_order(void **state)
{
	(void)state;
	send_pattern(100000);
	assert_pattern(rig_stream_read(stream), 100000);
	assert_int_equal(block_pool_in_use(rig.context.blocks), 0);
	relay_abort(relay);
	close(client);
}

/* It takes what is left of a quota, to the byte. */
static void test_large_reads_keep_within_the_quota(void **state)
{
	(void)state;
	send_pattern(100000);
	rig.tunnel.spec.limits.total_bytes = 80000;
	assert_pattern(rig_stream_read(stream), 80000);
	assert_int_equal(ended, 1);
	close(client);
}

/* A used-up quota ends those that would use more, at once, and lets a client finish. */
static void test_a_used_up_quota_ends_it(void **state)
{
	(void)state;
	for (int way = 0; way < 3; way++) {
		join(NULL, "");
		rig_write(client, "some");
		rig_stream_read(stream);
		rig.tunnel.spec.limits.total_bytes =
		    counter_read(&rig.tunnel.counters->bytes_sent) + counter_read(&rig.tunnel.counters->bytes_received);
		rig_turn();
		assert_int_equal(ended, 0);
		if (way == 0) {
			rig_write(client, "more");
		} else if (way == 1) {
			rig_stream_write(stream, "more");
		} else {
			shutdown(client, SHUT_WR);
			rig_turn();
			assert_true(stream->finished);
			rig_stream_write(stream, "more");
		}
		assert_int_equal(ended, 1);
		assert_true(stream->aborted && rig_is_reset(client));
		rig.tunnel.spec.limits.total_bytes = 0;
		close(client);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_bytes_go_both_ways),
		TEST(test_half_closes_pass),
		TEST(test_resets_pass),
		TEST(test_silence_ends_it),
		TEST(test_what_answers_is_kept),
		TEST(test_back_pressure),
		TEST(test_a_used_up_quota_ends_it),
		TEST(test_room_is_used_in_the_same_turn),
		TEST(test_large_reads_keep_the_order),
		TEST(test_large_reads_keep_within_the_quota),
		TEST(test_a_client_that_does_not_read_costs_little),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
