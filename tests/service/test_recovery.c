/* Workers that die, hang or lie, host sockets that they request, and the state after a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/descriptors.h"
#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

static void pause_ms(int ms)
{
	struct timespec pause = { .tv_nsec = ms * 1000000l };
	nanosleep(&pause, NULL);
}

static void wait_for_state(const char *id, enum tunnel_state wanted, struct snapshot_status *status)
{
	for (int i = 0; i < 2000; i++) {
		struct snapshot *snapshot = bench_find(&own_bench, id);
		snapshot_status(snapshot, status);
		snapshot_release(snapshot);
		if (status->state == wanted)
			return;
		pause_ms(10);
	}
	fail_msg("%s stays %s", id, tunnel_state_name(status->state));
}

static uint64_t restarts(void)
{
	struct service_worker_stats stats;
	service_worker_stats(own_bench.service, &stats);
	return stats.restarts;
}

static void a_worker_that_dies_is_replaced_with_its_tunnels(void **state)
{
	struct snapshot_status status;
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-a", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-b", bench_document(NULL)), PROBLEM_NONE);
	struct snapshot *a = bench_find(&own_bench, "up-a"), *b = bench_find(&own_bench, "up-b");
	assert_int_not_equal(a->worker, b->worker);
	unsigned port = bench_port(&own_bench, "up-a");
	size_t descriptors = descriptors_count();
	int64_t start = bench_now_ms();
	/* It goes to the first worker, and kills it whenever it is prepared. */
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "crash-c", bench_document(NULL)), PROBLEM_WORKER_UNAVAILABLE);
	assert_in_range(bench_now_ms() - start, 0, 9000);
	/* It is tried only once more, because the worker's other tunnels suffer each time. */
	assert_int_equal(restarts(), 2);
	bench_wait_ready(&own_bench);
	wait_for_state("up-a", TUNNEL_UP, &status);
	assert_int_equal(bench_port(&own_bench, "up-a"), port);
	assert_true(bench_answers(port));
	/* Counters continued: a thousand for each commit. */
	assert_true(counter_read(&a->counters->total_bytes_used) >= 2000);
	/* The other worker was not affected. */
	assert_int_equal(counter_read(&b->counters->total_bytes_used), 1000);
	snapshot_release(a);
	snapshot_release(b);
	assert_null(service_find(own_bench.service, access_whole(), "crash-c"));
	assert_int_equal(descriptors_count(), descriptors);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{'labels':{'x':'y'}}"), PROBLEM_NONE);
}

/* More than one window of those that are built anew (service/worker/provisioner.c); a change of one that still waits comes after it. */
static void a_worker_with_many_tunnels_is_replaced(void **state)
{
	enum { MANY = 1200 };
	struct snapshot_status status;
	char id[32];
	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "up-%u", i);
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, id, bench_document(NULL)), PROBLEM_NONE);
	}
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "crash-c", bench_document(NULL)), PROBLEM_WORKER_UNAVAILABLE);
	bench_wait_ready(&own_bench);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-1199", "{'spec':{'proxy':{'idle_timeout':7}}}"), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-1198", "{'spec':{'proxy':{'idle_timeout':7}}}"), PROBLEM_NONE);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "up-%u", i);
		wait_for_state(id, TUNNEL_UP, &status);
		struct snapshot *snapshot = bench_find(&own_bench, id);
		assert_null(snapshot->failure);
		snapshot_release(snapshot);
	}
}

enum { PLACED = 8 };

static void create_up(unsigned count)
{
	char id[32];
	for (unsigned i = 0; i < count; i++) {
		snprintf(id, sizeof(id), "up-%u", i);
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, id, bench_document(NULL)), PROBLEM_NONE);
	}
}

static void hold(struct snapshot *held[PLACED])
{
	char id[32];
	for (unsigned i = 0; i < PLACED; i++) {
		snprintf(id, sizeof(id), "up-%u", i);
		held[i] = bench_find(&own_bench, id);
	}
}

static void let_go(struct snapshot *held[PLACED])
{
	for (unsigned i = 0; i < PLACED; i++)
		snapshot_release(held[i]);
}

static unsigned placed_on(int worker)
{
	struct snapshot *now[PLACED];
	unsigned count = 0;
	hold(now);
	for (unsigned i = 0; i < PLACED; i++)
		count += now[i]->worker == worker;
	let_go(now);
	return count;
}

