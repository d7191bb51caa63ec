/* The time of day as text (RFC 3339). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "ipc/wall_clock.h"

static void test_known_times(void **state)
{
	(void)state;
	static const struct {
		int64_t milliseconds;
		const char *text, *seconds;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z" },
		{ -1, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z" },
		{ INT64_MIN, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z" },
		{ 951782399999, "2000-02-28T23:59:59.999Z", "2000-02-28T23:59:59Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z", "2000-02-29T00:00:00Z" },
		{ 951868800001, "2000-03-01T00:00:00.001Z", "2000-03-01T00:00:00Z" },
		{ 1136214245678, "2006-01-02T15:04:05.678Z", "2006-01-02T15:04:05Z" },
		{ 4107542400000, "2100-03-01T00:00:00.000Z", "2100-03-01T00:00:00Z" },
		{ INT64_MAX, "292278994-08-17T07:12:55.807Z", "292278994-08-17T07:12:55Z" },
	};
	char text[WALL_CLOCK_TEXT_MAX];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		wall_clock_format(text, cases[i].milliseconds);
		assert_string_equal(text, cases[i].text);
		wall_clock_format_seconds(text, cases[i].milliseconds);
		assert_string_equal(text, cases[i].seconds);
	}
}

/* The C library's calendar, once a day and at odd seconds, for 1,000 years. */
static void test_every_day_is_the_librarys(void **state)
{
	(void)state;
	for (time_t day = 0; day < 365243; day++) {
		time_t second = day * 86400 + (day * 7919) % 86400;
		char text[WALL_CLOCK_TEXT_MAX], wanted[32];
		struct tm utc;
		gmtime_r(&second, &utc);
		strftime(wanted, sizeof(wanted), "%Y-%m-%dT%H:%M:%SZ", &utc);
		wall_clock_format_seconds(text, (int64_t)second * 1000 + 999);
		assert_string_equal(text, wanted);
	}
}

static void test_what_is_written_is_read(void **state)
{
	(void)state;
	for (int64_t day = 0; day < 2932896; day += 13) {
		int64_t time = day * 86400000 + (day * 7919777) % 86400000 + 1, read = 0;
		char text[WALL_CLOCK_TEXT_MAX];
		wall_clock_format(text, time);
		assert_true(wall_clock_parse(text, &read));
		assert_int_equal(read, time);
	}
}

static void test_other_forms_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t time; /* 0: refused */
	} cases[] = {
		{ "2026-01-02T03:04:05Z", 1767323045000 },
		{ "2026-01-02t03:04:05z", 1767323045000 },
		{ "2026-01-02T04:04:05+01:00", 1767323045000 },
		{ "2026-01-01T22:34:05-04:30", 1767323045000 },
		{ "2026-01-02T03:04:05.6789999Z", 1767323045678 },
		{ "2024-02-29T00:00:00Z", 1709164800000 },
		{ "1998-12-31T23:59:60Z", 915148800000 },
		{ "2026-02-29T00:00:00Z", 0 },
		{ "2026-00-01T00:00:00Z", 0 },
		{ "2026-13-01T00:00:00Z", 0 },
		{ "2026-01-00T00:00:00Z", 0 },
		{ "2026-01-01T24:00:00Z", 0 },
		{ "2026-01-01T00:60:00Z", 0 },
		{ "2026-01-01T00:00:61Z", 0 },
		{ "2026-01-01T00:00:00.Z", 0 },
		{ "2026-01-01T00:00:00", 0 },
		{ "2026-01-01T00:00:00+0100", 0 },
		{ "2026-01-01T00:00:00Z ", 0 },
		{ "2026-01-01 00:00:00Z", 0 },
		{ "2026-01-01", 0 },
		{ "1969-12-31T23:59:59Z", 0 },
		{ "1970-01-01T00:00:00+01:00", 0 },
		{ "tomorrow", 0 },
		{ "", 0 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t time = 0;
		assert_int_equal(wall_clock_parse(cases[i].text, &time), cases[i].time != 0);
		if (cases[i].time != 0)
			assert_int_equal(time, cases[i].time);
	}
}

static void test_it_is_now(void **state)
{
	(void)state;
	int64_t before = (int64_t)time(NULL) * 1000 - 1000;
	int64_t now = wall_clock_ms();
	assert_in_range(now, before, (int64_t)time(NULL) * 1000 + 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_times),
		cmocka_unit_test(test_every_day_is_the_librarys),
		cmocka_unit_test(test_what_is_written_is_read),
		cmocka_unit_test(test_other_forms_are_read),
		cmocka_unit_test(test_it_is_now),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
