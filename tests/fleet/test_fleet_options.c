/* What an operator says of the fleet: taken, completed, or refused in a line that says what to write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/fleet_options.h"

static struct fleet_options options;
static char failure[512];

static int clear(void **state)
{
	(void)state;
	fleet_options_clear(&options);
	failure[0] = '\0';
	return 0;
}

static bool set(const char *name, const char *value)
{
	return fleet_options_set(&options, name, value, failure);
}

static void say_all_that_is_needed(void)
{
	assert_true(set("fleet", "https://etcd-1:2379"));
	assert_true(set("node", "ams-1"));
	assert_true(set("node-api", "https://10.0.0.1:8443"));
	assert_true(set("fleet-key-file", "/etc/warren/fleet.key"));
}

static void assert_refused(const char *part)
{
	assert_false(fleet_options_check(&options, failure));
	assert_non_null(strstr(failure, part));
}

static void what_was_not_said_is_filled_in(void **state)
{
	(void)state;
	say_all_that_is_needed();
	assert_true(fleet_options_check(&options, failure));
	assert_string_equal(options.urls[0], "https://etcd-1:2379");
	assert_string_equal(options.prefix, "/warren/v1/");
	assert_int_equal(options.capacity, FLEET_CAPACITY);
	assert_int_equal(options.label_count, 0);
}

static void everything_that_is_said_is_taken(void **state)
{
	(void)state;
	say_all_that_is_needed();
	assert_true(set("fleet", "https://[2001:db8::1]:2379"));
	assert_true(set("fleet-prefix", "/other"));
	assert_true(set("fleet-ca", "/ca"));
	assert_true(set("fleet-user", "warren"));
	assert_true(set("fleet-password-file", "/password"));
	assert_true(set("fleet-key-file", "/etc/warren/old.key"));
	assert_true(set("node-label", "tier=2"));
	assert_true(set("node-label", "region=eu=west"));
	assert_true(set("node-capacity", "500"));
	assert_true(fleet_options_check(&options, failure));
	assert_int_equal(options.url_count, 2);
	assert_int_equal(options.seal_key_count, 2);
	assert_string_equal(options.prefix, "/other/");
	assert_int_equal(options.capacity, 500);
	assert_int_equal(options.label_count, 2);
	assert_string_equal(options.labels[0].key, "region");
	assert_string_equal(options.labels[0].value, "eu=west");
	assert_string_equal(options.labels[1].key, "tier");
}

static void nothing_said_is_no_fleet(void **state)
{
	(void)state;
	assert_true(fleet_options_check(&options, failure));
	assert_int_equal(options.url_count, 0);
}

static void values_that_make_no_sense_are_refused(void **state)
{
	static const char *const values[][2] = {
		{ "fleet", "" },
		{ "fleet", "etcd-1:2379" },
		{ "fleet", "https://etcd-1" },
		{ "fleet", "https://etcd-1:0" },
		{ "fleet", "https://etcd-1:2379/v3" },
		{ "fleet", "https://user@etcd-1:2379" },
		{ "fleet", "https://unix:/run/etcd" },
		{ "fleet", "ftp://etcd-1:2379" },
		{ "node-api", "10.0.0.1:8443" },
		{ "fleet-prefix", "" },
		{ "fleet-prefix", "/" },
		{ "fleet-prefix", "warren" },
		{ "fleet-prefix", "/a//b" },
		{ "fleet-prefix", "/a b" },
		{ "fleet-user", "" },
		{ "node", "" },
		{ "node", "AMS" },
		{ "node", "a/b" },
		{ "node", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
		{ "node-label", "region" },
		{ "node-label", "=eu" },
		{ "node-label", "region=\xff" },
		{ "node-capacity", "" },
		{ "node-capacity", "0" },
		{ "node-capacity", "-1" },
		{ "node-capacity", "5x" },
		{ "node-capacity", "100001" },
		{ "node-capacity", "99999999999999999999" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		failure[0] = '\0';
		assert_false(set(values[i][0], values[i][1]));
		assert_true(strlen(failure) > 10);
	}
}

static void the_longest_prefix_fits(void **state)
{
	char text[FLEET_PREFIX_MAX] = "/";
	(void)state;
	memset(text + 1, 'a', FLEET_PREFIX_MAX - 3);
	assert_true(set("fleet-prefix", text));
	assert_int_equal(strlen(options.prefix), FLEET_PREFIX_MAX - 1);
	strcat(text, "a");
	assert_false(set("fleet-prefix", text));
}

static void what_belongs_together_is_asked_for(void **state)
{
	static const struct {
		const char *said[2][2];
		const char *part;
	} cases[] = {
		{ { { "fleet-cert", "/cert" } }, "--fleet-key belong together" },
		{ { { "fleet-key", "/key" } }, "--fleet-key belong together" },
		{ { { "fleet-user", "warren" } }, "--fleet-password-file belong together" },
		{ { { "fleet-ca", "/ca" }, { "fleet", "http://etcd-2:2379" } }, "need URLs with https" },
		{ { { "node-label", "a=\n" } }, "--node-label" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		clear(NULL);
		say_all_that_is_needed();
		for (size_t j = 0; j < 2 && cases[i].said[j][0] != NULL; j++)
			assert_true(set(cases[i].said[j][0], cases[i].said[j][1]));
		assert_refused(cases[i].part);
	}
}

static void labels_fit_into_a_heartbeat(void **state)
{
	char label[256 + 4];
	(void)state;
	say_all_that_is_needed();
	for (int i = 0; i < 40; i++) {
		snprintf(label, sizeof(label), "%02d=", i);
		memset(label + 3, 'v', 255);
		label[258] = '\0';
		assert_true(set("node-label", label));
	}
	assert_refused("too long");
}

static void a_fleet_needs_a_node_an_api_and_a_key(void **state)
{
	static const char *const needed[][2] = { { "node", "ams-1" }, { "node-api", "https://10.0.0.1:8443" }, { "fleet-key-file", "/key" } };
	(void)state;
	assert_true(set("fleet", "https://etcd-1:2379"));
	for (size_t i = 0; i < 3; i++) {
		assert_refused(needed[i][0]);
		assert_true(set(needed[i][0], needed[i][1]));
	}
	assert_true(fleet_options_check(&options, failure));
}

static void without_etcd_nothing_else_may_be_said(void **state)
{
	static const char *const said[][2] = {
		{ "node", "ams-1" },          { "node-api", "https://10.0.0.1:8443" },
		{ "fleet-key-file", "/key" }, { "fleet-prefix", "/w" },
		{ "fleet-ca", "/ca" },        { "node-label", "a=b" },
		{ "node-capacity", "5" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		clear(NULL);
		assert_true(set(said[i][0], said[i][1]));
		assert_refused("only with --fleet");
	}
}

static void there_is_an_end_to_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < FLEET_URLS_MAX; i++)
		assert_true(set("fleet", "https://etcd-1:2379"));
	assert_false(set("fleet", "https://etcd-1:2379"));
	for (size_t i = 0; i < FLEET_SEAL_KEYS; i++)
		assert_true(set("fleet-key-file", "/key"));
	assert_false(set("fleet-key-file", "/key"));
	assert_true(set("node-label", "a=b"));
	assert_false(set("node-label", "a=c"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_was_not_said_is_filled_in, clear),
		cmocka_unit_test_teardown(everything_that_is_said_is_taken, clear),
		cmocka_unit_test_teardown(nothing_said_is_no_fleet, clear),
		cmocka_unit_test_teardown(values_that_make_no_sense_are_refused, clear),
		cmocka_unit_test_teardown(the_longest_prefix_fits, clear),
		cmocka_unit_test_teardown(what_belongs_together_is_asked_for, clear),
		cmocka_unit_test_teardown(labels_fit_into_a_heartbeat, clear),
		cmocka_unit_test_teardown(a_fleet_needs_a_node_an_api_and_a_key, clear),
		cmocka_unit_test_teardown(without_etcd_nothing_else_may_be_said, clear),
		cmocka_unit_test_teardown(there_is_an_end_to_lists, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
