/* Which labels an access covers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/spec/access.h"

static struct spec_label team = { .key = (char[]){ "team" }, .value = (char[]){ "red" } };
static struct spec_label other = { .key = (char[]){ "team" }, .value = (char[]){ "blue" } };
static struct spec_label zone = { .key = (char[]){ "zone" }, .value = (char[]){ "a" } };

static void a_whole_one_covers_everything(void **state)
{
	(void)state;
	assert_true(access_is_whole(access_whole()));
	assert_ptr_equal(access_create(NULL, 0), access_whole());
	assert_true(access_covers(access_whole(), NULL, 0));
	assert_true(access_covers(access_whole(), &team, 1));
	access_release(access_reference(access_whole()));
	access_release(NULL);
}

static void all_labels_must_be_there(void **state)
{
	(void)state;
	struct spec_label both[] = { team, zone }, wrong[] = { other, zone };
	struct access *one = access_create(&team, 1), *two = access_create(both, 2);
	assert_false(access_is_whole(one));
	assert_false(access_covers(one, NULL, 0));
	assert_false(access_covers(one, &other, 1));
	assert_true(access_covers(one, &team, 1));
	assert_true(access_covers(one, both, 2));
	assert_false(access_covers(one, wrong, 2));
	assert_false(access_covers(two, &team, 1));
	assert_true(access_covers(two, both, 2));
	assert_ptr_equal(access_reference(two), two);
	access_release(two);
	json_t *labels = access_to_json(two);
	assert_string_equal(json_string_value(json_object_get(labels, "zone")), "a");
	json_decref(labels);
	access_release(two);
	access_release(one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_one_covers_everything),
		cmocka_unit_test(all_labels_must_be_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
