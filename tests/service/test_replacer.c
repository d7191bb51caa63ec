/* A worker of a whole service is replaced: its tunnels go to the successor when they may. The workers are fake (fake_worker.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

#define WAIT_MS 20000 /* against a hang only */

static bool spawns_false; /* the next worker ends at once */
static bool spawns_full;  /* the next worker has no memory for tunnels */

int __real_uv_spawn(uv_loop_t *loop, uv_process_t *process, const uv_process_options_t *options);
int __wrap_uv_spawn(uv_loop_t *loop, uv_process_t *process, const uv_process_options_t *options);

int __wrap_uv_spawn(uv_loop_t *loop, uv_process_t *process, const uv_process_options_t *options)
{
	uv_process_options_t given = *options;
	if (spawns_false)
		given.file = "/bin/false";
	spawns_false = false;
	static char full[] = "FAKE_WORKER_FULL=1";
	char *environment[64] = { full };
	for (size_t i = 0; i < 62 && given.env != NULL && given.env[i] != NULL; i++)
		environment[i + 1] = given.env[i];
	if (spawns_full)
		given.env = environment;
	spawns_full = false;
	return __real_uv_spawn(loop, process, &given);
}

static enum problem_code replace(unsigned worker, unsigned drain_seconds)
{
	struct mutation *mutation = mutation_create(MUTATION_REPLACE, 0);
	mutation->worker = worker;
	mutation->drain_seconds = drain_seconds;
	bench_do(&own_bench, mutation);
	enum problem_code code = mutation->problem.code;
	mutation_free(mutation);
	return code;
}

static struct service_worker_usage usage_of(unsigned worker)
{
	struct service_worker_usage usage;
	service_worker_usage(own_bench.service, worker, &usage);
	return usage;
}

static int worker_of(const char *id)
{
	struct snapshot *snapshot = bench_find(&own_bench, id);
	int worker = snapshot->worker;
	snapshot_release(snapshot);
	return worker;
}

/* As if it had open connections. */
static void open_connections(const char *id, uint64_t count)
{
	struct snapshot *snapshot = bench_find(&own_bench, id);
	counter_set((counter *)(uintptr_t)&snapshot->counters->connections_open[COUNTERS_CONNECT], count);
	snapshot_release(snapshot);
}

static bool wait_until(bool (*holds)(void))
{
	int64_t end = bench_now_ms() + WAIT_MS;
	while (!holds() && bench_now_ms() < end)
		usleep(2000);
	return holds();
}

static bool is_idle_one_moved(void)
{
	return worker_of("idle") == 1;
}

static bool is_first_gone(void)
{
	return usage_of(0).is_spare;
}

static bool is_second_gone(void)
{
	return usage_of(1).is_spare;
}

static bool is_successor_away(void)
{
	return usage_of(1).pid != 0 && usage_of(1).is_ready;
}

static void create(const char *id)
{
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, id, bench_document(NULL)), PROBLEM_NONE);
}

static int set_up(void **state)
{
	bench_set_up(state);
	bench_stop(&own_bench);
	own_bench.options.workers = 1;
	if (!bench_start(&own_bench))
		return -1;
	bench_wait_ready(&own_bench);
	create("idle");
	create("busy");
	return 0;
}

static void tunnels_move_when_they_have_no_connection(void **state)
{
	(void)state;
	unsigned port = bench_port(&own_bench, "idle");
	open_connections("busy", 1);
	assert_int_equal(replace(0, 3600), PROBLEM_NONE);
	assert_true(wait_until(is_idle_one_moved));
	assert_int_equal(worker_of("busy"), 0);
	assert_true(usage_of(0).is_retiring);
	assert_true(bench_answers(port));
	/* What is new goes to the successor, and one replacement goes after the other. */
	create("new");
	assert_int_equal(worker_of("new"), 1);
	assert_int_equal(replace(1, 0), PROBLEM_WORKER_UNAVAILABLE);
	assert_true(service_is_ready(own_bench.service));
	open_connections("busy", 0);
	assert_true(wait_until(is_first_gone));
	assert_int_equal(worker_of("busy"), 1);
	struct service_worker_stats stats;
	service_worker_stats(own_bench.service, &stats);
	assert_int_equal(stats.workers, 1);
	assert_int_equal(stats.workers_ready, 1);
	assert_int_equal(stats.restarts, 0);
	/* And back. */
	assert_int_equal(replace(1, 0), PROBLEM_NONE);
	assert_true(wait_until(is_second_gone));
	assert_int_equal(worker_of("new"), 0);
}

