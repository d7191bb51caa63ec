/* What a worker makes of the control process's messages: a real worker process, whose control process is this test. Nothing answers its tunnels. */
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/channel.h"
#include "ipc/counters.h"
#include "ipc/log.h"
#include "ipc/placement_spec.h"
#include "ipc/pool_message.h"
#include "ipc/query.h"
#include "tests/failing_heap.h"
#include "tunnel/wireguard/device.h"
#include "tunnel/worker/worker.h"

#define GUARD_MS 120000 /* against a hang only */
#define POOL_NUMBER 7
enum { TUNNEL_SLOT = 2, POOL_SLOT = 3, MANY = 3000 };

static struct {
	pid_t worker;
	struct channel *channel;
	struct counters *counters;
	int memory;        /* the counters' descriptor */
	unsigned *refused; /* allocations in the worker; in memory that it shares */
	bool ready, is_over;
	uint64_t request, answered; /* the last one */
	struct message_ack done;
	struct message_prepared prepared;
	struct message_state state;
	struct pool_counted counted;
	struct pool_forgotten forgotten;
	struct queried queried;
	unsigned heard[256]; /* messages, by type */
} world;

static bool hear(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	(void)owner;
	(void)descriptors;
	assert_int_equal(count, 0);
	world.heard[type]++;
	if (type == MESSAGE_READY)
		world.ready = true;
	else if (type == MESSAGE_PREPARED && message_decode_prepared(body, &world.prepared))
		world.answered = world.prepared.ack.request;
	else if (type == MESSAGE_DONE && message_decode_ack(body, &world.done))
		world.answered = world.done.request;
	else if (type == MESSAGE_POOL_COUNTED && pool_counted_decode(body, &world.counted))
		world.answered = world.counted.ack.request;
	else if (type == MESSAGE_POOL_FORGOTTEN && pool_forgotten_decode(body, &world.forgotten))
		world.answered = world.forgotten.ack.request;
	else if (type == MESSAGE_QUERIED && query_decode_answer(body, &world.queried))
		world.answered = world.queried.request;
	else if (type == MESSAGE_STATE)
		assert_true(message_decode_state(body, &world.state));
	return true;
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void serve(bool (*until)(void))
{
	int64_t end = now_ms() + GUARD_MS;
	while (!until() && !world.is_over) {
		struct pollfd ask = { .fd = channel_descriptor(world.channel), .events = POLLIN };
		ask.events |= channel_wants_write(world.channel) ? POLLOUT : 0;
		assert_true(now_ms() < end);
		poll(&ask, 1, 100);
		if ((ask.revents & POLLOUT) != 0 && channel_flush(world.channel) != CHANNEL_OK)
			world.is_over = true;
		if ((ask.revents & ~POLLOUT) != 0 && channel_read(world.channel, hear, NULL) != CHANNEL_OK)
			world.is_over = true;
	}
}

static bool is_ready(void)
{
	return world.ready;
}

static bool is_answered(void)
{
	return world.answered == world.request;
}

static bool is_over(void)
{
	return world.is_over;
}

static void run_worker(int channel, pid_t parent, int allowed)
{
	log_start(LOG_ERROR, false, "worker 0");
	struct worker_options options = {
		.control_pid = parent, .gso = true, .session_slots = 64 * 1024, .memory_budget = 16 << 20, .access_log = true
	};
	if (allowed >= 0)
		heap_fails_once_after((unsigned)allowed);
	int code = worker_main(channel, world.memory, &options);
	heap_works();
	*world.refused = heap_refused();
	exit(code);
}

/* A worker of whose allocations one fails after so many; negative: none. */
static void spawn(int allowed)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	pid_t parent = getpid();
	world.ready = world.is_over = false;
	*world.refused = 0;
	world.worker = fork();
	if (world.worker == 0) {
		close(ends[0]);
		run_worker(ends[1], parent, allowed);
	}
	close(ends[1]);
	world.channel = channel_create(ends[0], false);
	serve(is_ready);
}