/* A slow reader of deleted tunnels does not make a worker look full. */
static void a_reader_does_not_tip_the_balance_of_new_tunnels(void **state)
{
	struct snapshot *held[PLACED];
	(void)state;
	create_up(PLACED);
	hold(held);
	for (unsigned i = 0; i < PLACED; i++)
		if (held[i]->worker == 0)
			assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, held[i]->id, NULL), PROBLEM_NONE);
	for (unsigned i = 0; i < PLACED; i++)
		if (held[i]->worker == 0)
			assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, held[i]->id, bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(placed_on(0), PLACED / 2);
	let_go(held);
}

/* Eight on the worker that dies, none on the other: the two share them, whoever reads meanwhile. */
static void a_reader_does_not_tip_the_balance_after_a_death(void **state)
{
	struct snapshot *held[PLACED];
	char id[32];
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "hang-a", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "b", bench_document(NULL)), PROBLEM_NONE);
	struct snapshot *hanging = bench_find(&own_bench, "hang-a");
	int worker = hanging->worker;
	snapshot_release(hanging);
	/* For each one that stays, another goes to the other worker and is deleted at the end. */
	for (unsigned i = 0; i < PLACED; i++) {
		snprintf(id, sizeof(id), "up-%u", i);
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, id, bench_document(NULL)), PROBLEM_NONE);
		snprintf(id, sizeof(id), "b-%u", i);
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, id, bench_document(NULL)), PROBLEM_NONE);
	}
	assert_int_equal(placed_on(worker), PLACED);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "b", NULL), PROBLEM_NONE);
	for (unsigned i = 0; i < PLACED; i++) {
		snprintf(id, sizeof(id), "b-%u", i);
		assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, id, NULL), PROBLEM_NONE);
	}
	hold(held);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "hang-a", NULL), PROBLEM_NONE);
	bench_wait_ready(&own_bench);
	assert_in_range(placed_on(worker), PLACED / 2, PLACED / 2 + 1);
	let_go(held);
}

static void deleting_on_a_worker_that_hangs(void **state)
{
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "hang-a", bench_document(NULL)), PROBLEM_NONE);
	unsigned port = bench_port(&own_bench, "hang-a");
	int64_t start = bench_now_ms();
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "hang-a", NULL), PROBLEM_NONE);
	assert_in_range(bench_now_ms() - start, 0, 4500);
	/* The stopped process held a copy of the listener. */
	assert_false(bench_answers(port));
	assert_int_equal(restarts(), 1);
	bench_wait_ready(&own_bench);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "b", bench_document(NULL)), PROBLEM_NONE);
}

static void a_worker_that_lies_is_replaced(void **state)
{
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-b", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "lie-a", bench_document(NULL)), PROBLEM_NONE);
	for (int i = 0; i < 500 && restarts() == 0; i++)
		pause_ms(10);
	assert_true(restarts() > 0);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "lie-a", NULL), PROBLEM_NONE);
	bench_wait_ready(&own_bench);
	struct snapshot_status status;
	wait_for_state("up-b", TUNNEL_UP, &status);
}

static uint64_t wait_for_grant(const char *id, bool *granted)
{
	struct snapshot *snapshot = bench_find(&own_bench, id);
	uint64_t ok = 0, failed = 0;
	for (int i = 0; i < 500 && ok + failed == 0; i++) {
		ok = counter_read(&snapshot->counters->probes_ok);
		failed = counter_read(&snapshot->counters->probes_failed);
		pause_ms(10);
	}
	snapshot_release(snapshot);
	*granted = ok == 1;
	return ok + failed;
}

static void a_connection_to_an_inbound_target(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	char document[512], text[16] = "";
	bool granted;
	(void)state;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	snprintf(document, sizeof(document),
	         "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.0.0.2']},'forwards':[{'name':'w','direction':'inbound',"
	         "'listen':'10.0.0.2:80','target':'127.0.0.1:%u'}]}}",
	         ntohs(address.sin_port));
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "dial-a", document), PROBLEM_NONE);
	int connection = accept(listener, NULL, NULL);
	struct pollfd wait = { .fd = connection, .events = POLLIN };
	assert_int_equal(poll(&wait, 1, 5000), 1);
	assert_int_equal(read(connection, text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	close(connection);
	close(listener);
	assert_int_equal(wait_for_grant("dial-a", &granted), 1);
	assert_true(granted);
	/* Nobody listens there any more. */
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "dial-b", document), PROBLEM_NONE);
	assert_int_equal(wait_for_grant("dial-b", &granted), 1);
	assert_false(granted);
	/* A tunnel without a forward gets nothing. */
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "dial-c", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(wait_for_grant("dial-c", &granted), 1);
	assert_false(granted);
}

