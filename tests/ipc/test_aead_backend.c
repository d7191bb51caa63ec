#include "ipc/aead_backend.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

static void test_each_has_a_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < AEAD_BACKENDS; i++) {
		enum aead_backend parsed;
		assert_true(aead_backend_parse(aead_backend_name((enum aead_backend)i), &parsed));
		assert_int_equal(parsed, i);
	}
}

static void test_unknown_names_are_refused(void **state)
{
	static const char *const unknown[] = { "", "AVX2", "avx", "avx5120", "Auto" };
	enum aead_backend parsed;
	(void)state;

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_false(aead_backend_parse(unknown[i], &parsed));
}

static void test_auto_is_the_fastest_that_is_there(void **state)
{
	enum aead_backend parsed;
	(void)state;

	assert_true(aead_backend_parse("auto", &parsed));
	assert_int_equal(parsed, aead_backend_fastest());
	assert_true(aead_backend_is_there(parsed));
	for (unsigned i = parsed + 1; i < AEAD_BACKENDS; i++)
		assert_false(aead_backend_is_there((enum aead_backend)i));
	assert_true(aead_backend_is_there(AEAD_LIBSODIUM));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_has_a_name),
		cmocka_unit_test(test_unknown_names_are_refused),
		cmocka_unit_test(test_auto_is_the_fastest_that_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
