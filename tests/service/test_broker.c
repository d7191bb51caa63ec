/* A request for a socket waits: for the tunnel's turn, for its rate, for a connection. Its tunnel may be deleted meanwhile, and another one have the
 * slot, at the same generation: that one gets and loses nothing by it (P2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/worker/broker.h"
#include "service/worker/protection.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_worker.h"

#define UDP_BURST 8 /* of fresh UDP sockets */

static struct broker *broker;
static struct endpoint_resolver *resolver;
static struct protection *protection;

static int set_up(void **state)
{
	bench_worker_set_up(state);
	resolver = endpoint_resolver_create(&bench.loop);
	protection = protection_create(bench.registry);
	const struct broker_means means = { .loop = &bench.loop,
		                            .registry = bench.registry,
		                            .locks = bench.locks,
		                            .slots = bench.slots,
		                            .resolver = resolver,
		                            .protection = protection };
	broker = broker_create(&means, 1);
	assert_non_null(broker);
	return 0;
}

static int tear_down(void **state)
{
	broker_forget(broker, &bench.worker);
	endpoint_resolver_free(resolver);
	bench_worker_tear_down(state);
	broker_free(broker);
	protection_free(protection);
	return 0;
}

static void want(const struct entry *entry, enum message_type type, uint64_t request)
{
	const struct message_want message = { .request = request, .slot = slot_index(entry->slot), .generation = entry->snapshot->generation };
	assert_true(broker_take(broker, &bench.worker, type, &message));
}

static void assert_granted(uint64_t request, enum message_status status)
{
	bool has_descriptor;
	struct message_ack ack = bench_worker_granted(&has_descriptor);
	assert_int_equal(ack.request, request);
	assert_int_equal(ack.status, status);
	assert_int_equal(has_descriptor, status == MESSAGE_STATUS_OK);
}

/* Its slot goes to another tunnel. */
static struct entry *replace(struct entry *entry, const char *id)
{
	uint32_t slot = slot_index(entry->slot);
	bench_worker_remove(entry);
	struct entry *next = bench_worker_add(id, NULL);
	assert_int_equal(slot_index(next->slot), slot);
	return next;
}

static void nothing(void *owner)
{
	(void)owner;
}

static void waits_for_the_turn_of(const char *heir)
{
	struct lock_claim turn;
	struct entry *entry = bench_worker_add("a", NULL);
	lock_queue_claim_one(bench.locks, &turn, "a", nothing, NULL);
	want(entry, MESSAGE_WANT_UDP, 7);
	struct entry *next = replace(entry, heir);
	uint16_t port = next->snapshot->udp_port;
	lock_queue_release(bench.locks, &turn);
	assert_granted(7, MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(next->snapshot->udp_port, port);
}

static void a_want_that_waits_for_the_turn_is_no_other_tunnels(void **state)
{
	(void)state;
	waits_for_the_turn_of("b");
}

static void a_want_that_waits_for_the_turn_is_not_of_the_same_id(void **state)
{
	(void)state;
	waits_for_the_turn_of("a");
}

static void a_want_over_the_rate_is_no_other_tunnels(void **state)
{
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	for (uint64_t request = 1; request <= UDP_BURST + 1; request++)
		want(entry, MESSAGE_WANT_UDP, request);
	for (uint64_t request = 1; request <= UDP_BURST; request++)
		assert_granted(request, MESSAGE_STATUS_OK);
	struct entry *next = replace(entry, "b");
	uint16_t port = next->snapshot->udp_port;
	assert_granted(UDP_BURST + 1, MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(next->snapshot->udp_port, port);
}

static int listen_on_loopback(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	*port = ntohs(address.sin_port);
	return listener;
}

static struct spec_forward *inbound_to(const char *host, uint16_t port)
{
	struct spec_forward *forward = calloc(1, sizeof(*forward));
	*forward = (struct spec_forward){ .name = strdup("f"), .direction = SPEC_INBOUND, .transport = SPEC_TCP };
	forward->target = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup(host), .port = port };
	forward->listen = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup("10.0.0.2"), .port = 80 };
	return forward;
}

static void a_connection_is_given_to_no_other_tunnel(void **state)
{
	uint16_t port;
	(void)state;
	int listener = listen_on_loopback(&port);
	struct entry *entry = bench_worker_add("a", inbound_to("127.0.0.1", port));
	want(entry, MESSAGE_WANT_DIAL, 1);
	assert_granted(1, MESSAGE_STATUS_OK);
	want(entry, MESSAGE_WANT_DIAL, 2);
	(void)replace(entry, "a");
	assert_granted(2, MESSAGE_STATUS_UNKNOWN);
	close(listener);
}

