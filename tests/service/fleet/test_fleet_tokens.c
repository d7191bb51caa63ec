/* The fleet's tokens: written sealed, read by every node, and nobody's who can write to etcd. etcd is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/fleet/token_record.h"
#include "service/fleet/token_writer.h"
#include "service/spec/json_reader.h"
#include "service/store/scope.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/fleet/fake_store.h"

static struct fleet_keyring ring = { .count = 1 };
static struct fleet_node *node;
static struct token_keeper *keeper;
static struct token_writer *writer;
static unsigned answered;

static void on_looked(void *owner)
{
	(void)owner;
	token_writer_look(writer);
}

static int set_up(void **state)
{
	const struct fleet_node_config config = { .name = "me", .boot = "b", .address = "", .capacity = 10, .rule = FLEET_RULE_DEFAULT };
	bench_mutations_set_up(state);
	fake_store_reset();
	fake_store.revision = 100;
	node = fleet_node_create(&config, 0);
	const struct token_keeper_means keeping = {
		.loop = &bench.loop, .ring = &ring, .node = node, .tokens = changes.means.tokens, .disk = changes.store, .looked = on_looked
	};
	keeper = token_keeper_create(&keeping);
	const struct token_writer_means means = { .loop = &bench.loop, .ring = &ring, .tokens = changes.means.tokens, .keeper = keeper };
	writer = token_writer_create(&means);
	answered = 0;
	return keeper == NULL || writer == NULL;
}

static int tear_down(void **state)
{
	token_writer_free(writer);
	token_keeper_free(keeper);
	fleet_node_free(node);
	fake_store_reset();
	return bench_mutations_tear_down(state);
}

static void settle(void)
{
	for (int i = 0; i < 10; i++) {
		uv_run(&bench.loop, UV_RUN_NOWAIT);
		fake_store_answer();
	}
	bench_mutations_until_stored();
}

static void on_answered(struct mutation *mutation, void *owner)
{
	(void)mutation, (void)owner;
	answered++;
}

static struct mutation *begin(struct mutation *mutation)
{
	answered = 0;
	mutation->done = on_answered;
	assert_true(token_writer_takes(mutation));
	token_writer_begin(writer, mutation);
	return mutation;
}

static struct mutation *wanted(const char *name)
{
	struct mutation *mutation = mutation_create(MUTATION_TOKEN_CREATE, 0);
	mutation->token_name = strdup(name);
	mutation->token_scopes = SCOPE_READ;
	mutation->token_expires_at = 5000;
	return mutation;
}

static struct mutation *make(const char *name)
{
	struct mutation *mutation = begin(wanted(name));
	settle();
	assert_int_equal(answered, 1);
	return mutation;
}

static struct mutation *revocation(const char *id)
{
	struct mutation *mutation = mutation_create(MUTATION_TOKEN_DELETE, 0);
	snprintf(mutation->token_id, sizeof(mutation->token_id), "%s", id);
	return mutation;
}

static enum problem_code revoke_token(const char *id)
{
	struct mutation *mutation = begin(revocation(id));
	settle();
	assert_int_equal(answered, 1);
	enum problem_code code = mutation->problem.code;
	mutation_free(mutation);
	return code;
}

static const char *member(const struct mutation *mutation, const char *name)
{
	return json_string_value(json_object_get(mutation->token, name));
}

static bool opens(const char *token)
{
	struct token_bearer bearer;
	if (!token_table_find(changes.means.tokens, token, 1000, &bearer))
		return false;
	access_release(bearer.access);
	return true;
}

static const struct fake_record *record(const char *id)
{
	char key[FLEET_KEY_TEXT];
	assert_true(token_record_key(id, key));
	return fake_store_find(key);
}

/* What a watch would tell. */
static void tell(void)
{
	const struct fleet_kv kv = { .key = "p/tokens", .value = "{}", .length = 2, .revision = ++fake_store.revision };
	assert_int_equal(fleet_view_apply((struct fleet_view *)(uintptr_t)fleet_node_view(node), &kv, 0), FLEET_VIEW_OK);
	token_keeper_look(keeper);
	settle();
}

static size_t listed(void)
{
	json_t *list = token_table_list(changes.means.tokens);
	size_t count = json_array_size(list);
	json_decref(list);
	return count;
}

