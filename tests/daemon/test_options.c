#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/options.h"
#include "service/spec/json_reader.h"
#include "tests/failing_heap.h"

#define ARGUMENTS_MAX 32

static char failure[512];

/* The words of a command line, separated by spaces. */
static bool read_line(struct options *options, const char *line)
{
	char copy[1536], *rest = copy, *arguments[ARGUMENTS_MAX] = { copy };
	int count = 0;
	snprintf(copy, sizeof(copy), "warrend%s%s", line[0] ? " " : "", line);
	for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " "))
		arguments[count++] = word;
	failure[0] = '\0';
	return options_read(options, count, arguments, failure);
}

static void clear_environment(void)
{
	static const char *const names[] = { "WARREN_STATE_DIR", "WARREN_LISTEN",  "WARREN_WORKERS",
		                             "WARREN_CONFIG",    "WARREN_NO_AUTH", "STATE_DIRECTORY" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
}

static void the_command_line_is_read(void **state)
{
	struct options options;
	(void)state;
	clear_environment();
	assert_true(read_line(
	    &options, "--state-dir /s --listen 127.0.0.1:1 --listen=[::1]:2 --workers 3 --allow-remote --allow-socket /run --log-format json"));
	assert_string_equal(options.service.state_dir, "/s");
	assert_string_equal(options.api.state_dir, "/s");
	assert_int_equal(options.api.listen_count, 2);
	assert_string_equal(options.api.listen[1], "[::1]:2");
	assert_int_equal(options.service.workers, 3);
	assert_true(options.service.allow_remote);
	assert_true(options.api.allow_remote);
	assert_true(options.service.gso);
	assert_int_equal(options.service.allow_socket_count, 1);
	assert_true(options.log_json);
	assert_true(options.service.log_json);
	options_clear(&options);
}

static void what_is_wrong_is_told(void **state)
{
	static const char *const lines[] = { "--nonsense",
		                             "nonsense",
		                             "--workers",
		                             "--workers x",
		                             "--workers -1",
		                             "--allow-remote=yes",
		                             "--log-level loud",
		                             "--log-format xml",
		                             "--aead AVX2",
		                             "--tls-cert /x",
		                             "--allow-socket relative",
		                             "--config /does/not/exist",
		                             "--state-dir=" };
	struct options options;
	(void)state;
	clear_environment();
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (read_line(&options, lines[i]))
			fail_msg("%s was accepted", lines[i]);
		assert_int_not_equal(strlen(failure), 0);
		assert_null(strchr(failure, '\n'));
		options_clear(&options);
	}
}

static void the_command_line_beats_the_environment_beats_the_file(void **state)
{
	struct options options;
	char path[] = "/tmp/warren-options-XXXXXX", line[128];
	static const char text[] =
	    "{\"state_dir\": \"/file\", \"workers\": 1, \"listen\": [\"127.0.0.1:1\"], \"no_auth\": true, \"log_level\": \"debug\"}";
	(void)state;
	clear_environment();
	int descriptor = mkstemp(path);
	assert_int_equal(write(descriptor, text, strlen(text)), strlen(text));
	close(descriptor);
	setenv("WARREN_WORKERS", "2", 1);
	setenv("WARREN_LISTEN", "127.0.0.1:2,127.0.0.1:3", 1);
	snprintf(line, sizeof(line), "--config %s --listen 127.0.0.1:4", path);
	assert_true(read_line(&options, line));
	assert_string_equal(options.service.state_dir, "/file");
	assert_int_equal(options.service.workers, 2);
	assert_int_equal(options.api.listen_count, 1);
	assert_string_equal(options.api.listen[0], "127.0.0.1:4");
	assert_true(options.api.no_auth);
	assert_int_equal(options.log_level, LOG_DEBUG);
	options_clear(&options);
	setenv("WARREN_CONFIG", path, 1);
	assert_true(read_line(&options, ""));
	assert_int_equal(options.api.listen_count, 2);
	options_clear(&options);
	clear_environment();
	unlink(path);
}

static const char *flag(bool on)
{
	return on ? "true" : "false";
}

static const char *first(char *const *list, size_t count)
{
	return count == 1 ? list[0] : "not one";
}

static const char *number(unsigned value)
{
	static char text[16];
	snprintf(text, sizeof(text), "%u", value);
	return text;
}