static void relays_are_beside_their_listener(void **state)
{
	bool granted;
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "relay-a", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(wait_for_grant("relay-a", &granted), 1);
	assert_true(granted);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "stray-a", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(wait_for_grant("stray-a", &granted), 1);
	assert_false(granted);
}

static void a_fresh_udp_socket_heals(void **state)
{
	bool granted;
	char document[512];
	(void)state;
	size_t descriptors = descriptors_count();
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "udp-a", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(wait_for_grant("udp-a", &granted), 1);
	assert_true(granted);
	assert_int_equal(descriptors_count(), descriptors + 2);
	unsigned port = bench_free_port();
	snprintf(document, sizeof(document), "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.0.0.2'],'listen_port':%u}}}", port);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "udp-b", document), PROBLEM_NONE);
	assert_int_equal(wait_for_grant("udp-b", &granted), 1);
	assert_true(granted);
	struct snapshot *snapshot = bench_find(&own_bench, "udp-b");
	assert_int_equal(snapshot->udp_port, port);
	snapshot_release(snapshot);
	/* The port is not shared with others afterwards. */
	snprintf(document, sizeof(document), "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.0.0.2'],'listen_port':%u}}}", port);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "c", document), PROBLEM_LISTENER_IN_USE);
}

/* After the change was sent to the worker, and before its reply. */
static void *close_soon(void *argument)
{
	const int *descriptor = argument;
	pause_ms(100);
	close(*descriptor);
	return NULL;
}

static bool restart(void)
{
	bench_stop(&own_bench);
	return bench_start(&own_bench);
}

static void everything_is_there_after_a_restart(void **state)
{
	struct snapshot_status status;
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-a", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{'labels':{'x':'y'},'spec':{'limits':{'total_bytes':1000000}}}"),
	                 PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_PUT, "off",
	                            "{'spec':{'enabled':false,'interface':{'generate_private_key':true,'addresses':['10.0.0.2']}}}"),
	                 PROBLEM_NONE);
	struct snapshot *before = bench_find(&own_bench, "up-a");
	struct spec spec;
	char labels[64], address[64];
	uint64_t revision = before->revision, generation = before->generation;
	int64_t created_at = before->created_at;
	uint16_t udp_port = before->udp_port;
	assert_true(spec_copy(&spec, &before->spec));
	snprintf(labels, sizeof(labels), "%s", before->labels_json);
	snprintf(address, sizeof(address), "%s", before->listen[0]);
	snapshot_release(before);
	assert_true(restart());
	bench_wait_ready(&own_bench);
	wait_for_state("up-a", TUNNEL_UP, &status);
	wait_for_state("off", TUNNEL_DISABLED, &status);
	struct snapshot *after = bench_find(&own_bench, "up-a");
	assert_true(spec_equal(&spec, &after->spec));
	assert_string_equal(labels, after->labels_json);
	assert_int_equal(revision, after->revision);
	assert_int_equal(generation, after->generation);
	assert_int_equal(created_at, after->created_at);
	assert_string_equal(address, after->listen[0]);
	assert_int_equal(udp_port, after->udp_port);
	/* Usage from before the restart counts: twice a thousand, and once more now. */
	assert_int_equal(counter_read(&after->counters->total_bytes_used), 3000);
	snapshot_release(after);
	spec_clear(&spec);
}

static void a_tunnel_that_cannot_be_bound_fails_alone(void **state)
{
	struct snapshot_status status;
	char address_text[32];
	(void)state;
	unsigned port = bench_free_port();
	snprintf(address_text, sizeof(address_text), "127.0.0.1:%u", port);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-a", bench_document(address_text)), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-b", bench_document(NULL)), PROBLEM_NONE);
	bench_stop(&own_bench);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
	int one = 1, holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(holder, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(holder, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(holder, 1), 0);
	assert_true(bench_start(&own_bench));
	wait_for_state("up-b", TUNNEL_UP, &status);
	assert_false(service_is_ready(own_bench.service));
	wait_for_state("up-a", TUNNEL_FAILED, &status);
	assert_non_null(strstr(status.reason, "/spec/proxy/listen/0"));
	bench_wait_ready(&own_bench);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{'labels':{'x':'y'}}"), PROBLEM_LISTENER_IN_USE);
	close(holder);
	/* The same document again: nothing changes, except that it runs. */
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{}"), PROBLEM_NONE);
	wait_for_state("up-a", TUNNEL_UP, &status);
	assert_int_equal(bench_port(&own_bench, "up-a"), port);
}

static int take_port(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
	int one = 1, holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(holder, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(holder, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(holder, 1), 0);
	return holder;
}

static void submit(struct mutation *mutation, const char *id, const char *json)
{
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->operations[0].kind = OPERATION_PATCH;
	snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "%s", id);
	mutation->operations[0].document = quoted_json(json);
}

