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
	size_t sizes[256];
	uint8_t firsts[256];
	bool closed_gate;
	struct deferred turn;
	const uint8_t *kept; /* the last datagram */
	unsigned ended, had_room;
};

static void on_received(void *owner, uint8_t *datagram, size_t length, const union wireguard_endpoint *from)
{
	struct end *end = owner;
	assert_int_equal(from->any.sa_family, AF_INET); /* never a mapped address */
	end->sizes[end->received] = length;
	end->firsts[end->received] = datagram[0];
	end->kept = datagram;
	deferred_queue(end->loop, &end->turn);
	if (++end->received == end->wanted)
		loop_stop(end->loop);
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

static bool may_send(void *owner, const union wireguard_endpoint *to, const uint8_t *datagram, size_t length)
{
	struct end *end = owner;
	(void)to;
	(void)datagram;
	(void)length;
	return !end->closed_gate;
}

static const struct udp_events events = { .received = on_received, .writable = on_writable, .may_send = may_send };

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
	struct loop *loop = loop_create();
	struct udp_batch *batch = udp_batch_create(loop, gso);
	struct end a, b;
	open_end(&a, loop, batch);
	open_end(&b, loop, batch);
	static const size_t sizes[] = { 1452, 1452, 1452, 148, 1452, 92, 92, 1452, 32 };
	size_t count = sizeof(sizes) / sizeof(sizes[0]);
	b.wanted = (unsigned)count + 100;
	for (size_t i = 0; i < count; i++)
		send_one(&a, &b, sizes[i], (uint8_t)i);
	for (unsigned i = 0; i < 100; i++) /* longer than a train */
		send_one(&a, &b, 1000, (uint8_t)(count + i));
	udp_batch_flush(batch);
	loop_run(loop);
	for (size_t i = 0; i < b.wanted; i++) {
		assert_int_equal(b.sizes[i], i < count ? sizes[i] : 1000);
		assert_int_equal(b.firsts[i], (uint8_t)i);
	}
	assert_int_equal(udp_socket_counts(a.socket)->datagrams_sent, b.wanted);
	assert_int_equal(udp_socket_counts(b.socket)->bytes_received, udp_socket_counts(a.socket)->bytes_sent);
	udp_socket_free(a.socket);
	udp_socket_free(b.socket);
	udp_batch_free(batch);
	loop_free(loop);
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
	struct loop *loop = loop_create();
	struct udp_batch *batch = udp_batch_create(loop, true);
	struct end a, b;
	open_end(&a, loop, batch);
	open_end(&b, loop, batch);
	a.closed_gate = true;
	send_one(&a, &b, 100, 1);
	send_one(&a, &b, 100, 2);
	udp_batch_flush(batch);
	assert_int_equal(udp_socket_counts(a.socket)->refused, 2);
	a.closed_gate = false;
	b.wanted = 1;
	send_one(&a, &b, 100, 3);
	udp_batch_flush(batch);
	loop_run(loop);
	assert_int_equal(b.firsts[0], 3);
	udp_socket_free(a.socket);
	udp_socket_free(b.socket);
	udp_batch_free(batch);
	loop_free(loop);
}

/* P2: and no longer. */
static void test_datagrams_stay_until_the_turn_ends(void **state)
{
	(void)state;
	struct loop *loop = loop_create();
	struct udp_batch *batch = udp_batch_create(loop, true);
	struct end a, b;
	open_end(&a, loop, batch);
	open_end(&b, loop, batch);
	a.wanted = b.wanted = 1;
	send_one(&a, &b, 100, 1);
	send_one(&b, &a, 100, 2);
	udp_batch_flush(batch);
	while (a.received == 0 || b.received == 0)
		loop_run(loop);
	loop_end_turn(loop);
	assert_int_equal(a.ended, 1);
	assert_int_equal(b.ended, 1);
#ifdef POISON_WATCHED
	assert_true(__asan_address_is_poisoned(a.kept));
	assert_true(__asan_address_is_poisoned(b.kept));
#endif
	udp_socket_free(a.socket);
	udp_socket_free(b.socket);
	udp_batch_free(batch);
	loop_free(loop);
}

/* Four datagrams of 100 bytes as one train, to a kernel that answers so. Ends when `wanted` of them came. */
static void send_four(const int *errors, size_t count, unsigned wanted, struct end *a, struct udp_counts *counts)
{
	struct loop *loop = loop_create();
	struct udp_batch *batch = udp_batch_create(loop, true);
	struct end b;
	open_end(a, loop, batch);
	open_end(&b, loop, batch);
	memset(&kernel, 0, sizeof(kernel));
	memcpy(kernel.errors, errors, count * sizeof(*errors));
	kernel.count = count;
	b.wanted = wanted;
	for (uint8_t i = 0; i < 4; i++)
		send_one(a, &b, 100, i);
	udp_batch_flush(batch);
	loop_run(loop);
	for (unsigned i = 0; i < wanted; i++)
		assert_int_equal(b.firsts[i], i + 4 - wanted);
	*counts = *udp_socket_counts(a->socket);
	udp_socket_free(a->socket);
	udp_socket_free(b.socket);
	udp_batch_free(batch);
	loop_free(loop);
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
	struct loop *loop = loop_create();
	struct udp_batch *batch = udp_batch_create(loop, true);
	struct end a, b;
	open_end(&a, loop, batch);
	open_end(&b, loop, batch);
	memset(&kernel, 0, sizeof(kernel));
	kernel.errors[0] = kernel.errors[1] = EAGAIN;
	kernel.count = 2;
	b.wanted = 2;
	send_one(&a, &b, 100, 0);
	send_one(&a, &b, 100, 1);
	/* A longer one ends the train, which finds no room: neither does the longer one. */
	assert_null(udp_reserve(a.socket, &b.address, 101));
	assert_null(udp_reserve(a.socket, &b.address, 10));
	loop_run(loop);
	/* Full a second time, and told once it was sent. */
	assert_int_equal(kernel.asked, 3);
	assert_int_equal(a.had_room, 1);
	assert_int_equal(b.firsts[0], 0);
	assert_int_equal(b.firsts[1], 1);
	assert_non_null(udp_reserve(a.socket, &b.address, 10));
	udp_socket_free(a.socket);
	udp_socket_free(b.socket);
	udp_batch_free(batch);
	loop_free(loop);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trains_keep_order_and_sizes),           cmocka_unit_test(test_one_by_one_does_the_same),
		cmocka_unit_test(test_nothing_passes_the_closed_gate),        cmocka_unit_test(test_datagrams_stay_until_the_turn_ends),
		cmocka_unit_test(test_a_full_socket_is_waited_for),           cmocka_unit_test(test_a_full_socket_takes_nothing_more),
		cmocka_unit_test(test_a_train_that_cannot_go_is_taken_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