static int exit_code(void)
{
	int status;
	serve(is_over);
	assert_int_equal(waitpid(world.worker, &status, 0), world.worker);
	channel_free(world.channel);
	world.channel = NULL;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void give(enum message_type type, struct message_writer *writer, const int *descriptors, size_t count)
{
	assert_false(writer->failed);
	assert_int_equal(channel_send(world.channel, type, writer, descriptors, count), CHANNEL_OK);
}

static enum message_status settle(enum message_type type, uint32_t slot, uint64_t generation)
{
	struct message_ack ack = { .request = ++world.request, .slot = slot, .generation = generation };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_ack(&writer, &ack);
	give(type, &writer, NULL, 0);
	serve(is_answered);
	assert_false(world.is_over);
	return (enum message_status)world.done.status;
}

/* It has read everything so far, and goes on. */
static void expect_alive(void)
{
	assert_int_equal(settle(MESSAGE_RECONNECT, 9, 9), MESSAGE_STATUS_UNKNOWN);
}

static int shut_down(void)
{
	struct message_writer writer;
	message_writer_init(&writer);
	give(MESSAGE_SHUTDOWN, &writer, NULL, 0);
	return exit_code();
}

static int start(void **state)
{
	(void)state;
	spawn(-1);
	assert_true(world.ready);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	if (world.channel != NULL)
		assert_int_equal(shut_down(), 0);
	return 0;
}

static int bound(int type)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int descriptor = socket(AF_INET, type | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(descriptor, (struct sockaddr *)&at, sizeof(at)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(descriptor, 8), 0);
	return descriptor;
}

/* A PREPARE, which the test may change before it is sent. */
struct wish {
	struct message_prepare message;
	struct message_socket sockets[2];
	size_t peers;
};

static void begin_wish(struct wish *wish, uint32_t slot, uint64_t generation)
{
	*wish = (struct wish){ .message = { .slot = slot, .generation = generation, .socket_count = 1 } };
	snprintf(wish->message.id, sizeof(wish->message.id), "t%u", slot);
	wish->message.sockets = wish->sockets;
	wish->sockets[0] = (struct message_socket){ .id = 1, .kind = MESSAGE_SOCKET_UDP, .fresh = true };
}

static void wish_tunnel(struct wish *wish, uint64_t generation, size_t peers)
{
	begin_wish(wish, TUNNEL_SLOT, generation);
	struct spec *spec = &wish->message.spec;
	spec_init(spec);
	memset(spec->private_key.bytes, 42, sizeof(spec->private_key.bytes));
	spec->has_private_key = true;
	assert_true(network_parse("10.0.0.1", true, &spec->addresses[0]));
	spec->address_count = 1;
	spec->peers = calloc(peers + 1, sizeof(*spec->peers));
	spec->peer_count = wish->peers = peers;
	for (size_t i = 0; i < peers; i++) {
		struct spec_peer *peer = &spec->peers[i];
		memset(peer->public_key.bytes, (int)generation, sizeof(peer->public_key.bytes));
		memcpy(peer->public_key.bytes, &i, sizeof(i));
		peer->allowed_ips = calloc(2, sizeof(*peer->allowed_ips));
		peer->allowed_ip_count = 2;
		for (size_t k = 0; k < 2; k++)
			peer->allowed_ips[k] = (struct wireguard_network){ AF_INET, 32, { 10, (uint8_t)(1 + (i >> 8)), (uint8_t)i, (uint8_t)k } };
	}
}

static void wish_pool(struct wish *wish, uint64_t generation)
{
	begin_wish(wish, POOL_SLOT, generation);
	spec_init_pool(&wish->message.spec);
	wish->message.pool = POOL_NUMBER;
	wish->sockets[0].kind = MESSAGE_SOCKET_PROXY;
}

static enum message_status prepare(struct wish *wish)
{
	struct message_prepare *message = &wish->message;
	struct message_writer writer, spec;
	int descriptors[2];
	size_t fresh = 0;
	message->request = ++world.request;
	message->endpoints = calloc(wish->peers + 1, sizeof(*message->endpoints));
	message->peer_slots = calloc(wish->peers + 1, sizeof(*message->peer_slots));
	for (uint32_t i = 0; i < wish->peers; i++)
		message->peer_slots[i] = i;
	for (size_t i = 0; i < message->socket_count; i++)
		if (message->sockets[i].fresh)
			descriptors[fresh++] = bound(message->sockets[i].kind == MESSAGE_SOCKET_UDP ? SOCK_DGRAM : SOCK_STREAM);
	message_writer_init(&writer);
	message_writer_init(&spec);
	spec_encode(&spec, &message->spec);
	message_encode_prepare(&writer, message, &spec);
	message_writer_clear(&spec);
	spec_clear(&message->spec);
	free(message->endpoints);
	free(message->peer_slots);
	give(MESSAGE_PREPARE, &writer, descriptors, fresh);
	serve(is_answered);
	return world.is_over ? MESSAGE_STATUS_OK : (enum message_status)world.prepared.ack.status;
}

static void have_tunnel(uint64_t generation, size_t peers)
{
	struct wish wish;
	wish_tunnel(&wish, generation, peers);
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_OK);
	assert_int_equal(settle(MESSAGE_COMMIT, TUNNEL_SLOT, generation), MESSAGE_STATUS_OK);
}

