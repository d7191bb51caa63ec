/* Sealed secrets: they open at their place with their key, and nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fleet/seal.h"

static const struct fleet_seal_place place = { .object = "t-1", .member = "interface.private_key", .version = 7 };
static struct fleet_keyring ring;
static char path[] = "/tmp/warren-seal-XXXXXX";

/* Adds the key of a file of so many bytes, each of the same value. */
static int add(uint8_t value, size_t size, mode_t mode)
{
	uint8_t bytes[64];
	memset(bytes, value, sizeof(bytes));
	strcpy(path + strlen(path) - 6, "XXXXXX");
	int descriptor = mkstemp(path);
	assert_true(descriptor >= 0);
	assert_int_equal(write(descriptor, bytes, size), size);
	assert_int_equal(fchmod(descriptor, mode), 0);
	close(descriptor);
	int error = fleet_keyring_add(&ring, path);
	unlink(path);
	return error;
}

static int with_key(void **state)
{
	(void)state;
	fleet_keyring_clear(&ring);
	return add(1, 32, 0600);
}

static void seal(char text[FLEET_SEALED_TEXT])
{
	assert_int_equal(fleet_seal(&ring, &place, "secret", 6, text), FLEET_SEAL_OK);
}

static int open_at(const struct fleet_seal_place *where, const char *text)
{
	uint8_t secret[FLEET_SECRET_MAX];
	size_t length;
	int error = fleet_seal_open(&ring, where, text, secret, &length);
	assert_int_equal(length, error == FLEET_SEAL_OK ? 6 : 0);
	if (error == FLEET_SEAL_OK)
		assert_memory_equal(secret, "secret", 6);
	return error;
}

static void a_secret_of_any_length_is_as_it_was(void **state)
{
	static const size_t lengths[] = { 0, 1, 32, 44, FLEET_SECRET_MAX };
	static uint8_t secret[FLEET_SECRET_MAX], opened[FLEET_SECRET_MAX];
	char text[FLEET_SEALED_TEXT];
	(void)state;
	randombytes_buf(secret, sizeof(secret));
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t length;
		assert_int_equal(fleet_seal(&ring, &place, secret, lengths[i], text), FLEET_SEAL_OK);
		assert_int_equal(fleet_seal_open(&ring, &place, text, opened, &length), FLEET_SEAL_OK);
		assert_int_equal(length, lengths[i]);
		assert_memory_equal(opened, secret, length);
	}
}

static void no_two_texts_are_the_same(void **state)
{
	char one[FLEET_SEALED_TEXT], two[FLEET_SEALED_TEXT];
	(void)state;
	seal(one);
	seal(two);
	assert_string_not_equal(one, two);
}

/* Texts in etcd outlive a version of the program. */
static void a_text_of_long_ago_opens(void **state)
{
	(void)state;
	assert_int_equal(open_at(&place, "AelkR7ELxSwWe72EqvqWWIRxcTEX8jP7XasQwPOiRDStT/YMuBryEAvS7FXkBROIjYT91L9hzQ=="), FLEET_SEAL_OK);
}

static void a_text_opens_only_at_its_place(void **state)
{
	static const struct fleet_seal_place others[] = {
		{ .object = "t-2", .member = "interface.private_key", .version = 7 },
		{ .object = "t-1", .member = "interface.private_ke", .version = 7 },
		{ .object = "t-1", .member = "interface.private_key", .version = 8 },
		{ .object = "t-1", .member = "interface.private_key", .version = UINT64_C(7) << 56 },
		{ .object = "t-1interface", .member = ".private_key", .version = 7 },
		{ .object = "t-1", .member = "interface.private_key", .version = 7, .rest = "x", .rest_length = 1 },
	};
	char text[FLEET_SEALED_TEXT];
	(void)state;
	seal(text);
	assert_int_equal(open_at(&place, text), FLEET_SEAL_OK);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(open_at(&others[i], text), FLEET_SEAL_FORGED);
}

