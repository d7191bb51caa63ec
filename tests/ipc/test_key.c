#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>

#include "ipc/key.h"

static void keys_have_one_form(void **state)
{
	struct wireguard_key key;
	char text[KEY_TEXT_SIZE];
	(void)state;
	assert_true(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &key));
	assert_true(key_is_zero(&key));
	/* The same bytes with bits set that mean nothing. */
	assert_false(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", &key));
	assert_false(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &key));
	assert_false(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", &key));
	assert_false(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &key));
	assert_false(key_parse("AAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAAA=", &key));
	assert_false(key_parse("-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &key));
	assert_false(key_parse("", &key));
	for (int i = 0; i < 100; i++) {
		struct wireguard_key random, again;
		randombytes_buf(&random, sizeof(random));
		key_format(&random, text);
		assert_true(key_parse(text, &again));
		assert_memory_equal(&random, &again, sizeof(random));
	}
}

/* RFC 4648, 10 and 4: the alphabet's last characters, and where each byte goes. */
static void a_key_is_written_as_base64(void **state)
{
	struct wireguard_key key = { { 0xfb, 0xff, 0xfe } };
	char text[KEY_TEXT_SIZE];
	(void)state;
	assert_false(key_is_zero(&key));
	key_format(&key, text);
	assert_string_equal(text, "+//+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	assert_true(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=", &key));
	assert_int_equal(key.bytes[31], 1);
	assert_false(key_is_zero(&key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_have_one_form),
		cmocka_unit_test(a_key_is_written_as_base64),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