static uint64_t refusals(const char *id)
{
	struct snapshot *snapshot = bench_find(&own_bench, id);
	uint64_t count = counter_read(&snapshot->counters->probes_failed);
	snapshot_release(snapshot);
	return count;
}

static bool is_refused_often(void)
{
	return refusals("client-a") >= 5;
}

/* A client that has not shown itself makes its worker refuse: each attempt costs a PREPARE. Others do not wait for it. */
static void one_that_is_busy_is_tried_less_and_less_often(void **state)
{
	(void)state;
	create("client-a");
	int64_t start = bench_now_ms();
	assert_int_equal(replace(0, 3600), PROBLEM_NONE);
	assert_true(wait_until(is_idle_one_moved));
	assert_true(wait_until(is_refused_often));
	assert_in_range(bench_now_ms() - start, 100 + 200 + 400 + 800, WAIT_MS);
	assert_int_equal(worker_of("busy"), 1);
	assert_int_equal(worker_of("client-a"), 0);
}

static void connections_are_not_waited_for_without_end(void **state)
{
	(void)state;
	open_connections("busy", 1);
	assert_int_equal(replace(0, 0), PROBLEM_NONE);
	assert_true(wait_until(is_first_gone));
	assert_int_equal(worker_of("busy"), 1);
}

static void a_retiring_worker_that_dies_leaves_its_tunnels_to_the_successor(void **state)
{
	(void)state;
	open_connections("busy", 1);
	assert_int_equal(replace(0, 3600), PROBLEM_NONE);
	assert_true(wait_until(is_idle_one_moved));
	assert_int_equal(kill(usage_of(0).pid, SIGKILL), 0);
	assert_true(wait_until(is_first_gone));
	assert_int_equal(worker_of("busy"), 1);
	assert_true(bench_answers(bench_port(&own_bench, "busy")));
}

/* Then the successor is a worker like any other. */
static void a_successor_that_dies_is_started_again(void **state)
{
	(void)state;
	open_connections("busy", 1);
	assert_int_equal(replace(0, 3600), PROBLEM_NONE);
	assert_true(wait_until(is_idle_one_moved));
	assert_int_equal(kill(usage_of(1).pid, SIGKILL), 0);
	open_connections("busy", 0);
	assert_true(wait_until(is_first_gone));
	assert_true(wait_until(is_successor_away));
	assert_int_equal(worker_of("busy"), 1);
}

static void *create_slowly(void *code)
{
	*(enum problem_code *)code = bench_code(&own_bench, OPERATION_CREATE, "slow-start-a", bench_document(NULL));
	return NULL;
}

static bool is_busy_one_placed(void)
{
	return usage_of(0).tunnels == 1;
}

static bool is_third_placed(void)
{
	return usage_of(0).tunnels == 3;
}

/* It was placed before the worker was to retire, and nobody knows it yet. */
static void a_tunnel_that_is_being_created_is_waited_for(void **state)
{
	pthread_t thread;
	enum problem_code code = PROBLEM_NOT_FOUND;
	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, create_slowly, &code), 0);
	assert_true(wait_until(is_third_placed));
	assert_int_equal(replace(0, 0), PROBLEM_NONE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(code, PROBLEM_NONE);
	assert_true(wait_until(is_first_gone));
	assert_int_equal(worker_of("slow-start-a"), 1);
	assert_true(bench_answers(bench_port(&own_bench, "slow-start-a")));
}

/* Its place was chosen, and the worker refused it. */
static void a_place_that_was_never_used_holds_nothing_up(void **state)
{
	(void)state;
	char listen_there[80];
	unsigned port = bench_port(&own_bench, "idle");
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	snprintf(listen_there, sizeof(listen_there), "{'spec':{'proxy':{'listen':['127.0.0.1:%u']}}}", port);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "idle", listen_there), PROBLEM_NONE);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bench_stop(&own_bench);
	int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(taken, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(taken, 1), 0);
	assert_true(bench_start(&own_bench));
	assert_true(wait_until(is_busy_one_placed));
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "idle", "{'spec':{'interface':{'mtu':1301},'proxy':{'listen':['127.0.0.1:0']}}}"),
	                 PROBLEM_VALIDATION_FAILED);
	assert_int_equal(usage_of(0).tunnels, 2);
	assert_int_equal(replace(0, 0), PROBLEM_NONE);
	assert_true(wait_until(is_first_gone));
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "idle", "{'spec':{'proxy':{'listen':['127.0.0.1:0']}}}"), PROBLEM_NONE);
	assert_int_equal(worker_of("idle"), 1);
	close(taken);
}