static const char *value_of(const struct options *options, const char *name)
{
	static const char *const levels[] = { [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug" };
	const struct {
		const char *name, *value;
	} values[] = {
		{ "state_dir", options->service.state_dir },
		{ "listen", first(options->api.listen, options->api.listen_count) },
		{ "unix_socket", options->api.unix_socket },
		{ "workers", number(options->service.workers) },
		{ "allow_remote", flag(options->service.allow_remote && options->api.allow_remote) },
		{ "allowed_host", first(options->api.allowed_host, options->api.allowed_host_count) },
		{ "allow_socket", first(options->service.allow_socket, options->service.allow_socket_count) },
		{ "tls_cert", options->api.tls_cert },
		{ "tls_key", options->api.tls_key },
		{ "no_auth", flag(options->api.no_auth) },
		{ "no_gso", flag(!options->service.gso) },
		{ "aead", aead_backend_name(options->service.aead) },
		{ "access_log", options->service.access_log },
		{ "log_level", levels[options->log_level] },
		{ "log_format", options->log_json && options->service.log_json ? "json" : "text" },
	};
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (strcmp(values[i].name, name) == 0)
			return values[i].value;
	return "unknown";
}

/* One option in each of the three places; what is set in a stronger one counts. */
static const struct {
	const char *name, *file, *environment, *line;
} everywhere[] = {
	{ "state_dir", "/file", "/environment", "/line" },
	{ "listen", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3" },
	{ "unix_socket", "/file", "/environment", "/line" },
	{ "workers", "1", "2", "3" },
	{ "allow_remote", "true", "false", "true" },
	{ "allowed_host", "file", "environment", "line" },
	{ "allow_socket", "/file", "/environment", "/line" },
	{ "tls_cert", "/file", "/environment", "/line" },
	{ "tls_key", "/file", "/environment", "/line" },
	{ "no_auth", "true", "false", "true" },
	{ "no_gso", "true", "false", "true" },
	{ "aead", "libsodium", "libsodium", "libsodium" },
	{ "access_log", "/file", "-", "/line" },
	{ "log_level", "error", "warn", "debug" },
	{ "log_format", "json", "text", "json" },
};
#define OPTIONS (sizeof(everywhere) / sizeof(everywhere[0]))

static void name_in(char out[64], const char *prefix, const char *name, char underscore, int (*letter)(int))
{
	size_t n = (size_t)snprintf(out, 64, "%s", prefix);
	for (; *name != '\0'; name++)
		out[n++] = *name == '_' ? underscore : (char)letter((unsigned char)*name);
	out[n] = '\0';
}

static void expect(const char *line, const char *what, size_t from)
{
	struct options options;
	if (!read_line(&options, line))
		fail_msg("%s: %s", line, failure);
	for (size_t i = 0; i < OPTIONS; i++) {
		const char *const values[] = { everywhere[i].file, everywhere[i].environment, everywhere[i].line };
		if (strcmp(value_of(&options, everywhere[i].name), values[from]) != 0)
			fail_msg("%s by the %s is %s", everywhere[i].name, what, value_of(&options, everywhere[i].name));
	}
	options_clear(&options);
}

static void every_option_has_three_places(void **state)
{
	char path[] = "/tmp/warren-options-XXXXXX", line[1024], name[64];
	(void)state;
	clear_environment();
	FILE *file = fdopen(mkstemp(path), "w");
	for (size_t i = 0; i < OPTIONS; i++) {
		bool is_bare = strcmp(everywhere[i].file, "true") == 0 || strcmp(everywhere[i].name, "workers") == 0;
		fprintf(file, "%s\"%s\": %s%s%s", i == 0 ? "{" : ", ", everywhere[i].name, is_bare ? "" : "\"", everywhere[i].file,
		        is_bare ? "" : "\"");
	}
	fputs("}", file);
	fclose(file);
	size_t n = (size_t)snprintf(line, sizeof(line), "--config %s", path);
	expect(line, "file", 0);
	for (size_t i = 0; i < OPTIONS; i++) {
		name_in(name, "WARREN_", everywhere[i].name, '_', toupper);
		setenv(name, everywhere[i].environment, 1);
	}
	expect(line, "environment", 1);
	for (size_t i = 0; i < OPTIONS; i++) {
		name_in(name, "--", everywhere[i].name, '-', tolower);
		bool is_flag = strcmp(everywhere[i].line, "true") == 0;
		n += (size_t)snprintf(line + n, sizeof(line) - n, " %s%s%s", name, is_flag ? "" : "=", is_flag ? "" : everywhere[i].line);
	}
	expect(line, "command line", 2);
	for (size_t i = 0; i < OPTIONS; i++) {
		name_in(name, "WARREN_", everywhere[i].name, '_', toupper);
		unsetenv(name);
	}
	unlink(path);
}

static void the_state_has_a_place(void **state)
{
	struct options options;
	(void)state;
	clear_environment();
	setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
	assert_true(read_line(&options, ""));
	assert_string_equal(options.service.state_dir, "/var/lib/one");
	options_clear(&options);
	clear_environment();
}

/* jansson drops a character of a string when an allocation fails: a daemon must not start with another address or directory than is written. */
static void a_file_that_memory_lacks_for_is_refused(void **state)
{
	char path[] = "/tmp/warren-options-XXXXXX", line[128];
	static const char text[] = "{\"state_dir\": \"/a/directory/with/a/long/name\", \"listen\": [\"127.0.0.1:8470\"]}";
	struct options options;
	(void)state;
	clear_environment();
	json_reader_start();
	int descriptor = mkstemp(path);
	assert_int_equal(write(descriptor, text, strlen(text)), strlen(text));
	close(descriptor);
	snprintf(line, sizeof(line), "--config %s", path);
	for (unsigned allowed = 0;; allowed++) {
		heap_fails_once_after(allowed);
		bool is_read = read_line(&options, line);
		heap_works();
		if (!is_read && strstr(failure, "memory") == NULL)
			fail_msg("after %u allocations: %s", allowed, failure);
		if (is_read)
			assert_string_equal(options.service.state_dir, "/a/directory/with/a/long/name");
		options_clear(&options);
		if (heap_refused() == 0)
			break;
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_command_line_is_read),
		cmocka_unit_test(what_is_wrong_is_told),
		cmocka_unit_test(the_command_line_beats_the_environment_beats_the_file),
		cmocka_unit_test(every_option_has_three_places),
		cmocka_unit_test(the_state_has_a_place),
		cmocka_unit_test(a_file_that_memory_lacks_for_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
