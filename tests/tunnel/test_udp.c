#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tunnel/io/poison.h"
#include "tunnel/io/udp.h"

struct end {
	struct loop *loop;
	struct udp_socket *socket;
	union wireguard_endpoint address;
	unsigned received, wanted;
	size_t most; /* handed over together */
	size_t sizes[256];
	uint8_t firsts[256];
	bool closed_gate, cannot_complete;
	unsigned completed; /* trains */
	struct deferred turn;
	const uint8_t *kept; /* the last datagram */
	unsigned ended, had_room;
	int outcomes[8]; /* of trains, as they were reported */
	size_t reported;
	bool ends_with_room;
};

static void on_received(void *owner, const struct udp_datagram *datagrams, size_t count)
{
	struct end *end = owner;
	assert_in_range(count, 1, UDP_TOGETHER);
	if (count > end->most)
		end->most = count;
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(datagrams[i].from->any.sa_family, AF_INET); /* never a mapped address */
		end->sizes[end->received] = datagrams[i].length;
		end->firsts[end->received] = datagrams[i].bytes[0];
		end->kept = datagrams[i].bytes;
		if (++end->received == end->wanted)
			loop_stop(end->loop);
	}
	deferred_queue(end->loop, &end->turn);
}

/* A datagram is valid until the turn ends, for the socket that was served last too. */
static void on_end_of_turn(void *owner)
{
	struct end *end = owner;
	assert_int_equal(end->kept[0], end->firsts[end->received - 1]);
	end->ended++;
}

static void on_writable(void *owner)
{
	struct end *end = owner;
	end->had_room++;
	if (end->ends_with_room)
		loop_stop(end->loop);
}

/* sendmsg(2) as the test wishes: `errors` of the next calls, 0 for the kernel's own answer. */
static struct {
	int errors[8];
	size_t asked, count;
	size_t lengths[8];
} kernel;

ssize_t __real_sendmsg(int descriptor, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int descriptor, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int descriptor, const struct msghdr *message, int flags)
{
	size_t call = kernel.asked++;
	if (call < 8)
		kernel.lengths[call] = message->msg_iov->iov_len;
	if (call >= kernel.count || kernel.errors[call] == 0)
		return __real_sendmsg(descriptor, message, flags);
	errno = kernel.errors[call];
	return -1;
}

static bool complete(void *owner)
{
	struct end *end = owner;
	end->completed++;
	return !end->cannot_complete;
}

static bool may_send(void *owner, const union wireguard_endpoint *to, const uint8_t *datagram, size_t length)
{
	struct end *end = owner;
	(void)to;
	(void)datagram;
	(void)length;
	return !end->closed_gate;
}

static void on_tried(void *owner, const union wireguard_endpoint *to, int error)
{
	struct end *end = owner;
	assert_int_equal(to->any.sa_family, AF_INET);
	end->outcomes[end->reported++ % 8] = error;
}

static const struct udp_events events = {
	.received = on_received, .writable = on_writable, .complete = complete, .may_send = may_send, .tried = on_tried
};

static void open_end(struct end *end, struct loop *loop, struct udp_batch *batch)
{
	union wireguard_endpoint any = { .v6 = { .sin6_family = AF_INET6 } };
	socklen_t length = sizeof(any.v6);
	int off = 0, room = 4 << 20, descriptor = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_int_equal(bind(descriptor, &any.any, sizeof(any.v6)), 0);
	assert_int_equal(getsockname(descriptor, &any.any, &length), 0);
	*end = (struct end){ .loop = loop,
		             .address = { .v4 = { .sin_family = AF_INET, .sin_port = any.v6.sin6_port, .sin_addr = { htonl(INADDR_LOOPBACK) } } } };
	deferred_init(&end->turn, on_end_of_turn, end);
	end->socket = udp_socket_create(batch, descriptor, &events, end);
	assert_non_null(end->socket);
	udp_socket_start(end->socket);
}

struct pair {
	struct loop *loop;
	struct udp_batch *batch;
	struct end a, b;
};

