/* Answers of etcd's gateway: as etcd 3.4.23 sends them, and as nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/etcd_answer.h"

#define HEADER "\"header\":{\"cluster_id\":\"17237436991929493444\",\"member_id\":\"9\",\"revision\":\"9\",\"raft_term\":\"2\"}"

static struct etcd_answer answer;

static int clear(void **state)
{
	(void)state;
	etcd_answer_clear(&answer);
	return 0;
}

static void read_well(const char *text)
{
	etcd_answer_clear(&answer);
	assert_int_equal(etcd_answer_read(&answer, 200, text, strlen(text)), ETCD_OK);
}

static void a_range_tells_records(void **state)
{
	struct etcd_record record;
	(void)state;
	read_well(
	    "{" HEADER
	    ",\"kvs\":[{\"key\":\"L3cvcC9h\",\"mod_revision\":\"5\",\"value\":\"dg==\",\"lease\":\"77\"},{\"key\":\"L3gvcC9h\"}],\"more\":true}");
	assert_int_equal(answer.revision, 9);
	assert_true(answer.cluster == UINT64_C(17237436991929493444));
	assert_true(answer.has_more);
	assert_int_equal(answer.record_count, 2);
	assert_true(etcd_answer_record(&answer, 0, "/w/", &record));
	assert_string_equal(record.kv.key, "p/a");
	assert_int_equal(record.kv.length, 1);
	assert_memory_equal(record.kv.value, "v", 1);
	assert_int_equal(record.kv.revision, 5);
	assert_int_equal(record.kv.lease, 77);
	assert_false(record.kv.is_deleted);
	assert_false(etcd_answer_record(&answer, 1, "/w/", &record)); /* "/x/p/a" */
}

static void a_watch_tells_puts_and_deletions(void **state)
{
	struct etcd_record record;
	(void)state;
	read_well("{\"result\":{" HEADER ",\"created\":true}}");
	assert_true(answer.is_created);
	assert_int_equal(answer.record_count, 0);
	read_well("{\"result\":{" HEADER ",\"fragment\":true,\"events\":[{\"kv\":{\"key\":\"L3cvcC9h\",\"mod_revision\":\"6\"}},"
	          "{\"type\":\"DELETE\",\"kv\":{\"key\":\"L3cvcC9h\",\"mod_revision\":\"7\"}}]}}");
	assert_true(answer.is_fragment);
	assert_true(etcd_answer_record(&answer, 0, "/w/", &record));
	assert_false(record.kv.is_deleted);
	assert_int_equal(record.kv.length, 0);
	assert_true(etcd_answer_record(&answer, 1, "/w/", &record));
	assert_true(record.kv.is_deleted);
	assert_int_equal(record.kv.revision, 7);
	read_well("{\"result\":{" HEADER ",\"canceled\":true,\"compact_revision\":\"19\"}}");
	assert_true(answer.is_canceled && answer.is_compacted);
}

static void a_transaction_and_a_lease(void **state)
{
	struct etcd_record record;
	(void)state;
	read_well("{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_put\":{\"header\":{\"revision\":\"9\"}}}]}");
	assert_true(answer.has_succeeded);
	assert_int_equal(answer.record_count, 0);
	read_well("{" HEADER ",\"responses\":[{\"response_range\":{\"header\":{},\"kvs\":[{\"key\":\"L3cvcC9h\"}],\"count\":\"1\"}}]}");
	assert_false(answer.has_succeeded);
	assert_true(etcd_answer_record(&answer, 0, "/w/", &record));
	read_well("{\"result\":{" HEADER ",\"ID\":\"77\",\"TTL\":\"12\"}}");
	assert_int_equal(answer.lease, 77);
	assert_int_equal(answer.ttl, 12);
	read_well("{\"result\":{" HEADER ",\"ID\":\"77\"}}");
	assert_int_equal(answer.ttl, 0);
	read_well("{" HEADER ",\"token\":\"secret.1\"}");
	assert_string_equal(answer.token, "secret.1");
}

