/* A request for a socket waits: for the tunnel's turn, for its rate, for a connection. Its tunnel may be deleted meanwhile, and another one have the
 * slot, at the same generation: that one gets and loses nothing by it (P2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/worker/broker.h"
#include "service/worker/protection.h"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_want_that_waits_for_the_turn_is_no_other_tunnels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_want_that_waits_for_the_turn_is_not_of_the_same_id, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_want_over_the_rate_is_no_other_tunnels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_connection_is_given_to_no_other_tunnel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_dialled_for_a_tunnel_that_is_gone, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
