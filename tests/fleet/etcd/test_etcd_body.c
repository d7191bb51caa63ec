/* Bodies of requests, as etcd's gateway wants them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/etcd_body.h"

#define PREFIX "/w/"

static void assert_body(char *body, const char *expected)
{
	assert_non_null(body);
	assert_string_equal(body, expected);
	free(body);
}

/* "/w/p/" is L3cvcC8=, "/w/p0" L3cvcDA=, "/w/p/a\0" L3cvcC9hAA==. */
static void a_page_begins_after_the_last_one(void **state)
{
	(void)state;
	assert_body(etcd_body_range(PREFIX, "p/", NULL, 0, 500), "{\"key\":\"L3cvcC8=\",\"range_end\":\"L3cvcDA=\",\"limit\":\"500\"}");
	assert_body(etcd_body_range(PREFIX, "p/", "p/a", 7, 500),
	            "{\"key\":\"L3cvcC9hAA==\",\"range_end\":\"L3cvcDA=\",\"limit\":\"500\",\"revision\":\"7\"}");
	assert_body(etcd_body_read(PREFIX, "p/a"), "{\"key\":\"L3cvcC9h\"}");
}

static void a_transaction_deletes_too(void **state)
{
	static struct fleet_txn txn;
	(void)state;
	fleet_txn_clear(&txn);
	fleet_txn_delete(&txn, "p/a");
	fleet_txn_put_borrowed(&txn, "p/a", "v");
	assert_body(etcd_body_txn(PREFIX, &txn), "{\"compare\":[],\"success\":[{\"request_delete_range\":{\"key\":\"L3cvcC9h\"}},"
	                                         "{\"request_put\":{\"key\":\"L3cvcC9h\",\"value\":\"dg==\",\"lease\":\"0\"}}],\"failure\":[]}");
}

static void a_transaction_says_all_of_it(void **state)
{
	static struct fleet_txn txn;
	(void)state;
	fleet_txn_clear(&txn);
	fleet_txn_compare(&txn, "p/a", FLEET_MOD_REVISION, 0);
	fleet_txn_compare(&txn, "p/a", FLEET_LEASE, INT64_MAX);
	fleet_txn_put(&txn, "p/a", "v", 77);
	txn.read = "p/a";
	assert_body(etcd_body_txn(PREFIX, &txn),
	            "{\"compare\":[{\"key\":\"L3cvcC9h\",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"0\"},"
	            "{\"key\":\"L3cvcC9h\",\"target\":\"LEASE\",\"result\":\"EQUAL\",\"lease\":\"9223372036854775807\"}],"
	            "\"success\":[{\"request_put\":{\"key\":\"L3cvcC9h\",\"value\":\"dg==\",\"lease\":\"77\"}}],"
	            "\"failure\":[{\"request_range\":{\"key\":\"L3cvcC9h\"}}]}");
}

static void a_watch_asks_for_fragments(void **state)
{
	(void)state;
	assert_body(etcd_body_watch(PREFIX, "p/", 5),
	            "{\"create_request\":{\"key\":\"L3cvcC8=\",\"range_end\":\"L3cvcDA=\",\"start_revision\":\"5\",\"fragment\":true}}");
}

static void a_lease_and_a_login(void **state)
{
	(void)state;
	assert_body(etcd_body_grant(12), "{\"TTL\":\"12\"}");
	assert_body(etcd_body_keepalive(77), "{\"ID\":\"77\"}");
	assert_body(etcd_body_login("warren", "a\"b"), "{\"name\":\"warren\",\"password\":\"a\\\"b\"}");
}

static void a_password_that_is_too_long_or_no_text_is_refused(void **state)
{
	char password[10000];
	(void)state;
	memset(password, 'x', sizeof(password) - 1);
	password[sizeof(password) - 1] = '\0';
	assert_null(etcd_body_login("warren", password));
	assert_null(etcd_body_login("warren", "\xff"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_begins_after_the_last_one),
		cmocka_unit_test(a_transaction_deletes_too),
		cmocka_unit_test(a_transaction_says_all_of_it),
		cmocka_unit_test(a_watch_asks_for_fragments),
		cmocka_unit_test(a_lease_and_a_login),
		cmocka_unit_test(a_password_that_is_too_long_or_no_text_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
