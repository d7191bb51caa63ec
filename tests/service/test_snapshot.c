/* The state that a snapshot tells, from the counters of a worker that is not trusted and what the control process knows itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/registry/snapshot.h"
#include "service/registry/status.h"

static struct counters_tunnel counters;
static struct runtime_status *status;
static char failure[] = "no room";
static struct snapshot snapshot;

static int set_up(void **state)
{
	(void)state;
	memset(&counters, 0, sizeof(counters));
	status = status_create();
	snapshot = (struct snapshot){ .generation = 4, .updated_at = 1000, .counters = &counters, .status = status };
	return status == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	status_release(status);
	return 0;
}

static struct snapshot_status read_status(void)
{
	struct snapshot_status read;
	snapshot_status(&snapshot, &read);
	return read;
}

static void a_failure_is_the_state_whatever_a_worker_says(void **state)
{
	(void)state;
	counter_set(&counters.state, TUNNEL_UP);
	snapshot.failure = failure;
	struct snapshot_status read = read_status();
	assert_int_equal(read.state, TUNNEL_FAILED);
	assert_string_equal(read.reason, "no room");
	assert_int_equal(read.since, 1000);
	assert_int_equal(read.observed_generation, 4);
}

static void a_number_that_is_no_state_is_a_failure(void **state)
{
	(void)state;
	for (unsigned number = 0; number < 300; number++) {
		counter_set(&counters.state, number);
		assert_int_equal(read_status().state, number < TUNNEL_STATE_COUNT ? number : TUNNEL_FAILED);
	}
	counter_set(&counters.state, UINT64_MAX);
	assert_int_equal(read_status().state, TUNNEL_FAILED);
}

static void an_obstacle_is_told_until_it_is_up(void **state)
{
	(void)state;
	counter_set(&counters.state, TUNNEL_HANDSHAKING);
	status_set_report(status, &(struct status_report){ .state = TUNNEL_HANDSHAKING }, "no answer");
	assert_string_equal(read_status().reason, "no answer");
	status_set_obstacle(status, "the name does not resolve");
	assert_string_equal(read_status().reason, "the name does not resolve");
	counter_set(&counters.state, TUNNEL_UP);
	assert_string_equal(read_status().reason, "");
	counter_set(&counters.state, TUNNEL_DISABLED);
	assert_string_equal(read_status().reason, "no answer");
	counter_set(&counters.state, TUNNEL_HANDSHAKING);
	status_set_obstacle(status, "");
	assert_string_equal(read_status().reason, "no answer");
}

static void one_on_no_worker_is_starting(void **state)
{
	(void)state;
	snapshot.counters = NULL;
	snapshot.status = NULL;
	struct snapshot_status read = read_status();
	assert_int_equal(read.state, TUNNEL_STARTING);
	assert_string_equal(read.reason, "");
	assert_int_equal(read.since, 1000);
}

static struct snapshot_health read_health(void)
{
	struct snapshot_health read;
	snapshot_health(&snapshot, &read);
	return read;
}

/* Whatever a worker says, a tunnel that is not up is not healthy. */
static void health_is_that_of_a_tunnel_that_is_up(void **state)
{
	(void)state;
	counter_set(&counters.state_since, 2000);
	for (unsigned number = 0; number < 10; number++) {
		counter_set(&counters.health, number);
		counter_set(&counters.state, TUNNEL_STALE);
		assert_int_equal(read_health().health, TUNNEL_UNHEALTHY);
		counter_set(&counters.state, TUNNEL_UP);
		assert_int_equal(read_health().health, number < TUNNEL_HEALTH_COUNT ? number : TUNNEL_HEALTH_UNKNOWN);
		assert_int_equal(read_health().since, 2000);
	}
	counter_set(&counters.health, TUNNEL_HEALTHY);
	counter_set(&counters.health_since, 3000);
	assert_int_equal(read_health().since, 3000);
	counter_set(&counters.state, TUNNEL_HANDSHAKING);
	assert_int_equal(read_health().since, 2000);
	counter_set(&counters.state, TUNNEL_UP);
	snapshot.failure = failure;
	assert_int_equal(read_health().health, TUNNEL_UNHEALTHY);
	snapshot.failure = NULL;
	snapshot.counters = NULL;
	assert_int_equal(read_health().health, TUNNEL_UNHEALTHY);
}

static void the_last_result_is_told_with_the_last_address(void **state)
{
	(void)state;
	assert_false(read_health().has_probe);
	struct status_probe good = { .ok = true, .at = 5000, .rtt_ms = 1.5 }, bad = { .at = 6000, .failures = 1, .rtt_ms = -1, .detail = "silent" };
	assert_true(network_parse_address("198.51.100.7", &good.exit_ip));
	status_set_probe(status, &good);
	assert_true(read_health().has_probe && read_health().probe.ok);
	status_set_probe(status, &bad);
	struct snapshot_health read = read_health();
	assert_string_equal(read.probe.detail, "silent");
	assert_int_equal(read.probe.at, 6000);
	assert_memory_equal(&read.probe.exit_ip, &good.exit_ip, sizeof(good.exit_ip));
	status_forget_probe(status);
	assert_false(read_health().has_probe);
	assert_int_equal(read_health().probe.exit_ip.family, 0);
	status_set_probe(status, &bad);
	assert_int_equal(read_health().probe.exit_ip.family, 0);
}

/* A worker's numbers are not trusted. */
static void the_round_trip_is_that_of_the_latest_handshake(void **state)
{
	(void)state;
	static struct counters_peer peers[3];
	const struct counters_peer *list[] = { &peers[0], &peers[1], &peers[2] };
	snapshot.peer_counters = list;
	snapshot.spec.peer_count = 3;
	assert_int_equal(read_health().round_trip_us, 0);
	counter_set(&peers[0].last_handshake_at, 5000);
	counter_set(&peers[0].round_trip_us, 12000);
	counter_set(&peers[2].last_handshake_at, 4000);
	counter_set(&peers[2].round_trip_us, 1000);
	assert_int_equal(read_health().round_trip_us, 12000);
	counter_set(&peers[2].last_handshake_at, 6000);
	assert_int_equal(read_health().round_trip_us, 1000);
	counter_set(&peers[2].round_trip_us, UINT64_MAX);
	assert_int_equal(read_health().round_trip_us, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_failure_is_the_state_whatever_a_worker_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_number_that_is_no_state_is_a_failure, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_obstacle_is_told_until_it_is_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_on_no_worker_is_starting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(health_is_that_of_a_tunnel_that_is_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_round_trip_is_that_of_the_latest_handshake, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_last_result_is_told_with_the_last_address, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