static void have_pool(uint64_t generation)
{
	struct wish wish;
	wish_pool(&wish, generation);
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_OK);
	assert_int_equal(settle(MESSAGE_COMMIT, POOL_SLOT, generation), MESSAGE_STATUS_OK);
}

/* F1: what cannot be built at the start ends it, with an exit code that says so. What fails later does not end it. */
static void test_a_worker_starts_whole_or_not_at_all(void **state)
{
	unsigned starts = 0, failures = 0;
	(void)state;
	for (int allowed = 0;; allowed++) {
		assert_true(allowed < 1000);
		spawn(allowed);
		bool was_ready = world.ready;
		assert_int_equal(was_ready ? shut_down() : exit_code(), was_ready ? 0 : 1);
		starts += was_ready;
		failures += !was_ready;
		if (was_ready && *world.refused == 0)
			break;
	}
	assert_true(failures >= 10 && starts >= 1);
}

static void give_byte(enum message_type type)
{
	struct message_writer writer;
	message_writer_init(&writer);
	message_put_u8(&writer, 255);
	give(type, &writer, NULL, 0);
}

/* The two would not agree on what there is: a new worker is told everything. */
static void test_an_order_that_cannot_be_decoded_ends_the_worker(void **state)
{
	static const enum message_type types[] = {
		MESSAGE_PREPARE,        MESSAGE_COMMIT,      MESSAGE_ABORT,         MESSAGE_REMOVE,      MESSAGE_RECONNECT,  MESSAGE_HAND_OVER,
		MESSAGE_HAND_OVER_IDLE, MESSAGE_GRANTED,     MESSAGE_TRANSFER,      MESSAGE_PEER_LINK,   MESSAGE_POOL,       MESSAGE_POOL_END,
		MESSAGE_POOL_MEMBERS,   MESSAGE_POOL_MEMBER, MESSAGE_POOL_SESSIONS, MESSAGE_POOL_FORGET, MESSAGE_POOL_COUNT, MESSAGE_LOG_LEVEL,
	};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		give_byte(types[i]);
		assert_int_equal(exit_code(), 1);
		start(state);
	}
	/* A link is a descriptor. */
	struct message_writer writer;
	message_writer_init(&writer);
	peer_link_encode(&writer, &(struct peer_link){ .worker = 1 });
	give(MESSAGE_PEER_LINK, &writer, NULL, 0);
	assert_int_equal(exit_code(), 1);
	start(state);
	/* There is no such place in the counters. */
	struct wish wish;
	wish_tunnel(&wish, 1, 1);
	wish.message.slot = COUNTERS_TUNNELS;
	(void)prepare(&wish);
	assert_int_equal(exit_code(), 1);
}

/* A question is not answered, and what a later version may send is left. */
static void test_what_only_asks_may_be_unknown(void **state)
{
	static const enum message_type types[] = { MESSAGE_RESOLVED, MESSAGE_PROBE, MESSAGE_QUERY, MESSAGE_HAND_OVER_IDLE + 1, MESSAGE_READY, 250 };
	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		give_byte(types[i]);
	expect_alive();
}

