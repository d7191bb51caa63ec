/* One peer of a tunnel: put, patched and deleted, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/key.h"
#include "service/change/delta_peer.h"
#include "tests/failing_heap.h"
#include "tests/service/quoted_json.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define OWN "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=" /* of KEY */
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define OTHER "/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak="

static struct spec spec;
static struct problem problem;

static int set_up(void **state)
{
	(void)state;
	spec_init(&spec);
	problem_init(&problem);
	assert_true(key_parse(KEY, &spec.private_key));
	return sodium_init() < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	problem_clear(&problem);
	spec_clear(&spec);
	return 0;
}

static enum problem_code apply(enum operation_kind kind, const char *peer, const char *json)
{
	struct operation operation = { .kind = kind, .document = json == NULL ? NULL : quoted_json(json) };
	assert_true(key_parse(peer, &operation.peer));
	problem_clear(&problem);
	delta_peer_apply(&spec, &operation, &problem);
	json_decref(operation.document);
	return problem.code;
}

static const struct spec_peer *find(const char *text)
{
	struct wireguard_key key;
	assert_true(key_parse(text, &key));
	return spec_peer_find(&spec, &key);
}

static void a_peer_is_made_changed_and_deleted(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_PEER_PUT, PEER, "{'allowed_ips':['10.0.0.0/8'],'preshared_key':'" OTHER "'}"), PROBLEM_NONE);
	assert_int_equal(apply(OPERATION_PEER_PUT, OTHER, "{'public_key':'" OTHER "'}"), PROBLEM_NONE);
	assert_int_equal(spec.peer_count, 2);
	assert_int_equal(find(PEER)->allowed_ip_count, 1);
	/* What a patch does not say stays, and so does a secret in a put. */
	assert_int_equal(apply(OPERATION_PEER_PATCH, PEER, "{'persistent_keepalive':25}"), PROBLEM_NONE);
	assert_int_equal(find(PEER)->persistent_keepalive, 25);
	assert_int_equal(find(PEER)->allowed_ip_count, 1);
	assert_true(find(PEER)->has_preshared_key);
	assert_int_equal(apply(OPERATION_PEER_PUT, PEER, "{}"), PROBLEM_NONE);
	assert_int_equal(find(PEER)->allowed_ip_count, 0);
	assert_int_equal(find(PEER)->persistent_keepalive, 0);
	assert_true(find(PEER)->has_preshared_key);
	assert_int_equal(apply(OPERATION_PEER_PATCH, PEER, "{'preshared_key':null}"), PROBLEM_NONE);
	assert_false(find(PEER)->has_preshared_key);
	assert_int_equal(spec.peer_count, 2);
	/* The first goes, and the other is still found. */
	assert_int_equal(apply(OPERATION_PEER_DELETE, PEER, NULL), PROBLEM_NONE);
	assert_int_equal(spec.peer_count, 1);
	assert_null(find(PEER));
	assert_non_null(find(OTHER));
	assert_int_equal(apply(OPERATION_PEER_DELETE, OTHER, NULL), PROBLEM_NONE);
	assert_int_equal(spec.peer_count, 0);
}

static void a_peer_that_is_not_there_is_not_found(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_PEER_PATCH, PEER, "{}"), PROBLEM_NOT_FOUND);
	assert_int_equal(apply(OPERATION_PEER_DELETE, PEER, NULL), PROBLEM_NOT_FOUND);
	assert_int_equal(spec.peer_count, 0);
}

