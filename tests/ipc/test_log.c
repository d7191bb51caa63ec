#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ipc/log.h"

static int ends[2], saved_stderr;

/* The lines go to a pipe, which is read after each. */
static int catch (void **state)
{
	(void)state;
	assert_int_equal(pipe(ends), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	return 0;
}

static int let_go(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(ends[0]);
	return 0;
}

static const char *line(void)
{
	static char text[8192];
	ssize_t got = read(ends[0], text, sizeof(text) - 1);
	assert_true(got > 0);
	text[got] = '\0';
	return text;
}

/* One line of JSON (RFC 8259), whatever is in it; a new reference. */
static json_t *json(void)
{
	const char *text = line();
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	json_error_t error;
	json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (object == NULL)
		fail_msg("%s: %s", error.text, text);
	return object;
}

static const char *member(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void a_line_says_when_who_and_what(void **state)
{
	(void)state;
	log_start(LOG_INFO, false, "worker 3");
	errno = ENOENT;
	time_t before = time(NULL);
	log_line(LOG_WARN, "ams-1", "%s %d", "told", 5);
	assert_int_equal(errno, ENOENT);
	const char *text = line();
	struct tm at = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &at);
	assert_non_null(rest);
	/* time() may be a tick behind the clock of the line. */
	assert_in_range(timegm(&at), before, time(NULL) + 1);
	assert_string_equal(rest + 4, "Z warn  worker 3 ams-1: told 5\n");
	log_line(LOG_ERROR, NULL, "alone");
	assert_non_null(strstr(line(), "Z error worker 3: alone\n"));
}

static void what_is_under_the_level_is_not_told(void **state)
{
	enum log_level level;
	(void)state;
	static const char *const names[] = { "error", "warn", "info", "debug" };
	for (unsigned i = 0; i < 4; i++) {
		assert_true(log_level_parse(names[i], &level));
		assert_int_equal(level, i);
		log_start(level, false, "control");
		assert_int_equal(log_level_now(), level);
		log_line(level, NULL, "here %u", i);
		if (level < LOG_DEBUG)
			log_line(level + 1, NULL, "not here");
		const char *text = line();
		assert_non_null(strstr(text, "here"));
		assert_null(strstr(text, "not here"));
	}
	assert_false(log_level_parse("trace", &level) || log_level_parse("", &level) || log_level_parse("Info", &level));
}

/* X4: a stranger's bytes neither split a line nor end a string. */
static void no_bytes_break_a_line(void **state)
{
	(void)state;
	log_start(LOG_INFO, false, "control");
	log_line(LOG_INFO, NULL, "a\nb\r\x1b[0m\x7f\"\\");
	assert_non_null(strstr(line(), ": a\\u000ab\\u000d\\u001b[0m\\u007f\"\\\n"));
	log_start(LOG_INFO, true, "worker 0");
	log_line(LOG_INFO, "t", "a\nb\x1b\x7f\"\\,");
	json_t *object = json();
	assert_string_equal(member(object, "message"), "a\nb\x1b\x7f\"\\,");
	assert_string_equal(member(object, "level"), "info");
	assert_string_equal(member(object, "from"), "worker 0");
	assert_string_equal(member(object, "tunnel"), "t");
	json_decref(object);
}

/* What is no UTF-8 (RFC 3629) is U+FFFD, byte by byte, so that the line stays JSON. */
static void a_line_is_utf8_whatever_is_in_it(void **state)
{
	(void)state;
	log_start(LOG_INFO, true, "control");
	log_line(LOG_INFO, NULL, "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x87");
	json_t *object = json();
	assert_string_equal(member(object, "message"), "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x87");
	json_decref(object);
	log_line(LOG_INFO, NULL, "a\xff\xc0\xafz\xed\xa0\x80\xc3");
	object = json();
	assert_string_equal(member(object, "message"), "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	json_decref(object);
}

static void what_is_too_long_is_cut_and_still_a_line(void **state)
{
	char text[5000];
	(void)state;
	for (size_t offset = 0; offset < 8; offset++) {
		memset(text, 'x', sizeof(text));
		for (size_t i = offset; i + 2 < sizeof(text); i += 2)
			memcpy(text + i, "\xc3\xbc", 2);
		text[sizeof(text) - 1] = '\0';
		log_start(LOG_INFO, true, "control");
		log_line(LOG_INFO, NULL, "%s", text);
		json_t *object = json();
		assert_in_range(strlen(member(object, "message")), 1000, 1100);
		json_decref(object);
	}
	memset(text, '\x01', sizeof(text) - 1);
	log_line(LOG_INFO, "ams", "%s", text);
	json_decref(json());
	log_start(LOG_INFO, false, "control");
	log_line(LOG_INFO, "ams", "%s", text);
	const char *cut = line();
	assert_ptr_equal(strchr(cut, '\n'), cut + strlen(cut) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_says_when_who_and_what, catch, let_go),
		cmocka_unit_test_setup_teardown(what_is_under_the_level_is_not_told, catch, let_go),
		cmocka_unit_test_setup_teardown(no_bytes_break_a_line, catch, let_go),
		cmocka_unit_test_setup_teardown(a_line_is_utf8_whatever_is_in_it, catch, let_go),
		cmocka_unit_test_setup_teardown(what_is_too_long_is_cut_and_still_a_line, catch, let_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