/* What a PREPARE asks for must be possible, whoever wrote it. */
static void test_what_cannot_be_run_is_not_prepared(void **state)
{
	struct wish wish;
	(void)state;
	wish_tunnel(&wish, 1, 1);
	wish.message.spec.has_private_key = false;
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_INVALID);
	wish_tunnel(&wish, 1, 1);
	wish.message.spec.address_count = 0;
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_INVALID);
	wish_tunnel(&wish, 1, 1);
	wish.message.spec.via = strdup("outer"); /* such a tunnel has no socket */
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_INVALID);
	wish_tunnel(&wish, 1, 2);
	wish.message.spec.peers[1].public_key = wish.message.spec.peers[0].public_key;
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_INVALID);
	assert_non_null(strstr(world.prepared.detail, "same key"));
	wish_tunnel(&wish, 1, 1);
	assert_int_equal(wireguard_key_public(&wish.message.spec.peers[0].public_key, &wish.message.spec.private_key), 0);
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_INVALID);
	assert_non_null(strstr(world.prepared.detail, "own public key"));
	wish_pool(&wish, 1);
	wish.sockets[0].kind = MESSAGE_SOCKET_UDP;
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_INVALID);
	wish_pool(&wish, 1);
	wish.message.pool = 0;
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_INVALID);
	/* The control process is wrong about what is here. */
	wish_tunnel(&wish, 1, 1);
	wish.sockets[0].fresh = false;
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_UNKNOWN);
	have_pool(1);
	wish_tunnel(&wish, 1, 1);
	wish.message.slot = POOL_SLOT;
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_UNKNOWN);
	expect_alive();
}

static void ask_pool(uint32_t slot, uint64_t generation, enum message_status status)
{
	struct pool_forget forget = { .request = ++world.request, .slot = slot, .generation = generation, .key = "k" };
	struct message_writer writer;
	for (unsigned all = 0; all < 2; all++) {
		message_writer_init(&writer);
		forget.all = all != 0;
		forget.request = ++world.request;
		pool_forget_encode(&writer, &forget);
		give(MESSAGE_POOL_FORGET, &writer, NULL, 0);
		serve(is_answered);
		assert_int_equal(world.forgotten.ack.status, status);
	}
	static struct pool_count count;
	count = (struct pool_count){ .request = ++world.request, .slot = slot, .generation = generation, .count = 1, .keys = { "k" } };
	message_writer_init(&writer);
	pool_count_encode(&writer, &count);
	give(MESSAGE_POOL_COUNT, &writer, NULL, 0);
	serve(is_answered);
	assert_int_equal(world.counted.ack.status, status);
	assert_int_equal(world.counted.count, status == MESSAGE_STATUS_OK ? 1 : 0);
	assert_int_equal(world.counted.open[0], 0);
}

static void tell_members(enum message_type type)
{
	struct pool_member member = { .number = 1, .slot = TUNNEL_SLOT, .generation = 1, .weight = 1, .up = true, .id = "t2" };
	struct pool_members message = { .pool = POOL_NUMBER, .is_first = true, .is_last = true, .list = &member, .count = 1 };
	struct message_writer writer;
	message_writer_init(&writer);
	pool_members_encode(&writer, &message);
	give(type, &writer, NULL, 0);
}