static void what_is_wrong_is_refused_and_changes_nothing(void **state)
{
	static const struct {
		enum operation_kind kind;
		const char *peer, *json, *pointer, *code;
	} cases[] = {
		{ OPERATION_PEER_PUT, PEER, "[]", "", "wrong_type" },
		{ OPERATION_PEER_PATCH, PEER, "7", "", "wrong_type" },
		{ OPERATION_PEER_PUT, OTHER, "{'public_key':'" PEER "'}", "/public_key", "mismatch" },
		{ OPERATION_PEER_PATCH, PEER, "{'public_key':'" OTHER "'}", "/public_key", "mismatch" },
		{ OPERATION_PEER_PUT, OWN, "{}", "/public_key", "own_key" },
		{ OPERATION_PEER_PUT, PEER, "{'allowed_ips':['10.0.0.0/33']}", "/allowed_ips/0", NULL },
		{ OPERATION_PEER_PATCH, PEER, "{'nonsense':1}", "/nonsense", "unknown_member" },
	};
	(void)state;
	assert_int_equal(apply(OPERATION_PEER_PUT, PEER, "{'allowed_ips':['10.0.0.0/8']}"), PROBLEM_NONE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (apply(cases[i].kind, cases[i].peer, cases[i].json) != PROBLEM_VALIDATION_FAILED || problem.fault_count != 1)
			fail_msg("case %zu: %u %zu", i, problem.code, problem.fault_count);
		assert_string_equal(problem.faults[0].pointer, cases[i].pointer);
		if (cases[i].code != NULL)
			assert_string_equal(problem.faults[0].code, cases[i].code);
		assert_int_equal(spec.peer_count, 1);
		assert_int_equal(find(PEER)->allowed_ip_count, 1);
	}
}

static void reserved_bytes_need_plain_datagrams(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_PEER_PUT, PEER, "{'reserved':[1,2,3]}"), PROBLEM_NONE);
	spec.obfuscation = calloc(1, sizeof(*spec.obfuscation)); /* LWO, which has no parameters */
	assert_int_equal(apply(OPERATION_PEER_PUT, OTHER, "{'reserved':[1,2,3]}"), PROBLEM_VALIDATION_FAILED);
	assert_string_equal(problem.faults[0].pointer, "/reserved");
	assert_string_equal(problem.faults[0].code, "conflict");
}

static void a_peer_too_many_is_refused_and_known_ones_still_change(void **state)
{
	char text[KEY_TEXT_SIZE];
	(void)state;
	spec.peers = calloc(SPEC_PEER_MAX, sizeof(*spec.peers));
	spec.peer_count = SPEC_PEER_MAX;
	for (unsigned i = 0; i < SPEC_PEER_MAX; i++)
		memcpy(spec.peers[i].public_key.bytes, &(unsigned){ i + 1 }, sizeof(i));
	assert_true(spec_index_peers(&spec));
	assert_int_equal(apply(OPERATION_PEER_PUT, PEER, "{}"), PROBLEM_VALIDATION_FAILED);
	assert_string_equal(problem.faults[0].code, "too_many");
	key_format(&spec.peers[7].public_key, text);
	assert_int_equal(apply(OPERATION_PEER_PUT, text, "{'persistent_keepalive':5}"), PROBLEM_NONE);
	assert_int_equal(find(text)->persistent_keepalive, 5);
}

/* Whole, or as it was. */
static void memory_that_is_out_leaves_no_half_peer(void **state)
{
	(void)state;
	assert_int_equal(apply(OPERATION_PEER_PUT, PEER, "{'allowed_ips':['10.0.0.0/8'],'endpoint':'a.example:1'}"), PROBLEM_NONE);
	for (int patches = 0; patches < 2; patches++) {
		bool is_done = false;
		for (unsigned allowed = 0; !is_done; allowed++) {
			struct operation operation = { .kind = patches ? OPERATION_PEER_PATCH : OPERATION_PEER_PUT };
			operation.document = quoted_json("{'allowed_ips':['10.1.0.0/16','10.2.0.0/16'],'endpoint':'b.example:2'}");
			assert_true(key_parse(patches ? PEER : OTHER, &operation.peer));
			problem_clear(&problem);
			heap_fails_once_after(allowed);
			delta_peer_apply(&spec, &operation, &problem);
			heap_works();
			is_done = heap_refused() == 0;
			json_decref(operation.document);
			const struct spec_peer *peer = find(patches ? PEER : OTHER);
			if (problem.code == PROBLEM_NONE) {
				assert_int_equal(peer->allowed_ip_count, 2);
				is_done = true;
			} else {
				assert_int_equal(problem.code, PROBLEM_OUT_OF_RESOURCES);
			}
		}
		assert_int_equal(problem.code, PROBLEM_NONE);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_peer_is_made_changed_and_deleted),
		TEST(a_peer_that_is_not_there_is_not_found),
		TEST(what_is_wrong_is_refused_and_changes_nothing),
		TEST(reserved_bytes_need_plain_datagrams),
		TEST(a_peer_too_many_is_refused_and_known_ones_still_change),
		TEST(memory_that_is_out_leaves_no_half_peer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
