#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/document.h"
#include "command/document_set.h"

static char folder[40];
static char failure[DOCUMENT_FAILURE_MAX];

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/warren-document-XXXXXX");
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static const char *path_of(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void put(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int tear_down(void **state)
{
	(void)state;
	static const char *const names[] = { "a.conf", "a.json", "b.json", "eu.pool.json", "state.json", "notes.txt", ".hidden.conf", "big.conf" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	return rmdir(folder);
}

static void ids_come_from_names(void **state)
{
	(void)state;
	static const char *const cases[][2] = { { "/x/My VPN.conf", "my-vpn" },
		                                { "ams-1.json", "ams-1" },
		                                { "eu.pool.json", "eu" },
		                                { "__a__b.conf", "a__b" },
		                                { "caf\xc3\xa9 1.conf", "caf-1" },
		                                { "x", "x" },
		                                { ".conf", "conf" } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *id = document_id_of(cases[i][0]);
		assert_string_equal(id, cases[i][1]);
		free(id);
	}
	assert_null(document_id_of("\xc3\xa9.conf"));
	char *id = document_id_of("0123456789012345678901234567890123456789012345678901234567890123456789.conf");
	assert_int_equal(strlen(id), 63);
	free(id);
}

static void content_decides_about_the_kind(void **state)
{
	struct document document;
	(void)state;
	put("a.conf", "\xef\xbb\xbf \n{\"id\": \"inside\"}");
	assert_true(document_read(&document, path_of("a.conf"), failure));
	assert_non_null(document.json);
	assert_string_equal(document.id, "inside");
	document_clear(&document);
	put("a.json", "[Interface]\n");
	assert_true(document_read(&document, path_of("a.json"), failure));
	assert_null(document.json);
	assert_string_equal(document.id, "a");
	document_clear(&document);
}

static void a_long_file_is_read_whole(void **state)
{
	struct document document;
	(void)state;
	char text[20001];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	put("big.conf", text);
	assert_true(document_read(&document, path_of("big.conf"), failure));
	assert_int_equal(document.length, sizeof(text) - 1);
	assert_string_equal(document.text, text);
	document_clear(&document);
}

static void what_is_wrong_is_told(void **state)
{
	struct document document;
	(void)state;
	put("a.json", "{\"id\":\n 3,, }");
	assert_false(document_read(&document, path_of("a.json"), failure));
	assert_non_null(strstr(failure, "line 2"));
	assert_false(document_read(&document, path_of("none"), failure));
	assert_non_null(strstr(failure, "No such file"));
	assert_false(document_read(&document, folder, failure));
	assert_non_null(strstr(failure, "directory"));
}

static void a_folder_and_a_saved_state_are_sets(void **state)
{
	struct document_set set = { 0 };
	(void)state;
	assert_false(document_set_add(&set, folder, failure));
	assert_non_null(strstr(failure, "has no NAME.conf"));
	put("a.conf", "[Interface]\n");
	put("b.json", "{\"spec\": {}}");
	put("eu.pool.json", "{\"spec\": {}}");
	put("notes.txt", "x");
	put(".hidden.conf", "x");
	assert_true(document_set_add(&set, folder, failure));
	assert_int_equal(set.count, 3);
	assert_string_equal(set.list[1].id, "b");
	assert_false(set.is_pool[1]);
	assert_true(set.is_pool[2]);
	put("state.json", "{\"tunnels\": [{\"id\": \"c\", \"spec\": {}}, {\"id\": \"d\", \"spec\": {}}], \"pools\": [{\"id\": \"c\"}]}");
	assert_true(document_set_add(&set, path_of("state.json"), failure));
	assert_int_equal(set.count, 6);
	assert_true(set.is_pool[5]);
	put("a.json", "{\"id\": \"a\"}");
	assert_false(document_set_add(&set, path_of("a.json"), failure));
	assert_non_null(strstr(failure, "both describe a"));
	document_set_clear(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_come_from_names),
		cmocka_unit_test_setup_teardown(content_decides_about_the_kind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_long_file_is_read_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_wrong_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_folder_and_a_saved_state_are_sets, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("document", tests, NULL, NULL);
}