/* ---- Tests ---- */

static void one_is_good_when_it_is_answered_and_no_more_when_it_is_revoked(void **state)
{
	(void)state;
	struct mutation *made = make("ci");
	assert_int_equal(made->problem.code, PROBLEM_NONE);
	assert_int_equal(member(made, "id")[0], TOKEN_OF_FLEET);
	assert_string_equal(member(made, "origin"), "fleet");
	assert_true(opens(member(made, "token")));
	assert_non_null(record(member(made, "id")));
	assert_true(fake_store_find("p/tokens")->revision == record(member(made, "id"))->revision);
	uint64_t revocations = token_table_revocations(changes.means.tokens);
	assert_int_equal(revoke_token(member(made, "id")), PROBLEM_NONE);
	assert_false(opens(member(made, "token")));
	assert_true(token_table_revocations(changes.means.tokens) > revocations);
	assert_null(record(member(made, "id")));
	assert_int_equal(revoke_token(member(made, "id")), PROBLEM_NOT_FOUND);
	assert_int_equal(revoke_token("f/../x"), PROBLEM_NOT_FOUND);
	mutation_free(made);
}

static void a_daemon_s_own_are_none_of_the_fleet(void **state)
{
	struct mutation *own = revocation("tAbC");
	(void)state;
	assert_false(token_writer_takes(own));
	mutation_free(own);
	own = mutation_create(MUTATION_LOOK_UP, 0);
	assert_false(token_writer_takes(own));
	mutation_free(own);
}

static void what_another_node_has_written_is_read_when_it_is_told(void **state)
{
	struct database_token token = { .id = "fX", .scopes = SCOPE_WRITE, .expires_at = 5000 };
	char text[FLEET_SEALED_TEXT];
	(void)state;
	token.name = strdup("other");
	token.labels = strdup("{\"team\":\"red\"}");
	crypto_generichash(token.hash, 32, (const uint8_t *)"secret", 6, NULL, 0);
	assert_int_equal(token_record_write(text, &ring, &token, fake_store.revision + 1), TOKEN_RECORD_OK);
	fake_store_put("k/fX", text);
	assert_false(opens("secret"));
	token_keeper_look(keeper); /* the first time */
	settle();
	assert_true(opens("secret"));
	assert_int_equal(listed(), 1);
	unsigned asked = fake_store.asked;
	token_keeper_look(keeper);
	settle();
	assert_int_equal(fake_store.asked, asked); /* nothing is told */
	fake_store_delete("k/fX");
	tell();
	assert_false(opens("secret"));
	/* It is put back as it was: its key has another number. */
	fake_store_put("k/fX", text);
	tell();
	assert_false(opens("secret"));
	assert_int_equal(listed(), 0);
	database_token_clear(&token);
}

static void a_record_is_good_for_its_key_alone(void **state)
{
	struct database_token token, written = { .id = "fX", .scopes = SCOPE_READ, .name = (char[]){ "n" }, .labels = (char[]){ "{}" } };
	struct fleet_keyring other = { .count = 1, .keys[0].id = { 9 } };
	char text[FLEET_SEALED_TEXT];
	(void)state;
	assert_int_equal(token_record_write(text, &ring, &written, 7), TOKEN_RECORD_OK);
	struct fleet_kv kv = { .key = "k/fX", .value = text, .length = strlen(text), .revision = 9, .created = 7 };
	assert_int_equal(token_record_read(&token, &ring, &kv), TOKEN_RECORD_OK);
	assert_string_equal(token.id, "fX");
	assert_string_equal(token.labels, "{}");
	database_token_clear(&token);
	assert_int_equal(token_record_read(&token, &other, &kv), TOKEN_RECORD_SEALED);
	kv.created = 8;
	assert_int_equal(token_record_read(&token, &ring, &kv), TOKEN_RECORD_FORGED);
	kv.created = 7;
	kv.key = "k/fY";
	assert_int_equal(token_record_read(&token, &ring, &kv), TOKEN_RECORD_FORGED);
	kv.key = "k/tX"; /* it would be taken for a token of the node's own */
	assert_int_equal(token_record_read(&token, &ring, &kv), TOKEN_RECORD_FORGED);
	kv.key = "k/f.x";
	assert_int_equal(token_record_read(&token, &ring, &kv), TOKEN_RECORD_FORGED);
	kv = (struct fleet_kv){ .key = "k/fX", .value = "", .created = 7 };
	assert_int_equal(token_record_read(&token, &ring, &kv), TOKEN_RECORD_FORGED);
	kv = (struct fleet_kv){ .key = "k/fX", .value = TOKEN_RECORD_RESERVED, .length = strlen(TOKEN_RECORD_RESERVED), .created = 7 };
	assert_int_equal(token_record_read(&token, &ring, &kv), TOKEN_RECORD_RESERVATION);
	assert_int_equal(token_record_write(text, &(struct fleet_keyring){ .count = 0 }, &written, 7), TOKEN_RECORD_SEALED);
}