static void a_text_of_which_a_bit_is_changed_does_not_open(void **state)
{
	uint8_t bytes[128];
	char text[FLEET_SEALED_TEXT], changed[FLEET_SEALED_TEXT];
	size_t length;
	(void)state;
	seal(text);
	assert_int_equal(sodium_base642bin(bytes, sizeof(bytes), text, strlen(text), NULL, &length, NULL, sodium_base64_VARIANT_ORIGINAL), 0);
	for (size_t bit = 0; bit < 8 * length; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		sodium_bin2base64(changed, sizeof(changed), bytes, length, sodium_base64_VARIANT_ORIGINAL);
		int expected = bit < 8 ? FLEET_SEAL_MALFORMED : bit < 72 ? FLEET_SEAL_UNKNOWN_KEY : FLEET_SEAL_FORGED;
		assert_int_equal(open_at(&place, changed), expected);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void what_is_no_sealed_text_is_malformed(void **state)
{
	static char text[3 * FLEET_SEALED_TEXT];
	(void)state;
	seal(text);
	for (size_t length = strlen(text); length-- > 0;) {
		text[length] = '\0';
		assert_int_not_equal(open_at(&place, text), FLEET_SEAL_OK);
	}
	assert_int_equal(open_at(&place, ""), FLEET_SEAL_MALFORMED);
	assert_int_equal(open_at(&place, "secret"), FLEET_SEAL_MALFORMED);
	memset(text, 'A', sizeof(text) - 1);
	assert_int_equal(open_at(&place, text), FLEET_SEAL_MALFORMED);
}

static void a_new_key_seals_and_the_old_one_opens_until_it_is_gone(void **state)
{
	char old[FLEET_SEALED_TEXT], new[FLEET_SEALED_TEXT];
	(void)state;
	seal(old);
	assert_true(fleet_seal_is_current(&ring, old));
	fleet_keyring_clear(&ring);
	assert_int_equal(add(2, 32, 0400), FLEET_SEAL_OK);
	assert_int_equal(open_at(&place, old), FLEET_SEAL_UNKNOWN_KEY);
	assert_int_equal(add(1, 32, 0600), FLEET_SEAL_OK);
	assert_int_equal(open_at(&place, old), FLEET_SEAL_OK);
	assert_false(fleet_seal_is_current(&ring, old));
	seal(new);
	assert_true(fleet_seal_is_current(&ring, new));
	assert_int_equal(open_at(&place, new), FLEET_SEAL_OK);
}

/* ---- Whole records ---- */

static int check(const char *object, const char *text)
{
	return fleet_seal_check_record(&ring, object, text, strlen(text));
}

static void a_record_is_as_it_was_written_or_is_forged(void **state)
{
	char *text;
	(void)state;
	assert_int_equal(fleet_seal_record(&ring, "t-1", "{\"endpoint\":\"192.0.2.1:1\",\"n\":7}", &text), FLEET_SEAL_OK);
	assert_non_null(strstr(text, "192.0.2.1"));
	assert_int_equal(check("t-1", text), FLEET_SEAL_OK);
	assert_int_equal(check("t-2", text), FLEET_SEAL_FORGED);
	/* Each bit of it counts, and each byte is needed. (Those of the seal, see above; base64 has a few texts for the same bytes.) */
	size_t seal_end = (size_t)(strstr(text, "\",") - text);
	for (size_t bit = 0; bit < 8 * strlen(text); bit++) {
		if (bit / 8 >= strlen("{\"seal\":\"") && bit / 8 < seal_end)
			continue;
		text[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_not_equal(check("t-1", text), FLEET_SEAL_OK);
		text[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t length = strlen(text); length-- > 0;)
		assert_int_not_equal(fleet_seal_check_record(&ring, "t-1", text, length), FLEET_SEAL_OK);
	assert_int_equal(check("t-1", text), FLEET_SEAL_OK);
	free(text);
}

static void a_record_without_a_seal_is_none(void **state)
{
	static const char *const texts[] = { "", "{}", "{\"n\":7}", "{\"seal\":\"", "{\"seal\":\"\"}", "{\"seal\":\"\",\"n\":7}" };
	static char long_one[2 * FLEET_SEALED_TEXT] = "{\"seal\":\"";
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(check("t-1", texts[i]), FLEET_SEAL_MALFORMED);
		assert_false(fleet_seal_record_is_current(&ring, texts[i], strlen(texts[i])));
	}
	memset(long_one + strlen(long_one), 'A', sizeof(long_one) - 40);
	strcat(long_one, "\",\"n\":7}");
	assert_int_equal(check("t-1", long_one), FLEET_SEAL_MALFORMED);
}

/* The seal of a secret, even of an empty one, is none of a record. */
static void a_secret_s_seal_is_none_of_a_record(void **state)
{
	const struct fleet_seal_place secret = { .object = "t-1", .member = "/record", .rest = "\"n\":7}", .rest_length = 6 };
	char seal[FLEET_SEALED_TEXT], text[FLEET_SEALED_TEXT + 32];
	(void)state;
	assert_int_equal(fleet_seal(&ring, &secret, "", 0, seal), FLEET_SEAL_OK);
	snprintf(text, sizeof(text), "{\"seal\":\"%s\",\"n\":7}", seal);
	assert_int_equal(check("t-1", text), FLEET_SEAL_FORGED);
}

static void a_record_tells_whether_the_first_key_sealed_it(void **state)
{
	char *text;
	(void)state;
	assert_int_equal(fleet_seal_record(&ring, "t-1", "{\"n\":7}", &text), FLEET_SEAL_OK);
	assert_true(fleet_seal_record_is_current(&ring, text, strlen(text)));
	fleet_keyring_clear(&ring);
	assert_int_equal(fleet_seal_record(&ring, "t-1", "{\"n\":7}", &(char *){ NULL }), FLEET_SEAL_NO_KEY);
	assert_int_equal(add(2, 32, 0600), FLEET_SEAL_OK);
	assert_int_equal(check("t-1", text), FLEET_SEAL_UNKNOWN_KEY);
	assert_int_equal(add(1, 32, 0600), FLEET_SEAL_OK);
	assert_int_equal(check("t-1", text), FLEET_SEAL_OK);
	assert_false(fleet_seal_record_is_current(&ring, text, strlen(text)));
	free(text);
}

static void a_key_s_file_is_checked(void **state)
{
	char text[FLEET_SEALED_TEXT];
	(void)state;
	fleet_keyring_clear(&ring);
	assert_int_equal(fleet_seal(&ring, &place, "secret", 6, text), FLEET_SEAL_NO_KEY);
	assert_int_equal(add(1, 31, 0600), FLEET_SEAL_NO_KEY);
	assert_int_equal(add(1, 33, 0600), FLEET_SEAL_NO_KEY);
	assert_int_equal(add(1, 32, 0640), FLEET_SEAL_OPEN_TO_ALL);
	assert_int_equal(add(1, 32, 0604), FLEET_SEAL_OPEN_TO_ALL);
	assert_int_equal(fleet_keyring_add(&ring, "/nosuch"), FLEET_SEAL_UNREADABLE);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(fleet_keyring_add(&ring, "/tmp"), FLEET_SEAL_UNREADABLE);
	assert_int_equal(errno, EISDIR);
	assert_int_equal(ring.count, 0);
	for (uint8_t i = 0; i < FLEET_SEAL_KEYS; i++)
		assert_int_equal(add(i, 32, 0600), FLEET_SEAL_OK);
	assert_int_equal(add(9, 32, 0600), FLEET_SEAL_TOO_MANY);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_secret_of_any_length_is_as_it_was, with_key),
		cmocka_unit_test_setup(no_two_texts_are_the_same, with_key),
		cmocka_unit_test_setup(a_text_of_long_ago_opens, with_key),
		cmocka_unit_test_setup(a_text_opens_only_at_its_place, with_key),
		cmocka_unit_test_setup(a_text_of_which_a_bit_is_changed_does_not_open, with_key),
		cmocka_unit_test_setup(what_is_no_sealed_text_is_malformed, with_key),
		cmocka_unit_test_setup(a_new_key_seals_and_the_old_one_opens_until_it_is_gone, with_key),
		cmocka_unit_test_setup(a_record_is_as_it_was_written_or_is_forged, with_key),
		cmocka_unit_test_setup(a_record_without_a_seal_is_none, with_key),
		cmocka_unit_test_setup(a_secret_s_seal_is_none_of_a_record, with_key),
		cmocka_unit_test_setup(a_record_tells_whether_the_first_key_sealed_it, with_key),
		cmocka_unit_test_setup(a_key_s_file_is_checked, with_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
