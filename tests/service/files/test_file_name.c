/* Which names make which objects, and in which order they are looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "service/files/file_name.h"

static void a_name_says_what_its_file_makes(void **state)
{
	static const struct {
		const char *text;
		bool is_ours;
		enum file_form form;
		enum spec_kind object;
		const char *id;
	} cases[] = {
		{ "ams-1.conf", true, FILE_FORM_WGQUICK, SPEC_TUNNEL, "ams-1" },
		{ "a.b.json", true, FILE_FORM_JSON, SPEC_TUNNEL, "a.b" },
		{ "eu.pool.json", true, FILE_FORM_JSON, SPEC_POOL, "eu" },
		{ "eu.pool.conf", true, FILE_FORM_WGQUICK, SPEC_TUNNEL, "eu.pool" },
		/* As providers name them. */
		{ "wg-NL-FREE-3.conf", true, FILE_FORM_WGQUICK, SPEC_TUNNEL, "wg-nl-free-3" },
		{ "NL Free#3.json", true, FILE_FORM_JSON, SPEC_TUNNEL, "nl-free-3" },
		/* Told as wrong, and not passed over. */
		{ "-- \xc3\xa9.conf", true, FILE_FORM_WGQUICK, SPEC_TUNNEL, "" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.conf", true, FILE_FORM_WGQUICK, SPEC_TUNNEL, "" },
		{ ".a.conf", false, 0, 0, "" },
		{ ".conf", false, 0, 0, "" },
		{ ".pool.json", false, 0, 0, "" },
		{ "a.conf~", false, 0, 0, "" },
		{ "a.conf.swp", false, 0, 0, "" },
		{ "README", false, 0, 0, "" },
		{ "", false, 0, 0, "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct file_name name;
		assert_int_equal(file_name_read(&name, cases[i].text), cases[i].is_ours);
		if (!cases[i].is_ours)
			continue;
		assert_int_equal(name.form, cases[i].form);
		assert_int_equal(name.object, cases[i].object);
		assert_string_equal(name.id, cases[i].id);
	}
}

static void files_of_one_tunnel_follow_each_other_wgquick_first(void **state)
{
	static const char *const given[] = { "b.conf", "a.pool.json", "a.json", "a.b.conf", "a.conf", "A.conf" };
	static const char *const sorted[] = { "A.conf", "a.conf", "a.json", "a.b.conf", "b.conf", "a.pool.json" };
	struct file_name names[6];
	(void)state;
	for (size_t i = 0; i < 6; i++)
		assert_true(file_name_read(&names[i], given[i]));
	qsort(names, 6, sizeof(names[0]), file_name_compare);
	for (size_t i = 0; i < 6; i++)
		assert_string_equal(names[i].text, sorted[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_says_what_its_file_makes),
		cmocka_unit_test(files_of_one_tunnel_follow_each_other_wgquick_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
