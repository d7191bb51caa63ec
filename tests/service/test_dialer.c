/* Connections to the targets of inbound forwards: address after address, never to a socket of the daemon, never for a tunnel that is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "service/worker/dialer.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_worker.h"

#define TURNS_MOST 1000 /* against a hang only */

struct endpoint_resolver_query {
	void (*done)(void *owner, const struct message_addresses *addresses, bool more);
	void *owner;
	bool is_cancelled;
};

static struct endpoint_resolver_query query;
static bool resolver_lacks_memory;

struct endpoint_resolver_query *__wrap_endpoint_resolver_ask(struct endpoint_resolver *resolver, const char *name, uint16_t port,
                                                             void (*done)(void *owner, const struct message_addresses *addresses, bool more),
                                                             void *owner);
void __wrap_endpoint_resolver_cancel(struct endpoint_resolver_query *asked);

struct endpoint_resolver_query *__wrap_endpoint_resolver_ask(struct endpoint_resolver *resolver, const char *name, uint16_t port,
                                                             void (*done)(void *owner, const struct message_addresses *addresses, bool more),
                                                             void *owner)
{
	(void)resolver, (void)name, (void)port;
	query = (struct endpoint_resolver_query){ .done = done, .owner = owner };
	return resolver_lacks_memory ? NULL : &query;
}

void __wrap_endpoint_resolver_cancel(struct endpoint_resolver_query *asked)
{
	if (asked != NULL)
		asked->is_cancelled = true;
}

static struct dialer *dialer;
static struct protection *protection;
static struct entry *entry;
static char directory[64];
static char *root = directory;
static const struct socket_roots roots = { .list = &root, .count = 1 };

static struct {
	unsigned count;
	bool has_descriptor;
	int error;
} answered;

static void on_answer(void *owner, struct want *want, int descriptor, int error)
{
	(void)owner;
	answered.count++;
	answered.has_descriptor = descriptor >= 0;
	answered.error = error;
	if (descriptor >= 0)
		close(descriptor);
	want_free(want);
}

static int set_up(void **state)
{
	bench_worker_set_up(state);
	memset(&answered, 0, sizeof(answered));
	resolver_lacks_memory = false;
	snprintf(directory, sizeof(directory), "/tmp/warren-dialer-XXXXXX");
	assert_non_null(mkdtemp(directory));
	protection = protection_create(bench.registry);
	const struct dialer_means means = {
		.loop = &bench.loop, .registry = bench.registry, .protection = protection, .roots = &roots, .answer = on_answer
	};
	dialer = dialer_create(&means);
	entry = bench_worker_add("a", NULL);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];
	dialer_end_of(dialer, &bench.worker);
	bench_worker_tear_down(state);
	dialer_free(dialer);
	protection_free(protection);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static void dial(const char *host, uint16_t port, enum spec_transport transport)
{
	const struct message_want message = { .slot = slot_index(entry->slot), .generation = 1 };
	struct want *want = want_create(&bench.worker, entry, MESSAGE_WANT_DIAL, &message);
	char copy[128];
	snprintf(copy, sizeof(copy), "%s", host);
	const struct spec_forward forward = {
		.direction = SPEC_INBOUND,
		.transport = transport,
		.target = { .kind = host[0] == '/' ? SPEC_PLACE_UNIX : SPEC_PLACE_INET, .host = copy, .port = port },
	};
	dialer_start(dialer, &forward, want);
}

static void wait_for_answer(void)
{
	for (int i = 0; i < TURNS_MOST && answered.count == 0; i++)
		uv_run(&bench.loop, UV_RUN_ONCE);
	assert_int_equal(answered.count, 1);
}

