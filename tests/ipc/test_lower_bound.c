#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/lower_bound.h"

static int compare(const void *key, const void *element)
{
	const int *first = key, *second = element;
	return (*first > *second) - (*first < *second);
}

static void it_is_the_first_that_does_not_precede_the_key(void **state)
{
	static const int list[] = { 1, 3, 3, 3, 8, 9, 20 };
	(void)state;
	for (size_t count = 0; count <= sizeof(list) / sizeof(list[0]); count++)
		for (int key = 0; key <= 21; key++) {
			size_t expected = 0;
			while (expected < count && list[expected] < key)
				expected++;
			assert_int_equal(lower_bound(&key, list, count, sizeof(list[0]), compare), expected);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_the_first_that_does_not_precede_the_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
