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
	unsigned ended;
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
	(void)owner;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trains_keep_order_and_sizes),
		cmocka_unit_test(test_one_by_one_does_the_same),
		cmocka_unit_test(test_nothing_passes_the_closed_gate),
		cmocka_unit_test(test_datagrams_stay_until_the_turn_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