static int listen_on_loopback(union wireguard_endpoint *address)
{
	socklen_t length = sizeof(address->v4);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*address = (union wireguard_endpoint){ .v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
	assert_int_equal(bind(listener, &address->any, length), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(getsockname(listener, &address->any, &length), 0);
	return listener;
}

static void a_target_is_connected_to(void **state)
{
	union wireguard_endpoint address;
	(void)state;
	int listener = listen_on_loopback(&address);
	dial("127.0.0.1", ntohs(address.v4.sin_port), SPEC_TCP);
	wait_for_answer();
	assert_true(answered.has_descriptor);
	close(listener);
	answered.count = 0;
	dial("127.0.0.1", ntohs(address.v4.sin_port), SPEC_TCP);
	wait_for_answer();
	assert_false(answered.has_descriptor);
	assert_int_equal(answered.error, ECONNREFUSED);
	answered.count = 0;
	dial("127.0.0.1", ntohs(address.v4.sin_port), SPEC_UDP);
	wait_for_answer();
	assert_true(answered.has_descriptor);
}

/* P1, X7 */
static void a_socket_of_the_daemon_is_refused(void **state)
{
	union wireguard_endpoint address;
	(void)state;
	int listener = listen_on_loopback(&address);
	assert_true(protection_add_address(protection, &address.any));
	dial("127.0.0.1", ntohs(address.v4.sin_port), SPEC_TCP);
	assert_int_equal(answered.count, 1);
	assert_int_equal(answered.error, EACCES);
	close(listener);
}

static void addresses_are_tried_in_order(void **state)
{
	union wireguard_endpoint open, closed, own;
	(void)state;
	close(listen_on_loopback(&closed));
	int listener = listen_on_loopback(&open), other = listen_on_loopback(&own);
	assert_true(protection_add_address(protection, &own.any));
	dial("name.example", 1, SPEC_TCP);
	assert_int_equal(answered.count, 0);
	const struct message_addresses addresses = { .list = { own, closed, open }, .count = 3 };
	query.done(query.owner, &addresses, true);
	wait_for_answer();
	assert_true(answered.has_descriptor);
	/* The other family's addresses are not waited for. */
	assert_true(query.is_cancelled);
	close(listener);
	close(other);
}

static void a_name_without_an_address_cannot_be_reached(void **state)
{
	const struct message_addresses none = { .count = 0 };
	(void)state;
	dial("name.example", 1, SPEC_TCP);
	query.done(query.owner, &none, false);
	assert_int_equal(answered.count, 1);
	assert_int_equal(answered.error, EHOSTUNREACH);
}

static void what_memory_is_missing_for_is_answered(void **state)
{
	(void)state;
	resolver_lacks_memory = true;
	dial("name.example", 1, SPEC_TCP);
	assert_int_equal(answered.error, ENOMEM);
	const struct message_want message = { .slot = slot_index(entry->slot), .generation = 1 };
	struct want *want = want_create(&bench.worker, entry, MESSAGE_WANT_DIAL, &message);
	char host[] = "127.0.0.1";
	const struct spec_forward forward = { .transport = SPEC_TCP, .target = { .kind = SPEC_PLACE_INET, .host = host, .port = 1 } };
	heap_fails_after(0);
	dialer_start(dialer, &forward, want);
	assert_null(want_create(&bench.worker, entry, MESSAGE_WANT_DIAL, &message));
	heap_works();
	assert_int_equal(answered.count, 2);
	assert_int_equal(answered.error, ENOBUFS);
}

static void nothing_is_tried_for_a_tunnel_that_is_gone(void **state)
{
	union wireguard_endpoint open;
	(void)state;
	int listener = listen_on_loopback(&open);
	dial("name.example", 1, SPEC_TCP);
	bench_worker_remove(entry);
	const struct message_addresses addresses = { .list = { open }, .count = 1 };
	query.done(query.owner, &addresses, false);
	assert_int_equal(answered.count, 1);
	assert_false(answered.has_descriptor);
	close(listener);
}

/* The process that asked is gone: its successor asked for nothing. */
static void a_worker_that_died_gets_no_answer(void **state)
{
	union wireguard_endpoint open;
	(void)state;
	int listener = listen_on_loopback(&open);
	dial("name.example", 1, SPEC_TCP);
	dialer_end_of(dialer, NULL);
	assert_false(query.is_cancelled);
	dialer_end_of(dialer, &bench.worker);
	assert_true(query.is_cancelled);
	dial("127.0.0.1", ntohs(open.v4.sin_port), SPEC_TCP);
	bench.worker.state = WORKER_DYING;
	for (int i = 0; i < 3; i++)
		uv_run(&bench.loop, UV_RUN_NOWAIT);
	assert_int_equal(answered.count, 0);
	bench.worker.state = WORKER_READY;
	close(listener);
}

static void unix_targets_are_found_anew(void **state)
{
	char path[128];
	(void)state;
	snprintf(path, sizeof(path), "%s/target", directory);
	dial(path, 0, SPEC_TCP);
	assert_int_equal(answered.count, 1);
	assert_int_equal(answered.error, ENOENT);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	/* One of this process, which listens itself, is the daemon's own. */
	assert_int_equal(listen(listener, 4), 0);
	dial(path, 0, SPEC_TCP);
	assert_int_equal(answered.count, 2);
	assert_false(answered.has_descriptor);
	assert_true(protection_add_path(protection, path));
	dial(path, 0, SPEC_TCP);
	assert_int_equal(answered.count, 3);
	assert_int_equal(answered.error, EACCES);
	close(listener);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_target_is_connected_to),
		TEST(a_socket_of_the_daemon_is_refused),
		TEST(addresses_are_tried_in_order),
		TEST(a_name_without_an_address_cannot_be_reached),
		TEST(what_memory_is_missing_for_is_answered),
		TEST(nothing_is_tried_for_a_tunnel_that_is_gone),
		TEST(a_worker_that_died_gets_no_answer),
		TEST(unix_targets_are_found_anew),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
