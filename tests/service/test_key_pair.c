/* The keys of a tunnel (RFC 7748). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "service/spec/key_pair.h"

static struct wireguard_key key_of(const char *hexadecimal)
{
	struct wireguard_key key;
	size_t length = 0;
	assert_int_equal(sodium_hex2bin(key.bytes, sizeof(key.bytes), hexadecimal, strlen(hexadecimal), NULL, &length, NULL), 0);
	assert_int_equal(length, sizeof(key.bytes));
	return key;
}

/* RFC 7748, 6.1. */
static void a_public_key_is_that_of_the_rfc(void **state)
{
	struct wireguard_key alice = key_of("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
	struct wireguard_key wanted = key_of("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"), made;
	(void)state;
	assert_true(key_pair_public(&made, &alice));
	assert_memory_equal(&made, &wanted, sizeof(made));
}

/* Clamped as WireGuard's own tools do it (RFC 7748, 5), and never twice the same. */
static void a_generated_key_is_clamped(void **state)
{
	struct wireguard_key last = { .bytes = { 0 } };
	(void)state;
	for (int i = 0; i < 64; i++) {
		struct wireguard_key key, public_key;
		key_pair_generate(&key);
		assert_int_equal(key.bytes[0] & 7, 0);
		assert_int_equal(key.bytes[31] & 0xc0, 0x40);
		assert_memory_not_equal(&key, &last, sizeof(key));
		assert_true(key_pair_public(&public_key, &key));
		last = key;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_public_key_is_that_of_the_rfc), cmocka_unit_test(a_generated_key_is_clamped) };
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