static void errors_have_names(void **state)
{
	static const struct {
		long status;
		const char *text;
		int error;
	} cases[] = {
		{ 404, "{\"error\":\"etcdserver: requested lease not found\",\"message\":\"etcdserver: requested lease not found\",\"code\":5}",
		  ETCD_NOT_FOUND },
		{ 404, "404 page not found\n", ETCD_MALFORMED },
		{ 404, "{\"error\":\"Not Found\",\"message\":\"Not Found\",\"code\":5}", ETCD_REFUSED },
		{ 429, "{\"error\":\"\",\"message\":\"etcdserver: mvcc: database space exceeded\",\"code\":8}", ETCD_NO_SPACE },
		{ 429, "{\"error\":\"\",\"message\":\"etcdserver: too many requests\",\"code\":8}", ETCD_REFUSED },
		{ 400, "{\"error\":\"\",\"message\":\"etcdserver: mvcc: required revision has been compacted\",\"code\":11}", ETCD_COMPACTED },
		{ 400, "{\"error\":\"\",\"message\":\"etcdserver: user name is empty\",\"code\":3}", ETCD_NO_LOGIN },
		{ 400, "{\"error\":\"\",\"message\":\"etcdserver: authentication failed, invalid user ID or password\",\"code\":3}", ETCD_DENIED },
		{ 401, "{\"error\":\"\",\"message\":\"etcdserver: invalid auth token\",\"code\":16}", ETCD_NO_LOGIN },
		{ 403, "{\"error\":\"\",\"message\":\"etcdserver: permission denied\",\"code\":7}", ETCD_DENIED },
		{ 503, "{\"error\":\"etcdserver: request timed out\",\"code\":14}", ETCD_UNAVAILABLE },
		{ 500, "{\"error\":\"context deadline exceeded\",\"code\":2}", ETCD_UNAVAILABLE },
		{ 502, "<html>", ETCD_UNAVAILABLE },
		{ 200, "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no leader\"}}", ETCD_UNAVAILABLE },
		{ 200, "", ETCD_MALFORMED },
		{ 200, "[]", ETCD_MALFORMED },
		{ 200, "{\"a\":", ETCD_MALFORMED },
		{ 204, "{}", ETCD_MALFORMED },
		{ 301, "{}", ETCD_MALFORMED },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(etcd_answer_read(&answer, cases[i].status, cases[i].text, strlen(cases[i].text)), cases[i].error);
		assert_null(answer.document);
	}
}

/* What is missing, or of another type, is zero. */
static void missing_members_are_zeros(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{\"result\":5}",
		"{\"result\":{\"header\":[],\"events\":7,\"created\":\"true\",\"fragment\":1}}",
		"{\"header\":{\"revision\":\"9x\",\"cluster_id\":7},\"kvs\":{},\"responses\":[{\"response_range\":{\"kvs\":5}}],\"TTL\":\"\"}",
		"{\"header\":{\"revision\":\"99999999999999999999\",\"cluster_id\":\"99999999999999999999999\"},\"token\":{}}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		read_well(texts[i]);
		assert_int_equal(answer.revision, 0);
		assert_true(answer.cluster == 0);
		assert_int_equal(answer.record_count, 0);
		assert_false(answer.is_created || answer.is_fragment || answer.ttl != 0);
		assert_null(answer.token);
	}
}

static void hostile_records_are_left_out_or_empty(void **state)
{
	struct etcd_record record;
	char *text = malloc(3 * FLEET_VALUE_TEXT);
	(void)state;
	/* No key; not base64; the prefix alone; a byte 0 in the key. */
	read_well("{\"kvs\":[{},5,null,{\"key\":\"!\"},{\"key\":5},{\"key\":\"L3cv\"},{\"key\":\"L3cvAA==\"}]}");
	for (size_t i = 0; i < answer.record_count; i++)
		assert_false(etcd_answer_record(&answer, i, "/w/", &record));
	assert_false(etcd_answer_record(&answer, answer.record_count, "/w/", &record));
	/* The key is ours and the value is none: whoever reads the record refuses it. */
	int length = snprintf(text, 3 * FLEET_VALUE_TEXT, "{\"kvs\":[{\"key\":\"L3cvcC9h\",\"value\":\"");
	memset(text + length, 'A', 2 * FLEET_VALUE_TEXT);
	strcpy(text + length + 2 * FLEET_VALUE_TEXT, "\"},{\"key\":\"L3cvcC9h\",\"value\":\"!\"}]}");
	read_well(text);
	for (size_t i = 0; i < 2; i++) {
		assert_true(etcd_answer_record(&answer, i, "/w/", &record));
		assert_int_equal(record.kv.length, 0);
	}
	free(text);
}

static void every_error_has_a_name(void **state)
{
	(void)state;
	for (int error = ETCD_REFUSED; error <= ETCD_OK; error++)
		assert_non_null(etcd_error_name(error));
	assert_true(etcd_error_is_of_member(ETCD_UNAVAILABLE) && etcd_error_is_of_member(ETCD_UNREACHABLE));
	assert_false(etcd_error_is_of_member(ETCD_NO_SPACE) || etcd_error_is_of_member(ETCD_NO_MEMORY) || etcd_error_is_of_member(ETCD_DENIED));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_range_tells_records, clear),     cmocka_unit_test_teardown(a_watch_tells_puts_and_deletions, clear),
		cmocka_unit_test_teardown(a_transaction_and_a_lease, clear), cmocka_unit_test_teardown(errors_have_names, clear),
		cmocka_unit_test_teardown(missing_members_are_zeros, clear), cmocka_unit_test_teardown(hostile_records_are_left_out_or_empty, clear),
		cmocka_unit_test_teardown(every_error_has_a_name, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