static void open_pair(struct pair *pair, bool gso)
{
	pair->loop = loop_create();
	pair->batch = udp_batch_create(pair->loop, gso);
	open_end(&pair->a, pair->loop, pair->batch);
	open_end(&pair->b, pair->loop, pair->batch);
}

/* With a kernel that answers so. */
static void open_failing_pair(struct pair *pair, const int *errors, size_t count)
{
	open_pair(pair, true);
	memset(&kernel, 0, sizeof(kernel));
	memcpy(kernel.errors, errors, count * sizeof(*errors));
	kernel.count = count;
}

static void close_pair(struct pair *pair)
{
	udp_socket_free(pair->a.socket);
	udp_socket_free(pair->b.socket);
	udp_batch_free(pair->batch);
	loop_free(pair->loop);
}

static void send_one(struct end *from, struct end *to, size_t length, uint8_t first)
{
	uint8_t *room = udp_reserve(from->socket, &to->address, length);
	assert_non_null(room);
	memset(room, 0, length);
	room[0] = first;
	udp_commit(from->socket, length);
}

/* Datagrams arrive one by one, in order and with their own sizes, whatever trains they travelled in. */
static void exchange(bool gso)
{
	struct pair pair;
	open_pair(&pair, gso);
	static const size_t sizes[] = { 1452, 1452, 1452, 148, 1452, 92, 92, 1452, 32 };
	size_t count = sizeof(sizes) / sizeof(sizes[0]);
	pair.b.wanted = (unsigned)count + 100;
	for (size_t i = 0; i < count; i++)
		send_one(&pair.a, &pair.b, sizes[i], (uint8_t)i);
	for (unsigned i = 0; i < 100; i++) /* longer than a train */
		send_one(&pair.a, &pair.b, 1000, (uint8_t)(count + i));
	udp_batch_flush(pair.batch);
	loop_run(pair.loop);
	for (size_t i = 0; i < pair.b.wanted; i++) {
		assert_int_equal(pair.b.sizes[i], i < count ? sizes[i] : 1000);
		assert_int_equal(pair.b.firsts[i], (uint8_t)i);
	}
	/* Also those that the kernel gives one by one are handed over together. */
	assert_in_range(pair.b.most, 2, UDP_TOGETHER);
	assert_in_range(pair.a.completed, 2, 16);
	assert_int_equal(udp_socket_counts(pair.a.socket)->datagrams_sent, pair.b.wanted);
	assert_int_equal(udp_socket_counts(pair.b.socket)->bytes_received, udp_socket_counts(pair.a.socket)->bytes_sent);
	close_pair(&pair);
}

static void test_trains_keep_order_and_sizes(void **state)
{
	(void)state;
	exchange(true);
}

static void test_one_by_one_does_the_same(void **state)
{
	(void)state;
	exchange(false);
}

static void test_nothing_passes_the_closed_gate(void **state)
{
	(void)state;
	struct pair pair;
	open_pair(&pair, true);
	pair.a.closed_gate = true;
	send_one(&pair.a, &pair.b, 100, 1);
	send_one(&pair.a, &pair.b, 100, 2);
	udp_batch_flush(pair.batch);
	assert_int_equal(udp_socket_counts(pair.a.socket)->refused, 2);
	pair.a.closed_gate = false;
	pair.b.wanted = 1;
	send_one(&pair.a, &pair.b, 100, 3);
	udp_batch_flush(pair.batch);
	loop_run(pair.loop);
	assert_int_equal(pair.b.firsts[0], 3);
	close_pair(&pair);
}

static void test_a_train_that_is_not_complete_does_not_go(void **state)
{
	(void)state;
	struct pair pair;
	open_pair(&pair, true);
	pair.a.cannot_complete = true;
	send_one(&pair.a, &pair.b, 100, 1);
	send_one(&pair.a, &pair.b, 100, 2);
	udp_batch_flush(pair.batch);
	assert_int_equal(pair.a.completed, 1);
	assert_int_equal(udp_socket_counts(pair.a.socket)->refused, 2);
	pair.a.cannot_complete = false;
	pair.b.wanted = 1;
	send_one(&pair.a, &pair.b, 100, 3);
	udp_batch_flush(pair.batch);
	loop_run(pair.loop);
	assert_int_equal(pair.b.firsts[0], 3);
	close_pair(&pair);
}