/* A compromised one would keep the sockets of tunnels that are another's, and nothing could be replaced or upgraded any more. */
static void a_replaced_worker_that_does_not_end_is_killed(void **state)
{
	(void)state;
	create("stay-a");
	assert_int_equal(replace(0, 0), PROBLEM_NONE);
	assert_true(wait_until(is_first_gone));
	assert_int_equal(worker_of("stay-a"), 1);
}

/* The JSON of the next event of this type, malloc'ed. */
static char *next_event(uint64_t after, enum event_type wanted)
{
	enum event_type type;
	for (int64_t end = bench_now_ms() + WAIT_MS; bench_now_ms() < end;) {
		char *json = NULL;
		if (events_next(service_events(own_bench.service), after, &after, &type, &json) == EVENTS_NONE)
			usleep(2000);
		else if (type == wanted)
			return json;
		free(json);
	}
	fail_msg("there is no such event");
	return NULL;
}

/* Nothing has changed, and it can be tried again. */
static void a_successor_that_does_not_come_up_is_called_off(void **state)
{
	uint64_t id = events_last_id(service_events(own_bench.service));
	(void)state;
	spawns_false = true;
	assert_int_equal(replace(0, 0), PROBLEM_NONE);
	free(next_event(id, EVENT_WORKER_REPLACE_FAILED));
	assert_true(usage_of(1).is_spare);
	assert_false(usage_of(0).is_retiring);
	assert_int_equal(worker_of("busy"), 0);
	assert_true(service_is_ready(own_bench.service));
	assert_int_equal(replace(0, 0), PROBLEM_NONE);
	assert_true(wait_until(is_first_gone));
}

static bool is_reason_told(void)
{
	return strstr(usage_of(0).failure, "the worker could not take the tunnel") != NULL;
}

/* It is told, and tried on: once there is a successor with room the worker is replaced. */
static void a_successor_without_room_is_told(void **state)
{
	char *told = NULL;
	(void)state;
	uint64_t id = events_last_id(service_events(own_bench.service));
	spawns_full = true;
	assert_int_equal(replace(0, 0), PROBLEM_NONE);
	assert_true(wait_until(is_reason_told));
	told = next_event(id, EVENT_WORKER_REPLACE_FAILED);
	assert_non_null(strstr(told, "\"detail\":\"2 of its tunnels cannot move and are tried again: the worker could not take the tunnel"));
	free(told);
	assert_true(usage_of(0).is_retiring);
	assert_int_equal(kill(usage_of(1).pid, SIGKILL), 0);
	assert_true(wait_until(is_first_gone));
	assert_int_equal(worker_of("busy"), 1);
	assert_string_equal(usage_of(0).failure, "");
}

static void what_cannot_be_replaced_is_refused(void **state)
{
	(void)state;
	assert_int_equal(replace(1, 0), PROBLEM_NOT_FOUND); /* the spare one */
	assert_int_equal(replace(2, 0), PROBLEM_NOT_FOUND);
	assert_int_equal(replace(UINT32_MAX, 0), PROBLEM_NOT_FOUND);
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(tunnels_move_when_they_have_no_connection),
		TEST(one_that_is_busy_is_tried_less_and_less_often),
		TEST(connections_are_not_waited_for_without_end),
		TEST(a_retiring_worker_that_dies_leaves_its_tunnels_to_the_successor),
		TEST(a_successor_that_dies_is_started_again),
		TEST(a_tunnel_that_is_being_created_is_waited_for),
		TEST(a_place_that_was_never_used_holds_nothing_up),
		TEST(a_replaced_worker_that_does_not_end_is_killed),
		TEST(a_successor_that_does_not_come_up_is_called_off),
		TEST(a_successor_without_room_is_told),
		TEST(what_cannot_be_replaced_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
