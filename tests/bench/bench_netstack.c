/* What a segment costs: two stacks back to back in one thread, no tunnel between them. Prints nanoseconds of CPU a data segment for
 * both ends together, and what connections and stacks take, as one JSON object. Usage: bench_netstack [streams [batch [seconds]]] */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "netstack/netstack.h"

#define PACKET_MAX 1500
#define RING 8192
#define PIECE (256 * 1024)

struct side {
	struct netstack *stack;
	struct side *other;
	uint8_t (*packets)[PACKET_MAX]; /* on their way to this side */
	uint16_t lengths[RING];
	unsigned head, tail;
	unsigned long segments;
	unsigned long bytes;
};

static uint8_t data[PIECE];
static struct side sides[2];
static size_t streams_open;

static uint64_t read_clock(clockid_t id)
{
	struct timespec time;
	clock_gettime(id, &time);
	return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static bool output(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct side *to = ((struct side *)owner)->other;
	uint8_t *at = to->packets[to->tail % RING];

	if (to->tail - to->head == RING)
		return false;
	for (size_t i = 0; i < count; i++) {
		memcpy(at, parts[i].iov_base, parts[i].iov_len);
		at += parts[i].iov_len;
	}
	to->lengths[to->tail++ % RING] = (uint16_t)length;
	return true;
}

static uint64_t now;

static void fill(struct netstack_stream *stream)
{
	while (netstack_stream_room(stream) >= PIECE && netstack_stream_write(stream, data, PIECE, now) > 0)
		continue;
}

struct source {
	struct netstack_stream *stream;
};

static void on_connected(void *owner)
{
	streams_open++;
	fill(((struct source *)owner)->stream);
}

static void on_acknowledged(void *owner, size_t bytes)
{
	(void)bytes;
	fill(((struct source *)owner)->stream);
}

static void on_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	(void)parts;
	(void)count;
	sides[1].bytes += length;
	sides[1].segments += (length + 1379) / 1380;
	netstack_stream_consumed(((struct source *)owner)->stream, length, now);
}

static void ignore(void *owner)
{
	(void)owner;
}

static void on_closed(void *owner, enum netstack_error why)
{
	(void)owner;
	(void)why;
}

static const struct netstack_stream_events events = { on_connected, on_received, ignore, on_acknowledged, on_closed };

static void on_idle_connected(void *owner)
{
	(void)owner;
	streams_open++;
}

static const struct netstack_stream_events idle_events = { on_idle_connected, on_received, ignore, on_acknowledged, on_closed };

static void on_accept(void *owner, struct netstack_stream *stream)
{
	struct source *sink = calloc(1, sizeof(*sink));
	(void)owner;
	sink->stream = stream;
	netstack_stream_set_owner(stream, &idle_events, sink);
}

static void open_side(int index)
{
	struct side *side = &sides[index];
	struct netstack_config config = { .address_count = 1, .mtu = 1420 };
	const struct netstack_env env = { .owner = side, .output = output };

	config.addresses[0] = (struct netstack_endpoint){ .family = AF_INET, .bytes = { 10, 0, 0, (uint8_t)(index + 1) } };
	side->other = &sides[!index];
	side->packets = calloc(RING, PACKET_MAX);
	if (side->packets == NULL || netstack_create(&side->stack, &config, &env, now) != 0)
		abort();
}

static void turn(unsigned batch)
{
	now = read_clock(CLOCK_MONOTONIC);
	for (int i = 0; i < 2; i++) {
		struct side *side = &sides[i];
		for (unsigned n = 0; n < batch && side->head != side->tail; n++, side->head++)
			netstack_input(side->stack, side->packets[side->head % RING], side->lengths[side->head % RING], now);
		netstack_settle(side->stack, now);
		if (netstack_deadline(side->stack) <= now)
			netstack_tick(side->stack, now);
		netstack_writable(side->other->stack, now);
	}
}

static void connect_streams(size_t count, const struct netstack_stream_events *with, struct source *sources)
{
	struct netstack_endpoint to = { .family = AF_INET, .bytes = { 10, 0, 0, 2 }, .port = 80 };

	for (size_t i = 0; i < count; i++) {
		if (netstack_stream_connect(sides[0].stack, &to, with, &sources[i], now, &sources[i].stream) != 0)
			abort();
		turn(64);
	}
}

static void measure_memory(void)
{
	static struct netstack *stacks[1000];
	static struct source idle[10000];
	struct netstack_config config = { .address_count = 1, .mtu = 1420 };
	const struct netstack_env env = { .owner = &sides[0], .output = output };

	size_t before = mallinfo2().uordblks;
	for (size_t i = 0; i < 1000; i++) {
		if (netstack_create(&stacks[i], &config, &env, now) != 0)
			abort();
	}
	printf("\"stack_bytes\": %zu, \"lwip_state_bytes\": %zu, ", (mallinfo2().uordblks - before) / 1000, netstack_state_size());
	for (size_t i = 0; i < 1000; i++)
		netstack_free(stacks[i]);
	before = mallinfo2().uordblks;
	uint64_t begin = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	connect_streams(10000, &idle_events, idle);
	uint64_t spent = read_clock(CLOCK_PROCESS_CPUTIME_ID) - begin;
	printf("\"connection_bytes\": %zu, \"open_connection_us\": %.2f}\n", (mallinfo2().uordblks - before) / 10000, (double)spent / 10000 / 1e3);
}

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? (size_t)atol(argv[1]) : 1;
	unsigned batch = argc > 2 ? (unsigned)atol(argv[2]) : 64;
	double seconds = argc > 3 ? atof(argv[3]) : 3;
	const struct netstack_limits limits = { .seed = { 1 }, .memory_budget = 256 << 20 };
	struct netstack_endpoint at = { .family = AF_INET, .bytes = { 10, 0, 0, 2 }, .port = 80 };
	struct netstack_listener *listener;
	struct source *sources = calloc(count, sizeof(*sources));

	netstack_start(&limits);
	now = read_clock(CLOCK_MONOTONIC);
	open_side(0);
	open_side(1);
	if (sources == NULL || netstack_listen(sides[1].stack, &at, on_accept, NULL, &listener) != 0)
		abort();
	connect_streams(count, &events, sources);
	uint64_t end = now + (uint64_t)(seconds * 1e9);
	uint64_t warm = now + 500000000ull;
	while (now < warm)
		turn(batch);
	uint64_t cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	unsigned long segments = sides[1].segments, bytes = sides[1].bytes, turns = 0;
	while (now < end) {
		turn(batch);
		turns++;
	}
	cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	segments = sides[1].segments - segments;
	bytes = sides[1].bytes - bytes;
	printf("{\"segment_ns\": %.1f, \"gbit_a_core\": %.1f, \"segments_a_turn\": %.1f, ", (double)cpu / (double)segments,
	       (double)bytes * 8 / (double)cpu, (double)segments / (double)turns);
	for (size_t i = 0; i < count; i++)
		netstack_stream_abort(sources[i].stream, now);
	for (int i = 0; i < 10; i++)
		turn(RING);
	measure_memory();
	return 0;
}