/* A change is under way, its worker slow, when the address that kept the tunnel from starting is free again: what is started then is the
 * change alone, and the worker runs what the store says. */
static void a_bind_waits_for_a_change_that_is_under_way(void **state)
{
	struct snapshot_status status;
	char text[64], patch[128];
	(void)state;
	unsigned port = bench_free_port(), other = bench_free_port();
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	snprintf(patch, sizeof(patch), "{'spec':{'proxy':{'listen':['127.0.0.1:%u']}}}", other);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "slow-a", bench_document(text)), PROBLEM_NONE);
	bench_stop(&own_bench);
	int holder = take_port(port);
	assert_true(bench_start(&own_bench));
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	submit(mutation, "slow-a", patch);
	/* It tries the bind again at each tick of its first five seconds. */
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, close_soon, &holder), 0);
	bench_do(&own_bench, mutation);
	pthread_join(thread, NULL);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->operations[0].snapshot->generation, 2);
	mutation_free(mutation);
	wait_for_state("slow-a", TUNNEL_HANDSHAKING, &status);
	assert_int_equal(status.observed_generation, 2);
	assert_int_equal(bench_port(&own_bench, "slow-a"), other);
	assert_true(bench_answers(other));
}

/* The worker requests another UDP socket while it prepares a change: afterwards both processes have the same socket. */
static void a_fresh_udp_socket_waits_for_a_change_that_is_under_way(void **state)
{
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "slow-udp-a", bench_document(NULL)), PROBLEM_NONE);
	size_t descriptors = descriptors_count();
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "slow-udp-a", "{'spec':{'proxy':{'idle_timeout':7}}}"), PROBLEM_NONE);
	bool granted;
	assert_int_equal(wait_for_grant("slow-udp-a", &granted), 1);
	struct snapshot *snapshot = bench_find(&own_bench, "slow-udp-a");
	assert_int_equal(snapshot->udp_port, counter_read(&snapshot->counters->throughput_sent));
	snapshot_release(snapshot);
	assert_int_equal(descriptors_count(), descriptors);
}

static void a_tunnel_that_policy_forbids_now_fails_alone(void **state)
{
	struct snapshot_status status;
	(void)state;
	bench_stop(&own_bench);
	own_bench.options.allow_remote = true;
	assert_true(bench_start(&own_bench));
	bench_wait_ready(&own_bench);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-a",
	                            "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.0.0.2']},'proxy':{'listen':['0.0.0.0:0'],"
	                            "'users':[{'username':'u','password':'p'}]}}}"),
	                 PROBLEM_NONE);
	own_bench.options.allow_remote = false;
	assert_true(restart());
	bench_wait_ready(&own_bench);
	wait_for_state("up-a", TUNNEL_FAILED, &status);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{'spec':{'proxy':{'listen':['127.0.0.1:0']}}}"), PROBLEM_NONE);
	wait_for_state("up-a", TUNNEL_UP, &status);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "up-a", NULL), PROBLEM_NONE);
}

static void a_name_that_does_not_resolve_is_told(void **state)
{
	struct snapshot_status status;
	(void)state;
	int64_t start = bench_now_ms();
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a",
	                            "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.0.0.2']},"
	                            "'peers':[{'public_key':'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=','endpoint':'nowhere.invalid:1'}]}}"),
	                 PROBLEM_NONE);
	assert_in_range(bench_now_ms() - start, 0, 2000);
	for (int i = 0; i < 800; i++) {
		struct snapshot *snapshot = bench_find(&own_bench, "a");
		snapshot_status(snapshot, &status);
		snapshot_release(snapshot);
		if (strstr(status.reason, "nowhere.invalid") != NULL)
			break;
		pause_ms(10);
	}
	assert_non_null(strstr(status.reason, "nowhere.invalid"));
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_worker_that_dies_is_replaced_with_its_tunnels, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_worker_with_many_tunnels_is_replaced, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_reader_does_not_tip_the_balance_of_new_tunnels, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_reader_does_not_tip_the_balance_after_a_death, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(deleting_on_a_worker_that_hangs, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_worker_that_lies_is_replaced, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_connection_to_an_inbound_target, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(relays_are_beside_their_listener, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_fresh_udp_socket_heals, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(everything_is_there_after_a_restart, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_that_cannot_be_bound_fails_alone, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_bind_waits_for_a_change_that_is_under_way, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_fresh_udp_socket_waits_for_a_change_that_is_under_way, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_that_policy_forbids_now_fails_alone, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_name_that_does_not_resolve_is_told, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
