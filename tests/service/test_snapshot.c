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
	status_set_reason(status, false, "no answer");
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

static void labels_are_found_whole(void **state)
{
	static char site[] = "site", berlin[] = "berlin", team[] = "team", net[] = "net";
	struct label labels[] = { { site, berlin }, { team, net } };
	(void)state;
	snapshot.labels = labels;
	snapshot.label_count = 2;
	static char berli[] = "berli", sit[] = "sit";
	struct label others[] = { { site, berli }, { sit, berlin }, { team, berlin } }, half[] = { { site, berlin }, { team, berlin } };
	assert_true(snapshot_has_labels(&snapshot, labels, 2));
	assert_true(snapshot_has_labels(&snapshot, &labels[1], 1));
	assert_true(snapshot_has_labels(&snapshot, NULL, 0));
	for (size_t i = 0; i < 3; i++)
		assert_false(snapshot_has_labels(&snapshot, &others[i], 1));
	assert_false(snapshot_has_labels(&snapshot, half, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_failure_is_the_state_whatever_a_worker_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_number_that_is_no_state_is_a_failure, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_obstacle_is_told_until_it_is_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_on_no_worker_is_starting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(labels_are_found_whole, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
