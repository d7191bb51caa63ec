/* Whichever allocation fails (F1): what is made is whole, or it is an error, and nothing is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/etcd_answer.h"
#include "fleet/etcd/etcd_body.h"
#include "fleet/etcd/etcd_client.h"
#include "fleet/etcd/runner.h"
#include "service/spec/json_reader.h"
#include "tests/failing_heap.h"

#define ANSWER                                                                                                                                       \
	"{\"header\":{\"cluster_id\":\"77\",\"revision\":\"9\"},\"kvs\":[{\"key\":\"L3cvcC9h\",\"value\":\"dg==\"}],\"token\":\"secret.1\","         \
	"\"more\":true}"

static struct fleet_txn txn;

static char *range(void)
{
	return etcd_body_range("/w/", "p/", "p/a", 7, 500);
}

static char *one(void)
{
	return etcd_body_read("/w/", "p/a");
}

static char *transaction(void)
{
	return etcd_body_txn("/w/", &txn);
}

static char *watch(void)
{
	return etcd_body_watch("/w/", "p/", 5);
}

static char *grant(void)
{
	return etcd_body_grant(12);
}

static char *keepalive(void)
{
	return etcd_body_keepalive(77);
}

static char *login(void)
{
	return etcd_body_login("warren", "secret");
}

static void a_body_is_whole_or_none(void **state)
{
	static char *(*const makers[])(void) = { range, one, transaction, watch, grant, keepalive, login };
	(void)state;
	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
		char *whole = makers[i]();
		bool is_made = false;
		for (unsigned allowed = 0; !is_made; allowed++) {
			heap_fails_once_after(allowed);
			char *body = makers[i]();
			is_made = heap_refused() == 0;
			heap_works();
			assert_true(!is_made || body != NULL);
			if (body != NULL)
				assert_string_equal(body, whole);
			free(body);
		}
		free(whole);
	}
}

static void an_answer_is_whole_or_an_error(void **state)
{
	bool is_made = false;
	(void)state;
	for (unsigned allowed = 0; !is_made; allowed++) {
		struct etcd_answer answer;
		heap_fails_once_after(allowed);
		int error = etcd_answer_read(&answer, 200, ANSWER, strlen(ANSWER));
		is_made = heap_refused() == 0;
		heap_works();
		assert_int_equal(error, is_made ? ETCD_OK : ETCD_NO_MEMORY);
		if (is_made)
			assert_string_equal(answer.token, "secret.1");
		etcd_answer_clear(&answer);
	}
}

static struct etcd_curl curl;

static struct etcd_client *client_create(uv_loop_t *loop, const char *user)
{
	static const struct etcd_client_listener listener = { 0 };
	const struct etcd_client_config config = {
		.curl = &curl,
		.urls = { "https://etcd-1:2379", "https://etcd-2:2379" },
		.url_count = 2,
		.prefix = "/w/",
		.tls = { "/ca", "/certificate", "/key" },
		.user = user,
		.password = user == NULL ? NULL : "secret",
	};
	return etcd_client_create(loop, &config, &listener);
}

static void a_client_is_whole_or_none(void **state)
{
	uv_loop_t *loop = *state;
	bool is_made = false;
	for (unsigned allowed = 0; !is_made; allowed++) {
		heap_fails_once_after(allowed);
		struct etcd_client *client = client_create(loop, "warren");
		is_made = heap_refused() == 0;
		heap_works();
		assert_true((client != NULL) == is_made);
		etcd_client_free(client);
		uv_run(loop, UV_RUN_DEFAULT);
	}
}

static void a_runner_is_whole_or_none(void **state)
{
	static const struct etcd_runner_listener listener = { 0 };
	const struct etcd_client_config etcd = { .curl = &curl, .urls = { "https://etcd-1:2379" }, .url_count = 1, .prefix = "/w/" };
	const struct fleet_node_config node = { .name = "a", .boot = "b", .address = "https://192.0.2.1:8443", .rule = FLEET_RULE_DEFAULT };
	uv_loop_t *loop = *state;
	bool is_made = false;
	for (unsigned allowed = 0; !is_made; allowed++) {
		heap_fails_once_after(allowed);
		struct etcd_runner *runner = etcd_runner_create(loop, &node, &etcd, &listener);
		is_made = heap_refused() == 0;
		heap_works();
		assert_true((runner != NULL) == is_made);
		etcd_runner_free(runner);
		uv_run(loop, UV_RUN_DEFAULT);
	}
}

/* The loop does not run in between, so that nothing is sent. */
static void check_asked(uv_loop_t *loop, const char *user, enum fleet_request_kind kind)
{
	const struct fleet_request request = { .kind = kind, .txn = &txn };
	struct etcd_client *client = client_create(loop, user);
	bool is_made = false;
	for (unsigned allowed = 0; !is_made; allowed++) {
		heap_fails_once_after(allowed);
		bool is_asked = etcd_client_ask(client, &request);
		is_made = heap_refused() == 0;
		heap_works();
		assert_true(is_asked == is_made);
	}
	etcd_client_free(client);
	uv_run(loop, UV_RUN_DEFAULT);
}

static void a_request_is_asked_or_not(void **state)
{
	for (int kind = 0; kind < FLEET_REQUEST_KINDS; kind++) {
		check_asked(*state, NULL, (enum fleet_request_kind)kind);
		check_asked(*state, "warren", (enum fleet_request_kind)kind);
	}
}

static int open_loop(void **state)
{
	static uv_loop_t loop;
	*state = &loop;
	return uv_loop_init(&loop);
}

/* Fails when a handle was left behind. */
static int close_loop(void **state)
{
	return uv_loop_close(*state);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_is_whole_or_none),
		cmocka_unit_test(an_answer_is_whole_or_an_error),
		cmocka_unit_test_setup_teardown(a_client_is_whole_or_none, open_loop, close_loop),
		cmocka_unit_test_setup_teardown(a_runner_is_whole_or_none, open_loop, close_loop),
		cmocka_unit_test_setup_teardown(a_request_is_asked_or_not, open_loop, close_loop),
	};
	char failure[512];
	json_reader_start();
	if (!etcd_curl_load(&curl, failure))
		fail_msg("%s", failure);
	fleet_txn_clear(&txn);
	fleet_txn_compare(&txn, "p/a", FLEET_MOD_REVISION, 7);
	fleet_txn_put(&txn, "p/a", "v", 77);
	txn.read = "p/a";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