/* P2: and no longer. */
static void test_datagrams_stay_until_the_turn_ends(void **state)
{
	(void)state;
	struct pair pair;
	open_pair(&pair, true);
	pair.a.wanted = pair.b.wanted = 1;
	send_one(&pair.a, &pair.b, 100, 1);
	send_one(&pair.b, &pair.a, 100, 2);
	udp_batch_flush(pair.batch);
	while (pair.a.received == 0 || pair.b.received == 0)
		loop_run(pair.loop);
	loop_end_turn(pair.loop);
	assert_int_equal(pair.a.ended, 1);
	assert_int_equal(pair.b.ended, 1);
#ifdef POISON_WATCHED
	assert_true(__asan_address_is_poisoned(pair.a.kept));
	assert_true(__asan_address_is_poisoned(pair.b.kept));
#endif
	close_pair(&pair);
}

/* Four datagrams of 100 bytes as one train, to a kernel that answers so. Ends when `wanted` of them came. */
static void send_four(const int *errors, size_t count, unsigned wanted, struct end *a, struct udp_counts *counts)
{
	struct pair pair;
	open_failing_pair(&pair, errors, count);
	pair.b.wanted = wanted;
	for (uint8_t i = 0; i < 4; i++)
		send_one(&pair.a, &pair.b, 100, i);
	udp_batch_flush(pair.batch);
	loop_run(pair.loop);
	for (unsigned i = 0; i < wanted; i++)
		assert_int_equal(pair.b.firsts[i], i + 4 - wanted);
	*counts = *udp_socket_counts(pair.a.socket);
	close_pair(&pair);
	*a = pair.a;
}

/* What the kernel has no room for waits until it has, and its owner is told; nothing is lost or counted twice. */
static void test_a_full_socket_is_waited_for(void **state)
{
	(void)state;
	static const int full[] = { EAGAIN, ENOBUFS, ENOMEM };
	for (size_t i = 0; i < 3; i++) {
		struct end a;
		struct udp_counts counts;
		send_four(&full[i], 1, 4, &a, &counts);
		assert_int_equal(a.had_room, 1);
		assert_int_equal(counts.datagrams_sent, 4);
		assert_int_equal(counts.bytes_sent, 400);
		assert_int_equal(counts.refused, 0);
	}
}

static void test_a_full_socket_takes_nothing_more(void **state)
{
	(void)state;
	static const int full[] = { EAGAIN, EAGAIN };
	struct pair pair;
	open_failing_pair(&pair, full, 2);
	pair.b.wanted = 2;
	send_one(&pair.a, &pair.b, 100, 0);
	send_one(&pair.a, &pair.b, 100, 1);
	/* A longer one ends the train, which finds no room: neither does the longer one. */
	assert_null(udp_reserve(pair.a.socket, &pair.b.address, 101));
	assert_null(udp_reserve(pair.a.socket, &pair.b.address, 10));
	loop_run(pair.loop);
	/* Full a second time, and told once it was sent. */
	assert_int_equal(kernel.asked, 3);
	assert_int_equal(pair.a.had_room, 1);
	assert_int_equal(pair.b.firsts[0], 0);
	assert_int_equal(pair.b.firsts[1], 1);
	assert_non_null(udp_reserve(pair.a.socket, &pair.b.address, 10));
	close_pair(&pair);
}

