#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/registry/status.h"

static char reason[160], obstacle[160];

/* The state comes from the counters, which are ahead: what was the matter before a tunnel came up is not shown with it. */
static void a_reason_from_before_is_not_shown_when_up(void **state)
{
	struct runtime_status *status = status_create();
	(void)state;
	status_get(status, false, reason, obstacle);
	assert_string_equal(reason, "");
	assert_string_equal(obstacle, "");
	status_set_reason(status, false, "the peer does not answer");
	status_get(status, false, reason, obstacle);
	assert_string_equal(reason, "the peer does not answer");
	status_get(status, true, reason, obstacle);
	assert_string_equal(reason, "");
	status_set_reason(status, true, "limits.total_bytes is used up");
	status_get(status, true, reason, obstacle);
	assert_string_equal(reason, "limits.total_bytes is used up");
	status_get(status, false, reason, obstacle);
	assert_string_equal(reason, "limits.total_bytes is used up");
	status_set_reason(status, false, "");
	status_get(status, false, reason, obstacle);
	assert_string_equal(reason, "");
	status_release(status);
}

static void an_obstacle_is_kept_until_it_is_taken_back(void **state)
{
	struct runtime_status *status = status_create();
	(void)state;
	status_set_obstacle(status, "the name does not resolve");
	status_set_reason(status, true, "");
	status_get(status, true, reason, obstacle);
	assert_string_equal(obstacle, "the name does not resolve");
	status_set_obstacle(status, "");
	status_get(status, true, reason, obstacle);
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
	status_set_reason(status, false, text);
	status_set_obstacle(status, text);
	assert_ptr_equal(status_reference(status), status);
	status_release(status);
	status_get(status, false, reason, obstacle);
	assert_int_equal(strlen(reason), 159);
	assert_int_equal(strlen(obstacle), 159);
	status_release(status);
	status_release(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reason_from_before_is_not_shown_when_up),
		cmocka_unit_test(an_obstacle_is_kept_until_it_is_taken_back),
		cmocka_unit_test(long_texts_are_cut_and_the_last_reference_frees),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