static void what_is_sealed_and_no_token_is_invalid(void **state)
{
	static const char *const texts[] = {
		"",
		"7",
		"{}",
		"{\"name\":7,\"labels\":{},\"scopes\":[\"read\"],\"hash\":\"\"}",
		"{\"name\":\"n\",\"labels\":[],\"scopes\":[\"read\"],\"hash\":\"\"}",
		"{\"name\":\"n\",\"labels\":{},\"scopes\":[\"read\"],\"hash\":\"AA==\"}",
		"{\"name\":\"n\",\"labels\":{},\"scopes\":[\"all\"],\"hash\":\"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\"}",
		"{\"name\":\"n\",\"labels\":{},\"scopes\":[7],\"hash\":\"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\"}",
		"{\"name\":\"n\",\"labels\":{},\"scopes\":[],\"hash\":\"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\"}"
	};
	const struct fleet_seal_place place = { .object = "fX", .member = "token", .version = 7 };
	struct database_token token;
	char text[FLEET_SEALED_TEXT];
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(fleet_seal(&ring, &place, texts[i], strlen(texts[i]), text), FLEET_SEAL_OK);
		const struct fleet_kv kv = { .key = "k/fX", .value = text, .length = strlen(text), .created = 7 };
		assert_int_equal(token_record_read(&token, &ring, &kv), TOKEN_RECORD_INVALID);
		assert_null(token.name);
	}
	for (int error = TOKEN_RECORD_NO_MEMORY; error <= TOKEN_RECORD_OK; error++)
		assert_int_equal(token_record_explain((enum token_record_error)error)[0] == '\0', error >= TOKEN_RECORD_RESERVATION);
}

static void one_that_is_too_large_is_refused(void **state)
{
	static char value[201];
	struct spec_label labels[20];
	char keys[20][4];
	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	for (int i = 0; i < 20; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%02d", i);
		labels[i] = (struct spec_label){ keys[i], value };
	}
	struct mutation *mutation = wanted("large");
	access_release(mutation->token_access);
	mutation->token_access = access_create(labels, 20);
	begin(mutation);
	assert_int_equal(answered, 1);
	assert_int_equal(mutation->problem.code, PROBLEM_VALIDATION_FAILED);
	assert_string_equal(mutation->problem.faults[0].pointer, "/labels");
	mutation_free(mutation);
}

static void what_etcd_does_not_answer_is_told(void **state)
{
	(void)state;
	for (int step = 0; step < 2; step++) {
		struct mutation *mutation = begin(wanted("ci"));
		if (step == 1)
			fake_store_answer();
		fake_store_fail(ETCD_TIMED_OUT, false);
		assert_int_equal(answered, 1);
		assert_int_equal(mutation->problem.code, PROBLEM_FLEET_UNAVAILABLE);
		assert_non_null(strstr(mutation->problem.detail, step == 0 ? "nothing was changed" : "may have been made"));
		mutation_free(mutation);
	}
	struct mutation *made = make("ci");
	for (int step = 0; step < 3; step++) {
		struct mutation *mutation = begin(revocation(member(made, "id")));
		if (step > 0)
			fake_store_answer();
		fake_store_fail(step == 2 ? ETCD_NO_SPACE : ETCD_TIMED_OUT, false);
		assert_int_equal(answered, 1);
		assert_int_equal(mutation->problem.code, PROBLEM_FLEET_UNAVAILABLE);
		assert_non_null(strstr(mutation->problem.detail, step == 1 ? "may have been revoked" : "nothing was changed"));
		mutation_free(mutation);
	}
	assert_true(opens(member(made, "token")));
	mutation_free(made);
}