static void nothing_is_dialled_for_a_tunnel_that_is_gone(void **state)
{
	uint16_t port;
	(void)state;
	int listener = listen_on_loopback(&port);
	/* In capitals it is found in /etc/hosts, without c-ares' special case for it, which leaks memory in 1.18. */
	struct entry *entry = bench_worker_add("a", inbound_to("LOCALHOST", port));
	want(entry, MESSAGE_WANT_DIAL, 1);
	(void)replace(entry, "a");
	assert_granted(1, MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(accept(listener, NULL, NULL), -1);
	close(listener);
}

static bool ask(const struct entry *entry, enum message_type type, uint64_t request, uint16_t index, const char *local)
{
	struct message_want message = {
		.request = request, .slot = slot_index(entry->slot), .generation = entry->snapshot->generation, .index = index
	};
	if (local != NULL && inet_pton(AF_INET, local, &message.local.v4.sin_addr) == 1)
		message.local.v4.sin_family = AF_INET;
	else if (local != NULL && inet_pton(AF_INET6, local, &message.local.v6.sin6_addr) == 1)
		message.local.v6.sin6_family = AF_INET6;
	return broker_take(broker, &bench.worker, type, &message);
}

static void what_is_of_no_tunnel_is_answered_or_ends_the_worker(void **state)
{
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	struct message_want message = { .request = 1, .slot = slot_index(entry->slot), .generation = 99 };
	assert_true(broker_take(broker, &bench.worker, MESSAGE_WANT_UDP, &message));
	assert_granted(1, MESSAGE_STATUS_UNKNOWN);
	message.slot = COUNTERS_TUNNELS;
	assert_false(broker_take(broker, &bench.worker, MESSAGE_WANT_UDP, &message));
}

/* P6 */
static void a_tunnel_has_so_many_unanswered(void **state)
{
	struct lock_claim turn;
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	lock_queue_claim_one(bench.locks, &turn, "a", nothing, NULL);
	for (uint64_t request = 1; request <= MESSAGE_WANTS_MOST; request++)
		assert_true(ask(entry, MESSAGE_WANT_UDP, request, 0, NULL));
	assert_false(ask(entry, MESSAGE_WANT_UDP, 99, 0, NULL));
	/* What the process that died had asked for is not owed to the next one. */
	broker_forget(broker, &bench.worker);
	bench.worker.incarnation++;
	assert_true(ask(entry, MESSAGE_WANT_DIAL, 100, 0, NULL));
	lock_queue_release(bench.locks, &turn);
	assert_granted(100, MESSAGE_STATUS_UNKNOWN);
}

/* Its port is not given to a process that did not ask. */
static void a_new_socket_is_of_the_process_that_asked(void **state)
{
	struct lock_claim turn;
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	uint16_t port = entry->snapshot->udp_port;
	lock_queue_claim_one(bench.locks, &turn, "a", nothing, NULL);
	want(entry, MESSAGE_WANT_UDP, 1);
	bench.worker.incarnation++;
	lock_queue_release(bench.locks, &turn);
	assert_int_equal(entry->snapshot->udp_port, port);
	want(entry, MESSAGE_WANT_UDP, 2);
	assert_granted(2, MESSAGE_STATUS_OK);
	assert_int_not_equal(entry->snapshot->udp_port, port);
}

static void only_inbound_forwards_are_dialled(void **state)
{
	(void)state;
	struct spec_forward *forward = inbound_to("127.0.0.1", 9);
	struct entry *entry = bench_worker_add("a", forward);
	assert_true(ask(entry, MESSAGE_WANT_DIAL, 1, 1, NULL));
	assert_granted(1, MESSAGE_STATUS_UNKNOWN);
	forward->direction = SPEC_OUTBOUND;
	assert_true(ask(entry, MESSAGE_WANT_DIAL, 2, 0, NULL));
	assert_granted(2, MESSAGE_STATUS_UNKNOWN);
	forward->direction = SPEC_INBOUND;
	assert_true(ask(entry, MESSAGE_WANT_DIAL, 3, 0, NULL));
	assert_granted(3, MESSAGE_STATUS_REFUSED);
}

/* A tunnel that listens for its proxy there. */
static struct entry *add_listener(const char *id, const char *host)
{
	struct entry *entry = bench_worker_add(id, NULL);
	struct spec *spec = &entry->snapshot->spec;
	struct socket_pool none = { .count = 0 };
	struct problem problem;
	spec->listen = calloc(1, sizeof(*spec->listen));
	spec->listen[0] = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup(host) };
	spec->listen_count = 1;
	const struct socket_request request = { .spec = spec, .next_id = &entry->next_socket_id, .pointer = "" };
	problem_init(&problem);
	socket_list_clear(&entry->sockets);
	assert_true(socket_list_want(&entry->sockets, spec));
	assert_true(socket_list_open(&entry->sockets, &request, &none, &problem));
	return entry;
}

