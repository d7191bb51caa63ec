#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "command/quantity.h"

static char text[QUANTITY_MAX];

static void bytes_have_three_digits_and_a_unit(void **state)
{
	(void)state;
	static const struct {
		double bytes;
		const char *text;
	} cases[] = { { 0, "0 B" },        { 999, "999 B" },       { 999.6, "1.0 KiB" },   { 1024, "1.0 KiB" },    { 1536, "1.5 KiB" },
		      { 10189, "10 KiB" }, { 1022976, "999 KiB" }, { 1048576, "1.0 MiB" }, { 52428800, "50 MiB" }, { 1e18, "888 PiB" } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		quantity_bytes(text, cases[i].bytes);
		assert_string_equal(text, cases[i].text);
	}
	quantity_rate(text, 8 * 831488);
	assert_string_equal(text, "812 KiB/s");
}

static void times_are_short(void **state)
{
	(void)state;
	static const struct {
		double seconds;
		const char *duration, *age;
	} cases[] = { { 0, "0 s", "just now" },           { 90, "90 s", "90 s ago" },  { 180, "3 min", "3 min ago" },
		      { 7100, "118 min", "118 min ago" }, { 18000, "5 h", "5 h ago" }, { 172800, "2 days", "2 days ago" } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		quantity_duration(text, cases[i].seconds);
		assert_string_equal(text, cases[i].duration);
		quantity_age(text, cases[i].seconds);
		assert_string_equal(text, cases[i].age);
	}
	quantity_age(text, -18000);
	assert_string_equal(text, "in 5 h");
	quantity_milliseconds(text, 12.34);
	assert_string_equal(text, "12.3 ms");
	quantity_milliseconds(text, 123.4);
	assert_string_equal(text, "123 ms");
}

static void times_of_the_api_are_read(void **state)
{
	(void)state;
	const int64_t now_ms = 1767323045678; /* 2026-01-02T03:04:05.678Z */
	quantity_since(text, "2026-01-02T03:01:05.000Z", now_ms);
	assert_string_equal(text, "3 min ago");
	quantity_since(text, "2026-01-04T03:04:05Z", now_ms);
	assert_string_equal(text, "in 2 days");
	static const char *const wrong[] = { NULL, "", "yesterday", "2026-01-02", "2026-01-02T03:04:05+02:00" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		quantity_since(text, wrong[i], now_ms);
		assert_string_equal(text, QUANTITY_NONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_have_three_digits_and_a_unit),
		cmocka_unit_test(times_are_short),
		cmocka_unit_test(times_of_the_api_are_read),
	};
	return cmocka_run_group_tests_name("quantity", tests, NULL, NULL);
}