static void two_writers_of_one_record_are_one_too_many(void **state)
{
	(void)state;
	struct mutation *made = make("ci"), *mutation = begin(revocation(member(made, "id")));
	char key[FLEET_KEY_TEXT];
	assert_true(token_record_key(member(made, "id"), key));
	fake_store_answer();
	fake_store_put(key, "x");
	settle();
	assert_int_equal(mutation->problem.code, PROBLEM_FLEET_UNAVAILABLE);
	mutation_free(mutation);
	mutation_free(made);
}

/* etcd has it: the answer does not wait for ever for this node to read it. */
static void an_answer_does_not_wait_for_a_reading_that_fails(void **state)
{
	(void)state;
	struct mutation *mutation = begin(wanted("ci"));
	fake_store_answer();
	fake_store_answer();
	for (int i = 0; i < 20000 && answered == 0; i++) {
		fake_store_fail(ETCD_UNREACHABLE, false);
		uv_run(&bench.loop, UV_RUN_NOWAIT);
		if (answered == 0)
			uv_sleep(1);
	}
	assert_int_equal(answered, 1);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	assert_false(opens(member(mutation, "token")));
	/* And it is read as soon as it can be. */
	for (int i = 0; i < 20000 && !opens(member(mutation, "token")); i++) {
		settle();
		uv_sleep(1);
	}
	assert_true(opens(member(mutation, "token")));
	mutation_free(mutation);
}

static void a_stop_answers_what_is_known(void **state)
{
	(void)state;
	struct mutation *first = begin(wanted("first")), *second;
	fake_store_answer();
	fake_store_answer(); /* written, and not read yet */
	second = wanted("second");
	second->done = on_answered;
	token_writer_begin(writer, second);
	token_writer_end(writer);
	assert_int_equal(answered, 2);
	assert_int_equal(first->problem.code, PROBLEM_NONE);
	assert_int_equal(second->problem.code, PROBLEM_FLEET_UNAVAILABLE);
	mutation_free(first);
	mutation_free(second);
}

/* Whichever allocation fails: a token is good when it was answered, or nobody knows it. */
static void memory_that_is_out_is_told(void **state)
{
	bool is_over = false;
	unsigned failures = 0;
	(void)state;
	for (unsigned allowed = 0; !is_over; allowed++) {
		struct mutation *mutation = wanted("ci");
		heap_fails_once_after(allowed);
		begin(mutation);
		while (fake_store_answer() > 0)
			continue;
		is_over = heap_refused() == 0;
		heap_works();
		token_keeper_read(keeper); /* sooner than it would itself */
		settle();
		assert_int_equal(answered, 1);
		enum problem_code code = mutation->problem.code;
		assert_true(code == PROBLEM_NONE || code == PROBLEM_OUT_OF_RESOURCES || code == PROBLEM_FLEET_UNAVAILABLE);
		failures += code != PROBLEM_NONE;
		if (code == PROBLEM_NONE && is_over)
			assert_true(opens(member(mutation, "token")));
		mutation_free(mutation);
		int64_t revision = fake_store.revision;
		fake_store_reset();
		fake_store.revision = revision;
		token_keeper_read(keeper);
		settle();
		assert_int_equal(listed(), 0);
	}
	assert_true(failures > 5);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	json_reader_start();
	log_start(LOG_ERROR + 1, false, "control");
	memset(&ring.keys[0], 5, sizeof(ring.keys[0]));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_is_good_when_it_is_answered_and_no_more_when_it_is_revoked, set_up, tear_down),
		cmocka_unit_test(a_daemon_s_own_are_none_of_the_fleet),
		cmocka_unit_test_setup_teardown(what_another_node_has_written_is_read_when_it_is_told, set_up, tear_down),
		cmocka_unit_test(a_record_is_good_for_its_key_alone),
		cmocka_unit_test(what_is_sealed_and_no_token_is_invalid),
		cmocka_unit_test_setup_teardown(one_that_is_too_large_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_etcd_does_not_answer_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(two_writers_of_one_record_are_one_too_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answer_does_not_wait_for_a_reading_that_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stop_answers_what_is_known, set_up, tear_down),
		cmocka_unit_test_setup_teardown(memory_that_is_out_is_told, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