static void test_a_pool_is_told_and_asked(void **state)
{
	struct message_writer writer;
	static struct pool_sessions sessions = { .pool = POOL_NUMBER, .is_last = true, .count = 1, .list = { { .key = "k", .tunnel = "t2" } } };
	(void)state;
	have_tunnel(1, 1);
	have_pool(1);
	tell_members(MESSAGE_POOL_MEMBERS);
	tell_members(MESSAGE_POOL_MEMBER);
	message_writer_init(&writer);
	pool_sessions_encode(&writer, &sessions);
	give(MESSAGE_POOL_SESSIONS, &writer, NULL, 0);
	ask_pool(POOL_SLOT, 1, MESSAGE_STATUS_OK);
	ask_pool(POOL_SLOT, 2, MESSAGE_STATUS_UNKNOWN);
	ask_pool(TUNNEL_SLOT, 1, MESSAGE_STATUS_UNKNOWN);
	/* Nothing in a pool can be connected anew. */
	assert_int_equal(settle(MESSAGE_RECONNECT, POOL_SLOT, 1), MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(settle(MESSAGE_RECONNECT, TUNNEL_SLOT, 1), MESSAGE_STATUS_OK);
	assert_int_equal(settle(MESSAGE_HAND_OVER_IDLE, POOL_SLOT, 1), MESSAGE_STATUS_OK);
	ask_pool(POOL_SLOT, 1, MESSAGE_STATUS_UNKNOWN);
}

static bool is_link_broken(void)
{
	return world.heard[MESSAGE_LINK_BROKEN] > 0;
}

/* The home of a pool is another worker, which sends what is none of the protocol. */
static void test_a_broken_link_is_told_and_the_pool_elsewhere_ends(void **state)
{
	struct pool_elsewhere elsewhere = { .pool = POOL_NUMBER, .home = 1 };
	struct message_writer writer;
	int ends[2];
	(void)state;
	spec_init_pool(&elsewhere.spec);
	message_writer_init(&writer);
	pool_elsewhere_encode(&writer, &elsewhere);
	spec_clear(&elsewhere.spec);
	give(MESSAGE_POOL, &writer, NULL, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	message_writer_init(&writer);
	peer_link_encode(&writer, &(struct peer_link){ .worker = 1, .incarnation = 5 });
	give(MESSAGE_PEER_LINK, &writer, &ends[1], 1);
	assert_int_equal(send(ends[0], "nonsense", 8, MSG_NOSIGNAL), 8);
	serve(is_link_broken);
	close(ends[0]);
	message_writer_init(&writer);
	pool_end_encode(&writer, POOL_NUMBER);
	give(MESSAGE_POOL_END, &writer, NULL, 0);
	expect_alive();
}

/* Nobody waits for it any more. */
static void test_a_socket_that_nobody_asked_for_is_closed(void **state)
{
	struct message_ack ack = { .request = 99, .slot = TUNNEL_SLOT, .generation = 1 };
	struct message_writer writer;
	int ends[2];
	char byte;
	(void)state;
	for (unsigned count = 0; count < 2; count++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
		message_writer_init(&writer);
		message_encode_ack(&writer, &ack);
		give(MESSAGE_GRANTED, &writer, &ends[1], count);
		if (count == 0)
			close(ends[1]);
		assert_int_equal(read(ends[0], &byte, 1), 0);
		close(ends[0]);
	}
	expect_alive();
}

static void test_connections_are_asked_for(void **state)
{
	struct query query = { .request = ++world.request, .limit = 10 };
	struct message_writer writer;
	(void)state;
	message_writer_init(&writer);
	query_encode(&writer, &query);
	give(MESSAGE_QUERY, &writer, NULL, 0);
	serve(is_answered);
	assert_false(world.is_over);
}

static void set_log_level(enum log_level level)
{
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_log_level(&writer, level);
	give(MESSAGE_LOG_LEVEL, &writer, NULL, 0);
	expect_alive();
}

/* Decoding, preparing, committing and freeing thousands of peers take steps. What is asked meanwhile is answered behind them, in its order. */
static void test_thousands_of_peers_take_steps(void **state)
{
	struct wish wish;
	(void)state;
	set_log_level(LOG_ERROR);
	have_tunnel(1, MANY);
	have_tunnel(2, MANY); /* others: the former are freed */
	assert_int_equal(settle(MESSAGE_RECONNECT, TUNNEL_SLOT, 2), MESSAGE_STATUS_OK);
	unsigned told = world.heard[MESSAGE_TRANSFER];
	assert_int_equal(settle(MESSAGE_HAND_OVER, TUNNEL_SLOT, 2), MESSAGE_STATUS_OK);
	assert_int_equal(world.heard[MESSAGE_TRANSFER] - told, MANY);
	wish_tunnel(&wish, 3, MANY);
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_OK);
	assert_int_equal(settle(MESSAGE_ABORT, TUNNEL_SLOT, 3), MESSAGE_STATUS_OK);
	assert_int_equal(settle(MESSAGE_COMMIT, TUNNEL_SLOT, 3), MESSAGE_STATUS_UNKNOWN);
	have_tunnel(4, MANY);
	assert_int_equal(settle(MESSAGE_REMOVE, TUNNEL_SLOT, 4), MESSAGE_STATUS_OK);
	assert_int_equal(settle(MESSAGE_REMOVE, TUNNEL_SLOT, 4), MESSAGE_STATUS_UNKNOWN);
}

/* The channel ends between two steps of what was removed: all of it is wiped all the same (the guarded memory asserts that). */
static void test_the_channel_may_end_between_two_steps(void **state)
{
	struct message_ack ack = { .request = ++world.request, .slot = TUNNEL_SLOT, .generation = 1 };
	struct message_writer writer;
	(void)state;
	have_tunnel(1, MANY);
	message_writer_init(&writer);
	message_encode_ack(&writer, &ack);
	give(MESSAGE_REMOVE, &writer, NULL, 0);
	message_writer_init(&writer);
	give(MESSAGE_SHUTDOWN, &writer, NULL, 0);
	shutdown(channel_descriptor(world.channel), SHUT_RDWR);
	world.is_over = true;
	int code = exit_code();
	assert_true(code == 0 || code == 1); /* the one that is noticed first */
}

static bool is_inside(void)
{
	return world.state.slot == TUNNEL_SLOT + 5 && strstr(world.state.reason, "outer tunnel t2") != NULL;
}

/* It finds its outer tunnel by the id, among pools and others, whether that is there before it or comes later. */
static void test_a_tunnel_inside_finds_its_outer_tunnel(void **state)
{
	struct wish wish;
	(void)state;
	have_pool(1);
	for (uint64_t generation = 1; generation <= 2; generation++) {
		wish_tunnel(&wish, generation, 1);
		wish.message.slot = TUNNEL_SLOT + 5;
		wish.message.spec.via = strdup("t2");
		wish.message.socket_count = 0;
		snprintf(wish.message.id, sizeof(wish.message.id), "t7");
		assert_int_equal(prepare(&wish), MESSAGE_STATUS_OK);
		assert_int_equal(settle(MESSAGE_COMMIT, TUNNEL_SLOT + 5, generation), MESSAGE_STATUS_OK);
		serve(is_inside);
		if (generation == 1)
			have_tunnel(1, 1);
	}
	assert_int_equal(settle(MESSAGE_REMOVE, TUNNEL_SLOT, 1), MESSAGE_STATUS_OK);
	expect_alive();
}

static bool is_silent(void)
{
	return world.state.state == TUNNEL_STALE && strncmp(world.state.reason, "silent", 6) == 0;
}

static bool goes_on(void)
{
	return world.state.state == TUNNEL_HANDSHAKING;
}

/* A tunnel that must be silent in isolation says so when the deadline has passed, and goes on when that is later again (docs/fleet.md). */
static void test_isolation_is_told_and_ends(void **state)
{
	struct wish wish;
	(void)state;
	counter_set(&world.counters->deadline, UINT64_MAX);
	wish_tunnel(&wish, 1, 1);
	wish.message.spec.placement = calloc(1, sizeof(*wish.message.spec.placement));
	wish.message.spec.placement->stops = true;
	assert_int_equal(prepare(&wish), MESSAGE_STATUS_OK);
	assert_int_equal(settle(MESSAGE_COMMIT, TUNNEL_SLOT, 1), MESSAGE_STATUS_OK);
	have_pool(1);
	assert_true(goes_on());
	counter_set(&world.counters->deadline, 1);
	serve(is_silent);
	counter_set(&world.counters->deadline, UINT64_MAX);
	serve(goes_on);
	assert_false(world.is_over);
}

static int start_all(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	world.memory = counters_create(&world.counters);
	counter_set(&world.counters->deadline, UINT64_MAX);
	world.refused = mmap(NULL, sizeof(*world.refused), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return world.memory < 0 || world.refused == MAP_FAILED ? -1 : 0;
}

static int stop_all(void **state)
{
	(void)state;
	close(world.memory);
	counters_unmap(world.counters);
	return munmap(world.refused, sizeof(*world.refused));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_worker_starts_whole_or_not_at_all),
		TEST(test_an_order_that_cannot_be_decoded_ends_the_worker),
		TEST(test_what_only_asks_may_be_unknown),
		TEST(test_what_cannot_be_run_is_not_prepared),
		TEST(test_a_pool_is_told_and_asked),
		TEST(test_a_broken_link_is_told_and_the_pool_elsewhere_ends),
		TEST(test_a_socket_that_nobody_asked_for_is_closed),
		TEST(test_connections_are_asked_for),
		TEST(test_thousands_of_peers_take_steps),
		TEST(test_the_channel_may_end_between_two_steps),
		TEST(test_a_tunnel_inside_finds_its_outer_tunnel),
		TEST(test_isolation_is_told_and_ends),
	};
	return cmocka_run_group_tests(tests, start_all, stop_all);
}