/* A train that cannot go as one goes one by one; what cannot go so either is counted, and what follows it is sent. */
static void test_a_train_that_cannot_go_is_taken_apart(void **state)
{
	(void)state;
	static const int no_offload[] = { EIO, 0 }, small_mtu[] = { EMSGSIZE, EMSGSIZE, 0 }, interrupted[] = { EINTR, EINTR };
	struct end a;
	struct udp_counts counts;
	/* Without checksum offload no train is tried again. */
	send_four(no_offload, 2, 4, &a, &counts);
	assert_int_equal(counts.datagrams_sent, 4);
	assert_int_equal(counts.refused, 0);
	assert_int_equal(kernel.asked, 5);
	for (size_t i = 1; i < 5; i++)
		assert_int_equal(kernel.lengths[i], 100);
	/* The first is too large by itself; the other three go as a train again. */
	send_four(small_mtu, 3, 3, &a, &counts);
	assert_int_equal(counts.datagrams_sent, 3);
	assert_int_equal(counts.bytes_sent, 300);
	assert_int_equal(counts.refused, 1);
	assert_int_equal(kernel.lengths[2], 300);
	send_four(interrupted, 2, 4, &a, &counts);
	assert_int_equal(counts.datagrams_sent, 4);
	assert_int_equal(counts.refused, 0);
	/* Half of it went when there was no more room. */
	static const int half[] = { EMSGSIZE, 0, EAGAIN };
	send_four(half, 3, 4, &a, &counts);
	assert_int_equal(counts.datagrams_sent, 4);
	assert_int_equal(a.had_room, 1);
	assert_int_equal(kernel.lengths[3], 300);
	/* So did what waited for room, which is then full again. */
	static const int twice[] = { EAGAIN, EMSGSIZE, 0, EAGAIN };
	send_four(twice, 4, 4, &a, &counts);
	assert_int_equal(counts.datagrams_sent, 4);
	assert_int_equal(a.had_room, 1);
}

/* The peer may have moved while its train waited for room: P1. */
static void test_what_waited_for_room_passes_the_gate_again(void **state)
{
	(void)state;
	static const int full[] = { EAGAIN };
	struct pair pair;
	open_failing_pair(&pair, full, 1);
	send_one(&pair.a, &pair.b, 100, 1);
	send_one(&pair.a, &pair.b, 100, 2);
	udp_batch_flush(pair.batch);
	pair.a.closed_gate = true;
	pair.a.ends_with_room = true;
	loop_run(pair.loop);
	assert_int_equal(kernel.asked, 1);
	assert_int_equal(pair.a.had_room, 1);
	assert_int_equal(udp_socket_counts(pair.a.socket)->refused, 2);
	close_pair(&pair);
}

/* But not of a train that is too large for the route. */
static void test_the_owner_is_told_what_the_kernel_says(void **state)
{
	(void)state;
	static const int errors[] = { EMSGSIZE, ENETUNREACH, EPERM, 0, 0 };
	struct pair pair;
	open_failing_pair(&pair, errors, 5);
	for (uint8_t i = 0; i < 5; i++) {
		send_one(&pair.a, &pair.b, 100, i);
		udp_batch_flush(pair.batch);
	}
	assert_int_equal(pair.a.reported, 4);
	assert_int_equal(pair.a.outcomes[0], ENETUNREACH);
	assert_int_equal(pair.a.outcomes[1], EPERM);
	assert_int_equal(pair.a.outcomes[2], 0);
	assert_int_equal(udp_socket_counts(pair.a.socket)->refused, 3);
	close_pair(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trains_keep_order_and_sizes),
		cmocka_unit_test(test_one_by_one_does_the_same),
		cmocka_unit_test(test_nothing_passes_the_closed_gate),
		cmocka_unit_test(test_a_train_that_is_not_complete_does_not_go),
		cmocka_unit_test(test_datagrams_stay_until_the_turn_ends),
		cmocka_unit_test(test_a_full_socket_is_waited_for),
		cmocka_unit_test(test_a_full_socket_takes_nothing_more),
		cmocka_unit_test(test_a_train_that_cannot_go_is_taken_apart),
		cmocka_unit_test(test_what_waited_for_room_passes_the_gate_again),
		cmocka_unit_test(test_the_owner_is_told_what_the_kernel_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
