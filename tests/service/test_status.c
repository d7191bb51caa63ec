#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include "service/registry/status.h"

#define NOW 100000

static char reason[160], obstacle[160];

static void report(struct runtime_status *status, enum tunnel_state state, const char *text)
{
	status_set_report(status, &(struct status_report){ .generation = 1, .state = state, .since = NOW - 5000 }, text);
}

/* What is told when the counters say this, since so long ago. */
static enum tunnel_state told_after(struct runtime_status *status, enum tunnel_state state, int64_t ms)
{
	struct status_report told = { .generation = 1, .state = state, .since = NOW - ms };
	status_get(status, &told, NOW, reason, obstacle);
	return told.state;
}

static enum tunnel_state told(struct runtime_status *status, enum tunnel_state state)
{
	return told_after(status, state, STATUS_REPORT_WAIT);
}

/* The state comes from the counters, which are ahead: what was the matter before a tunnel came up is not shown with it. */
static void a_reason_from_before_is_not_shown_when_up(void **state)
{
	struct runtime_status *status = status_create();
	(void)state;
	told(status, TUNNEL_STALE);
	assert_string_equal(reason, "");
	assert_string_equal(obstacle, "");
	report(status, TUNNEL_STALE, "the peer does not answer");
	told(status, TUNNEL_STALE);
	assert_string_equal(reason, "the peer does not answer");
	told(status, TUNNEL_UP);
	assert_string_equal(reason, "");
	report(status, TUNNEL_UP, "limits.total_bytes is used up");
	told(status, TUNNEL_UP);
	assert_string_equal(reason, "limits.total_bytes is used up");
	told(status, TUNNEL_STALE);
	assert_string_equal(reason, "limits.total_bytes is used up");
	report(status, TUNNEL_STALE, "");
	told(status, TUNNEL_STALE);
	assert_string_equal(reason, "");
	status_release(status);
}

/* The counters are ahead of the report with the reason: until that is here, nothing is told by halves, and not for long. */
static void a_state_is_told_with_its_own_reason(void **state)
{
	struct runtime_status *status = status_create();
	(void)state;
	report(status, TUNNEL_UP, "");
	assert_int_equal(told_after(status, TUNNEL_STALE, 0), TUNNEL_UP);
	assert_int_equal(told_after(status, TUNNEL_STALE, STATUS_REPORT_WAIT - 1), TUNNEL_UP);
	assert_int_equal(told_after(status, TUNNEL_STALE, STATUS_REPORT_WAIT), TUNNEL_STALE);
	assert_int_equal(told_after(status, TUNNEL_STALE, -1), TUNNEL_STALE); /* the clock was set back */
	report(status, TUNNEL_STALE, "the outer tunnel is disabled");
	assert_int_equal(told_after(status, TUNNEL_STALE, 0), TUNNEL_STALE);
	assert_string_equal(reason, "the outer tunnel is disabled");
	assert_int_equal(told_after(status, TUNNEL_HANDSHAKING, 0), TUNNEL_STALE);
	/* These need no reason, and are told at once. */
	assert_int_equal(told_after(status, TUNNEL_DISABLED, 0), TUNNEL_DISABLED);
	assert_int_equal(told_after(status, TUNNEL_FAILED, 0), TUNNEL_FAILED);
	struct status_report another = { .generation = 2, .state = TUNNEL_HANDSHAKING, .since = NOW };
	status_get(status, &another, NOW, reason, obstacle);
	assert_int_equal(another.state, TUNNEL_HANDSHAKING);
	status_release(status);
}

static void an_obstacle_is_kept_until_it_is_taken_back(void **state)
{
	struct runtime_status *status = status_create();
	(void)state;
	status_set_obstacle(status, "the name does not resolve");
	report(status, TUNNEL_UP, "");
	told(status, TUNNEL_UP);
	assert_string_equal(obstacle, "the name does not resolve");
	status_set_obstacle(status, "");
	told(status, TUNNEL_UP);
	assert_string_equal(obstacle, "");
	status_release(status);
}

static void long_texts_are_cut_and_the_last_reference_frees(void **state)
{
	struct runtime_status *status = status_create();
	char text[400];
	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	report(status, TUNNEL_STALE, text);
	status_set_obstacle(status, text);
	assert_ptr_equal(status_reference(status), status);
	status_release(status);
	told(status, TUNNEL_STALE);
	assert_int_equal(strlen(reason), 159);
	assert_int_equal(strlen(obstacle), 159);
	status_release(status);
	status_release(NULL);
}

/* A pool's, which has no worker that counts it. */
static void a_state_is_told_when_it_is_another(void **state)
{
	struct runtime_status *status = status_create();
	int64_t since;
	(void)state;
	assert_int_equal(status_get_state(status, reason, &since), TUNNEL_STARTING);
	assert_string_equal(reason, "");
	assert_true(status_set_state(status, TUNNEL_UP, "", 1000));
	assert_false(status_set_state(status, TUNNEL_UP, "", 2000));
	/* Another reason is news, and not another beginning. */
	assert_true(status_set_state(status, TUNNEL_UP, "one of two members is down", 3000));
	assert_int_equal(status_get_state(status, reason, &since), TUNNEL_UP);
	assert_string_equal(reason, "one of two members is down");
	assert_int_equal(since, 1000);
	assert_true(status_set_state(status, TUNNEL_STALE, "no member is up", 4000));
	assert_int_equal(status_get_state(status, reason, &since), TUNNEL_STALE);
	assert_int_equal(since, 4000);
	status_release(status);
}

static void an_exit_address_stays_known(void **state)
{
	struct runtime_status *status = status_create();
	struct status_probe probe = { .ok = true, .exit_ip = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } } }, found;
	(void)state;
	assert_false(status_get_probe(status, &found));
	status_set_probe(status, &probe);
	probe = (struct status_probe){ .ok = false, .failures = 1 };
	status_set_probe(status, &probe);
	assert_true(status_get_probe(status, &found));
	assert_false(found.ok);
	assert_int_equal(found.exit_ip.bytes[0], 192);
	status_forget_probe(status);
	assert_false(status_get_probe(status, &found));
	status_release(status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reason_from_before_is_not_shown_when_up),  cmocka_unit_test(a_state_is_told_with_its_own_reason),
		cmocka_unit_test(an_obstacle_is_kept_until_it_is_taken_back), cmocka_unit_test(long_texts_are_cut_and_the_last_reference_frees),
		cmocka_unit_test(a_state_is_told_when_it_is_another),         cmocka_unit_test(an_exit_address_stays_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