/* RFC 1928, 7: the datagrams come where the client's connection came, and nowhere else. */
static void relays_are_beside_their_listener(void **state)
{
	static const struct {
		const char *listener, *local;
		uint16_t index;
		enum message_status status;
	} cases[] = {
		{ "127.0.0.1", "127.0.0.1", 0, MESSAGE_STATUS_OK },      { "127.0.0.1", "127.0.0.2", 0, MESSAGE_STATUS_OK },
		{ "127.0.0.1", "192.0.2.1", 0, MESSAGE_STATUS_REFUSED }, { "127.0.0.1", "0.0.0.0", 0, MESSAGE_STATUS_REFUSED },
		{ "127.0.0.1", NULL, 0, MESSAGE_STATUS_REFUSED },        { "127.0.0.1", "127.0.0.1", 1, MESSAGE_STATUS_REFUSED },
		{ "0.0.0.0", "127.0.0.1", 0, MESSAGE_STATUS_OK },        { "0.0.0.0", "192.0.2.1", 0, MESSAGE_STATUS_REFUSED },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct entry *entry = add_listener("a", cases[i].listener);
		assert_true(ask(entry, MESSAGE_WANT_RELAY, i + 1, cases[i].index, cases[i].local));
		assert_granted(i + 1, cases[i].status);
		bench_worker_remove(entry);
	}
}

/* Of a client that came to the pool. P1 */
static void relays_of_a_pool_are_beside_its_listener(void **state)
{
	(void)state;
	struct entry *member = bench_worker_add("a", NULL), *stranger = bench_worker_add("b", NULL), *pool = add_listener("/p", "127.0.0.1");
	struct spec *spec = &pool->snapshot->spec;
	spec->kind = SPEC_POOL;
	spec->pool.members.tunnels = calloc(1, sizeof(char *));
	spec->pool.members.tunnels[0] = strdup("a");
	spec->pool.members.tunnel_count = 1;
	struct message_want message = { .request = 1, .slot = slot_index(member->slot), .generation = 1, .pool = pool->number };
	message.local.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_true(broker_take(broker, &bench.worker, MESSAGE_WANT_RELAY, &message));
	assert_granted(1, MESSAGE_STATUS_OK);
	/* Of its own it has none. */
	message.request = 2;
	message.pool = 0;
	assert_true(broker_take(broker, &bench.worker, MESSAGE_WANT_RELAY, &message));
	assert_granted(2, MESSAGE_STATUS_REFUSED);
	/* One that is no member, and a pool that is none. */
	message.request = 3;
	message.pool = pool->number;
	message.slot = slot_index(stranger->slot);
	assert_true(broker_take(broker, &bench.worker, MESSAGE_WANT_RELAY, &message));
	assert_granted(3, MESSAGE_STATUS_REFUSED);
	message.request = 4;
	message.pool = member->number;
	message.slot = slot_index(member->slot);
	assert_true(broker_take(broker, &bench.worker, MESSAGE_WANT_RELAY, &message));
	assert_granted(4, MESSAGE_STATUS_REFUSED);
}

static void a_tunnel_without_a_socket_gets_no_other(void **state)
{
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	socket_list_clear(&entry->sockets);
	want(entry, MESSAGE_WANT_UDP, 1);
	assert_granted(1, MESSAGE_STATUS_REFUSED);
}

static void descriptors_that_are_missing_are_told(void **state)
{
	struct rlimit limit, none;
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	want(entry, MESSAGE_WANT_UDP, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_granted(1, MESSAGE_STATUS_DESCRIPTORS);
}

static void memory_that_is_missing_is_told(void **state)
{
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	/* For the request, for its turn, and for the tunnel's new snapshot. */
	for (unsigned number = 0; number < 4; number++) {
		heap_fails_once_after(number);
		want(entry, MESSAGE_WANT_UDP, number + 1);
		heap_works();
		assert_granted(number + 1, MESSAGE_STATUS_NO_MEMORY);
	}
	const struct broker_means means = { .loop = &bench.loop };
	for (unsigned number = 0; number < 3; number++) {
		heap_fails_once_after(number);
		struct broker *none = broker_create(&means, 1);
		heap_works();
		assert_null(none);
	}
	broker_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_want_that_waits_for_the_turn_is_no_other_tunnels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_want_that_waits_for_the_turn_is_not_of_the_same_id, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_want_over_the_rate_is_no_other_tunnels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_connection_is_given_to_no_other_tunnel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_dialled_for_a_tunnel_that_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_of_no_tunnel_is_answered_or_ends_the_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_has_so_many_unanswered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_new_socket_is_of_the_process_that_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_inbound_forwards_are_dialled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(relays_are_beside_their_listener, set_up, tear_down),
		cmocka_unit_test_setup_teardown(relays_of_a_pool_are_beside_its_listener, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_without_a_socket_gets_no_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(descriptors_that_are_missing_are_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(memory_that_is_missing_is_told, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
