/* The effects of a change: secrets, merge patches, peers, preconditions, batches, whole states, dry runs, sockets that move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/key.h"
#include "tests/descriptors.h"
#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define PSK "/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak="

static enum applied applied(enum operation_kind kind, const char *id, const char *json)
{
	struct mutation *mutation = bench_edit(&own_bench, kind, id, json);
	if (mutation->operations[0].problem.code != PROBLEM_NONE)
		fail_msg("%s: %s", mutation->operations[0].problem.detail,
		         mutation->operations[0].problem.fault_count ? mutation->operations[0].problem.faults[0].pointer : "");
	enum applied result = mutation->operations[0].applied;
	mutation_free(mutation);
	return result;
}

static void assert_fault(enum operation_kind kind, const char *id, const char *json, const char *pointer, const char *code)
{
	struct mutation *mutation = bench_edit(&own_bench, kind, id, json);
	const struct problem *problem = &mutation->operations[0].problem;
	assert_int_equal(problem->code, PROBLEM_VALIDATION_FAILED);
	for (size_t i = 0; i < problem->fault_count; i++) {
		if (strcmp(problem->faults[i].pointer, pointer) == 0 && strcmp(problem->faults[i].code, code) == 0) {
			mutation_free(mutation);
			return;
		}
	}
	for (size_t i = 0; i < problem->fault_count; i++)
		print_message("%s %s: %s\n", problem->faults[i].pointer, problem->faults[i].code, problem->faults[i].detail);
	fail_msg("no fault %s at %s", code, pointer);
}

static void secrets_that_are_left_out_stay(void **state)
{
	(void)state;
	assert_int_equal(applied(OPERATION_CREATE, "a",
	                         "{'spec':{'interface':{'private_key':'" KEY "','addresses':['10.0.0.2']},"
	                         "'peers':[{'public_key':'" PEER "','preshared_key':'" PSK "'}],"
	                         "'proxy':{'users':[{'username':'u','password':'p'}]}}}"),
	                 APPLIED_CREATED);
	struct snapshot *before = bench_find(&own_bench, "a");
	assert_null(strstr(before->spec_json, KEY));
	assert_null(strstr(before->spec_json, PSK));
	assert_non_null(strstr(before->spec_json, "\"password_set\":true"));
	/* GET, operation, PUT. */
	json_t *document = json_pack("{s:s, s:o, s:o, s:{}, s:s}", "id", "a", "labels", json_pack("{s:s}", "x", "y"), "spec",
	                             json_loads(before->spec_json, 0, NULL), "status", "etag", "\"1\"");
	char *text = json_dumps(document, 0);
	assert_int_equal(applied(OPERATION_PUT, "a", text), APPLIED_IN_PLACE);
	free(text);
	json_decref(document);
	struct snapshot *after = bench_find(&own_bench, "a");
	assert_memory_equal(&after->spec.private_key, &before->spec.private_key, 32);
	assert_true(after->spec.peers[0].has_preshared_key);
	assert_string_equal(after->spec.users[0].password, "p");
	assert_true(spec_equal(&after->spec, &before->spec));
	snapshot_release(before);
	snapshot_release(after);
	/* A list in a patch replaces the list; an element matched by its key keeps its secret, and null removes it. */
	assert_int_equal(applied(OPERATION_PATCH, "a", "{'spec':{'peers':[{'public_key':'" PEER "','persistent_keepalive':9}]}}"), APPLIED_IN_PLACE);
	after = bench_find(&own_bench, "a");
	assert_true(after->spec.peers[0].has_preshared_key);
	snapshot_release(after);
	assert_int_equal(applied(OPERATION_PATCH, "a", "{'spec':{'peers':[{'public_key':'" PEER "','preshared_key':null}]}}"), APPLIED_IN_PLACE);
	after = bench_find(&own_bench, "a");
	assert_false(after->spec.peers[0].has_preshared_key);
	snapshot_release(after);
	assert_fault(OPERATION_PATCH, "a", "{'spec':{'interface':{'private_key':null}}}", "/spec/interface/private_key", "required");
	assert_fault(OPERATION_PATCH, "a", "{'spec':{'proxy':{'users':[{'username':'u','password':null}]}}}", "/spec/proxy/users/0/password",
	             "required");
	assert_fault(OPERATION_PATCH, "a", "{'spec':{'proxy':{'users':[{'username':'new'}]}}}", "/spec/proxy/users/0/password", "required");
}

static void a_key_is_generated_when_there_is_none(void **state)
{
	static const char document[] = "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.0.0.2']}}}";
	(void)state;
	assert_int_equal(applied(OPERATION_PUT, "a", document), APPLIED_CREATED);
	struct snapshot *first = bench_find(&own_bench, "a");
	assert_true(first->spec.has_private_key);
	assert_int_equal(applied(OPERATION_PUT, "a", document), APPLIED_UNCHANGED);
	struct snapshot *second = bench_find(&own_bench, "a");
	assert_int_equal(first->revision, second->revision);
	assert_memory_equal(&first->public_key, &second->public_key, 32);
	assert_int_equal(applied(OPERATION_PATCH, "a", "{'spec':{'interface':{'private_key':null,'generate_private_key':true}}}"), APPLIED_IN_PLACE);
	struct snapshot *third = bench_find(&own_bench, "a");
	assert_memory_not_equal(&first->public_key, &third->public_key, 32);
	snapshot_release(first);
	snapshot_release(second);
	snapshot_release(third);
}

static void a_merge_patch_is_one(void **state)
{
	(void)state;
	assert_int_equal(applied(OPERATION_CREATE, "a", bench_document(NULL)), APPLIED_CREATED);
	assert_int_equal(applied(OPERATION_PATCH, "a", "{'labels':{'x':'1','y':'2'},'spec':{'limits':{'connections':5}}}"), APPLIED_IN_PLACE);
	assert_int_equal(applied(OPERATION_PATCH, "a", "{'labels':{'x':null,'z':'3'}}"), APPLIED_IN_PLACE);
	struct snapshot *snapshot = bench_find(&own_bench, "a");
	assert_string_equal(snapshot->labels_json, "{\"y\":\"2\",\"z\":\"3\"}");
	assert_int_equal(snapshot->spec.limits.connections, 5);
	snapshot_release(snapshot);
	assert_int_equal(applied(OPERATION_PATCH, "a", "{'spec':{'limits':null}}"), APPLIED_IN_PLACE);
	snapshot = bench_find(&own_bench, "a");
	assert_int_equal(snapshot->spec.limits.connections, 1024);
	snapshot_release(snapshot);
	assert_int_equal(applied(OPERATION_PATCH, "a", "{}"), APPLIED_UNCHANGED);
	assert_int_equal(applied(OPERATION_PATCH, "a", "{'spec':{'interface':{'addresses':['10.9.9.9']}}}"), APPLIED_IN_PLACE);
	assert_fault(OPERATION_PATCH, "a", "{'spec':{'interface':{'mtuu':3}}}", "/spec/interface/mtuu", "unknown_member");
	assert_fault(OPERATION_PATCH, "a", "{'id':'b'}", "/id", "mismatch");
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "b", "{}"), PROBLEM_NOT_FOUND);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "a", "[1]"), PROBLEM_VALIDATION_FAILED);
}

static struct mutation *peer_edit(enum operation_kind kind, const char *key, const char *json)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	mutation->scope = SCOPE_ADMIN;
	mutation->operations[0].kind = kind;
	strcpy(mutation->operations[0].id, "a");
	assert_true(key_parse(key, &mutation->operations[0].peer));
	mutation->operations[0].document = json == NULL ? NULL : quoted_json(json);
	return mutation;
}

static enum problem_code peer_code(enum operation_kind kind, const char *key, const char *json, enum applied *how)
{
	struct mutation *mutation = peer_edit(kind, key, json);
	bench_do(&own_bench, mutation);
	enum problem_code code = mutation->operations[0].problem.code;
	*how = mutation->operations[0].applied;
	mutation_free(mutation);
	return code;
}

static void peers_one_by_one(void **state)
{
	(void)state;
	enum applied how;
	char other[64];
	snprintf(other, sizeof(other), "%s", bench_key(1));
	assert_int_equal(applied(OPERATION_CREATE, "a", bench_document(NULL)), APPLIED_CREATED);
	assert_int_equal(peer_code(OPERATION_PEER_PUT, other, "{'endpoint':'[2001:DB8::1]:7'}", &how), PROBLEM_NONE);
	assert_int_equal(how, APPLIED_CREATED);
	assert_int_equal(peer_code(OPERATION_PEER_PUT, other, "{'endpoint':'[2001:db8::1]:7'}", &how), PROBLEM_NONE);
	assert_int_equal(how, APPLIED_UNCHANGED);
	assert_int_equal(peer_code(OPERATION_PEER_PATCH, other, "{'persistent_keepalive':5,'preshared_key':'" PSK "'}", &how), PROBLEM_NONE);
	assert_int_equal(how, APPLIED_IN_PLACE);
	assert_int_equal(peer_code(OPERATION_PEER_PUT, other, "{'persistent_keepalive':5}", &how), PROBLEM_NONE);
	struct snapshot *snapshot = bench_find(&own_bench, "a");
	assert_int_equal(snapshot->spec.peer_count, 2);
	assert_true(snapshot->spec.peers[1].has_preshared_key);
	assert_int_equal(snapshot->spec.peers[1].endpoint.kind, SPEC_PLACE_NONE);
	assert_int_equal(snapshot->spec.peers[1].persistent_keepalive, 5);
	assert_true(snapshot->spec.peers[0].has_preshared_key);
	snapshot_release(snapshot);
	assert_int_equal(peer_code(OPERATION_PEER_PUT, other, "{'public_key':'" PEER "'}", &how), PROBLEM_VALIDATION_FAILED);
	assert_int_equal(peer_code(OPERATION_PEER_PUT, other, "[]", &how), PROBLEM_VALIDATION_FAILED);
	assert_int_equal(peer_code(OPERATION_PEER_DELETE, other, NULL, &how), PROBLEM_NONE);
	assert_int_equal(peer_code(OPERATION_PEER_DELETE, other, NULL, &how), PROBLEM_NOT_FOUND);
	assert_int_equal(peer_code(OPERATION_PEER_PATCH, other, "{}", &how), PROBLEM_NOT_FOUND);
	snapshot = bench_find(&own_bench, "a");
	char own[64];
	key_format(&snapshot->public_key, own);
	snapshot_release(snapshot);
	assert_int_equal(peer_code(OPERATION_PEER_PUT, own, "{}", &how), PROBLEM_VALIDATION_FAILED);
}

static enum problem_code conditional(enum operation_kind kind, const char *id, const char *json, const char *if_match, const char *if_none_match)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	mutation->scope = SCOPE_ADMIN;
	mutation->operations[0].kind = kind;
	strcpy(mutation->operations[0].id, id);
	mutation->operations[0].document = json == NULL ? NULL : quoted_json(json);
	mutation->operations[0].if_match = if_match == NULL ? NULL : strdup(if_match);
	mutation->operations[0].if_none_match = if_none_match == NULL ? NULL : strdup(if_none_match);
	bench_do(&own_bench, mutation);
	enum problem_code code = mutation->operations[0].problem.code;
	mutation_free(mutation);
	return code;
}

static void preconditions_hold(void **state)
{
	char tag[32], list[64], weak[40];
	(void)state;
	assert_int_equal(conditional(OPERATION_PUT, "a", bench_document(NULL), "*", NULL), PROBLEM_PRECONDITION_FAILED);
	assert_int_equal(conditional(OPERATION_PUT, "a", bench_document(NULL), NULL, "*"), PROBLEM_NONE);
	assert_int_equal(conditional(OPERATION_PUT, "a", bench_document(NULL), NULL, "*"), PROBLEM_PRECONDITION_FAILED);
	struct snapshot *snapshot = bench_find(&own_bench, "a");
	snprintf(tag, sizeof(tag), "\"%llu\"", (unsigned long long)snapshot->revision);
	snprintf(list, sizeof(list), "\"7777\", %s", tag);
	snprintf(weak, sizeof(weak), "W/%s", tag);
	snapshot_release(snapshot);
	assert_int_equal(conditional(OPERATION_PATCH, "a", "{}", tag, NULL), PROBLEM_NONE);
	assert_int_equal(conditional(OPERATION_PATCH, "a", "{}", list, NULL), PROBLEM_NONE);
	assert_int_equal(conditional(OPERATION_PATCH, "a", "{}", "*", NULL), PROBLEM_NONE);
	assert_int_equal(conditional(OPERATION_PATCH, "a", "{}", weak, NULL), PROBLEM_PRECONDITION_FAILED);
	assert_int_equal(conditional(OPERATION_PATCH, "a", "{}", NULL, weak), PROBLEM_PRECONDITION_FAILED);
	assert_int_equal(conditional(OPERATION_PATCH, "a", "{'labels':{'a':'b'}}", tag, NULL), PROBLEM_NONE);
	assert_int_equal(conditional(OPERATION_PATCH, "a", "{'labels':{'a':'c'}}", tag, NULL), PROBLEM_PRECONDITION_FAILED);
	assert_int_equal(conditional(OPERATION_DELETE, "a", NULL, tag, NULL), PROBLEM_PRECONDITION_FAILED);
	assert_int_equal(conditional(OPERATION_DELETE, "b", NULL, tag, NULL), PROBLEM_NOT_FOUND);
	assert_int_equal(conditional(OPERATION_DELETE, "a", NULL, "*", NULL), PROBLEM_NONE);
}

/* The secret of one operation must not be needed to see the others. */
static struct mutation *batch_of(size_t count, bool atomic)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, count);
	mutation->scope = SCOPE_ADMIN;
	mutation->atomic = atomic;
	return mutation;
}

static void set_edit(struct mutation *mutation, size_t index, enum operation_kind kind, const char *id, const char *json)
{
	mutation->operations[index].kind = kind;
	strcpy(mutation->operations[index].id, id);
	mutation->operations[index].document = json == NULL ? NULL : quoted_json(json);
}

static void a_batch_in_order(void **state)
{
	(void)state;
	struct mutation *mutation = batch_of(5, false);
	set_edit(mutation, 0, OPERATION_CREATE, "a", bench_document(NULL));
	set_edit(mutation, 1, OPERATION_PATCH, "a", "{'labels':{'k':'v'}}");
	set_edit(mutation, 2, OPERATION_PATCH, "missing", "{}");
	set_edit(mutation, 3, OPERATION_RECONNECT, "a", NULL);
	set_edit(mutation, 4, OPERATION_PROBE, "a", "{'type':'ping','target':'10.2.0.1','count':3}");
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->operations[0].applied, APPLIED_CREATED);
	assert_int_equal(mutation->operations[1].applied, APPLIED_IN_PLACE);
	assert_int_equal(mutation->operations[2].problem.code, PROBLEM_NOT_FOUND);
	assert_int_equal(mutation->operations[3].problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->operations[4].problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->operations[4].probe.received, 3);
	mutation_free(mutation);
}

static void an_atomic_batch_is_all_or_nothing(void **state)
{
	(void)state;
	size_t descriptors = descriptors_count();
	struct mutation *mutation = batch_of(3, true);
	set_edit(mutation, 0, OPERATION_CREATE, "a", bench_document(NULL));
	set_edit(mutation, 1, OPERATION_CREATE, "bad-b", bench_document(NULL));
	set_edit(mutation, 2, OPERATION_CREATE, "c", bench_document(NULL));
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_VALIDATION_FAILED);
	assert_int_equal(mutation->failed_operation, 1);
	assert_int_equal(mutation->problem.fault_count, 1);
	mutation_free(mutation);
	assert_null(service_find(own_bench.service, access_whole(), "a"));
	assert_int_equal(descriptors_count(), descriptors);
	mutation = batch_of(3, true);
	set_edit(mutation, 0, OPERATION_CREATE, "a", bench_document(NULL));
	set_edit(mutation, 1, OPERATION_PATCH, "a", "{'labels':{'k':'v'}}");
	set_edit(mutation, 2, OPERATION_CREATE, "b", bench_document(NULL));
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	assert_string_equal(mutation->operations[1].snapshot->labels_json, "{\"k\":\"v\"}");
	assert_int_equal(mutation->operations[1].snapshot->generation, 1);
	mutation_free(mutation);
	mutation = batch_of(2, true);
	set_edit(mutation, 0, OPERATION_DELETE, "a", NULL);
	set_edit(mutation, 1, OPERATION_PATCH, "b", "{'spec':{'interface':{'mtu':3}}}");
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->failed_operation, 1);
	mutation_free(mutation);
	snapshot_release(bench_find(&own_bench, "a"));
}

static void a_listener_changes_hands_in_a_batch(void **state)
{
	char first[64], second[64], to_first[128], to_second[128];
	(void)state;
	unsigned one = bench_free_port(), two = bench_free_port();
	snprintf(first, sizeof(first), "127.0.0.1:%u", one);
	snprintf(second, sizeof(second), "127.0.0.1:%u", two);
	snprintf(to_first, sizeof(to_first), "{'spec':{'proxy':{'listen':['%s']}}}", first);
	snprintf(to_second, sizeof(to_second), "{'spec':{'proxy':{'listen':['%s']}}}", second);
	assert_int_equal(applied(OPERATION_CREATE, "a", bench_document(first)), APPLIED_CREATED);
	assert_int_equal(applied(OPERATION_CREATE, "b", bench_document(second)), APPLIED_CREATED);
	size_t descriptors = descriptors_count();
	struct mutation *mutation = batch_of(2, true);
	set_edit(mutation, 0, OPERATION_PATCH, "a", to_second);
	set_edit(mutation, 1, OPERATION_PATCH, "b", to_first);
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	mutation_free(mutation);
	assert_int_equal(bench_port(&own_bench, "a"), two);
	assert_int_equal(bench_port(&own_bench, "b"), one);
	assert_int_equal(descriptors_count(), descriptors);
	/* From a deleted tunnel to a new one. */
	mutation = batch_of(2, true);
	set_edit(mutation, 0, OPERATION_CREATE, "c", bench_document(first));
	set_edit(mutation, 1, OPERATION_DELETE, "b", NULL);
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	mutation_free(mutation);
	assert_int_equal(bench_port(&own_bench, "c"), one);
	assert_true(bench_answers(one));
	assert_true(bench_answers(two));
}

static void an_overlapping_listener_makes_way(void **state)
{
	char patch[256];
	(void)state;
	unsigned port = bench_free_port();
	char listen[64];
	bench_stop(&own_bench);
	own_bench.options.allow_remote = true;
	assert_true(bench_start(&own_bench));
	bench_wait_ready(&own_bench);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	assert_int_equal(applied(OPERATION_CREATE, "a", bench_document(listen)), APPLIED_CREATED);
	size_t descriptors = descriptors_count();
	/* One that fails after the bind (the worker refuses it) restores the old one. */
	snprintf(patch, sizeof(patch),
	         "{'spec':{'proxy':{'listen':['0.0.0.0:%u','127.0.0.1:%u','192.0.2.1:5'],'users':[{'username':'u','password':'p'}]}}}", port, port);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "a", patch), PROBLEM_LISTENER_IN_USE);
	assert_true(bench_answers(port));
	assert_int_equal(descriptors_count(), descriptors);
	snprintf(patch, sizeof(patch), "{'spec':{'proxy':{'listen':['0.0.0.0:%u','192.0.2.1:5'],'users':[{'username':'u','password':'p'}]}}}", port);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "a", patch), PROBLEM_VALIDATION_FAILED);
	assert_true(bench_answers(port));
	snprintf(patch, sizeof(patch), "{'spec':{'proxy':{'listen':['0.0.0.0:%u'],'users':[{'username':'u','password':'p'}]}}}", port);
	struct mutation *trial = batch_of(1, false);
	set_edit(trial, 0, OPERATION_PATCH, "a", patch);
	trial->dry_run = true;
	bench_do(&own_bench, trial);
	assert_int_equal(trial->operations[0].problem.code, PROBLEM_NONE);
	mutation_free(trial);
	assert_int_equal(applied(OPERATION_PATCH, "a", patch), APPLIED_IN_PLACE);
	assert_true(bench_answers(port));
	assert_int_equal(descriptors_count(), descriptors);
	snprintf(patch, sizeof(patch), "{'spec':{'proxy':{'listen':['127.0.0.1:%u']}}}", port);
	assert_int_equal(applied(OPERATION_PATCH, "a", patch), APPLIED_IN_PLACE);
	assert_true(bench_answers(port));
	assert_int_equal(descriptors_count(), descriptors);
}

static void put_state(const char *json, bool dry_run, size_t created, size_t changed, size_t unchanged, size_t deleted)
{
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	mutation->scope = SCOPE_ADMIN;
	mutation->dry_run = dry_run;
	mutation->document = quoted_json(json);
	bench_do(&own_bench, mutation);
	if (mutation->problem.code != PROBLEM_NONE)
		fail_msg("%s %s", mutation->problem.detail, mutation->problem.fault_count ? mutation->problem.faults[0].pointer : "");
	assert_int_equal(mutation->created, created);
	assert_int_equal(mutation->changed, changed);
	assert_int_equal(mutation->unchanged, unchanged);
	assert_int_equal(mutation->deleted, deleted);
	mutation_free(mutation);
}

#define TUNNEL(id, more) "{'id':'" id "','spec':{'interface':{'private_key':'" KEY "','addresses':['10.0.0.2']}" more "}}"
#define KEPT(id, more) "{'id':'" id "','spec':{'interface':{'addresses':['10.0.0.2']}" more "}}"

static void a_state_replaces_everything(void **state)
{
	(void)state;
	put_state("{'tunnels':[" TUNNEL("a", "") "," TUNNEL("b", "") "," TUNNEL("c", "") "]}", false, 3, 0, 0, 0);
	put_state("{'tunnels':[" KEPT("a", "") "," KEPT("b", ",'limits':{'connections':3}") "," TUNNEL("d", "") "]}", true, 1, 1, 1, 1);
	snapshot_release(bench_find(&own_bench, "c"));
	put_state("{'tunnels':[" KEPT("a", "") "," KEPT("b", ",'limits':{'connections':3}") "," TUNNEL("d", "") "]}", false, 1, 1, 1, 1);
	assert_null(service_find(own_bench.service, access_whole(), "c"));
	struct snapshot *kept = bench_find(&own_bench, "b");
	assert_true(kept->spec.has_private_key);
	snapshot_release(kept);
	put_state("{'tunnels':[]}", false, 0, 0, 0, 3);
}

static void a_bad_state_tells_all_faults_and_does_nothing(void **state)
{
	(void)state;
	put_state("{'tunnels':[" TUNNEL("a", "") "]}", false, 1, 0, 0, 0);
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	mutation->document =
	    quoted_json("{'tunnels':[" TUNNEL("b", ",'x':1") "," KEPT("c", "") "," TUNNEL("d", "") "," TUNNEL("d", "") ",{'spec':{}},7],'y':2}");
	bench_do(&own_bench, mutation);
	static const char *const pointers[] = {
		"/y",        "/tunnels/0/spec/x", "/tunnels/1/spec/interface/private_key", "/tunnels/3/id", "/tunnels/4/spec/interface/addresses",
		"/tunnels/5"
	};
	assert_int_equal(mutation->problem.code, PROBLEM_VALIDATION_FAILED);
	for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
		bool found = false;
		for (size_t k = 0; k < mutation->problem.fault_count; k++)
			found |= strcmp(mutation->problem.faults[k].pointer, pointers[i]) == 0;
		if (!found)
			fail_msg("no fault at %s", pointers[i]);
	}
	mutation_free(mutation);
	snapshot_release(bench_find(&own_bench, "a"));
	assert_null(service_find(own_bench.service, access_whole(), "d"));
}

/* Three bytes of a body would else cost some kilobytes each: a state of nothing but faults is read as far as its faults are told. */
static void a_state_of_faults_costs_little(void **state)
{
	static const struct {
		size_t count;
		const char *pointer;
	} states[] = { { 30000, "/tunnels/0/spec" }, { 2 * COUNTERS_TUNNELS + 1, "/tunnels" } };
	(void)state;
	put_state("{'tunnels':[" TUNNEL("a", "") "]}", false, 1, 0, 0, 0);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
		json_t *list = json_array();
		for (size_t k = 0; k < states[i].count; k++)
			json_array_append_new(list, json_object());
		mutation->document = json_pack("{s:o}", "tunnels", list);
		bench_do(&own_bench, mutation);
		assert_int_equal(mutation->problem.code, PROBLEM_VALIDATION_FAILED);
		assert_string_equal(mutation->problem.faults[0].pointer, states[i].pointer);
		mutation_free(mutation);
	}
	snapshot_release(bench_find(&own_bench, "a"));
}

static void a_dry_run_changes_nothing(void **state)
{
	(void)state;
	size_t descriptors = descriptors_count();
	struct mutation *mutation = batch_of(1, false);
	set_edit(mutation, 0, OPERATION_CREATE, "a", bench_document(NULL));
	mutation->dry_run = true;
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->operations[0].applied, APPLIED_CREATED);
	assert_non_null(mutation->operations[0].snapshot);
	mutation_free(mutation);
	assert_null(service_find(own_bench.service, access_whole(), "a"));
	assert_int_equal(descriptors_count(), descriptors);
	assert_int_equal(applied(OPERATION_CREATE, "a", bench_document(NULL)), APPLIED_CREATED);
	mutation = batch_of(1, false);
	set_edit(mutation, 0, OPERATION_DELETE, "a", NULL);
	mutation->dry_run = true;
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_NONE);
	mutation_free(mutation);
	snapshot_release(bench_find(&own_bench, "a"));
}

static enum applied try_patch(const char *json, bool dry_run)
{
	struct mutation *mutation = batch_of(1, false);
	set_edit(mutation, 0, OPERATION_PATCH, "a", json);
	mutation->dry_run = dry_run;
	bench_do(&own_bench, mutation);
	enum applied how = mutation->operations[0].applied;
	mutation_free(mutation);
	return how;
}

/* Whether connections survive is what is asked before a change. */
static void a_dry_run_tells_a_restart(void **state)
{
	(void)state;
	assert_int_equal(applied(OPERATION_CREATE, "a", bench_document(NULL)), APPLIED_CREATED);
	for (int dry = 1; dry >= 0; dry--) {
		assert_int_equal(try_patch("{'spec':{'limits':{'connections':9}}}", dry), APPLIED_IN_PLACE);
		assert_int_equal(try_patch("{'spec':{'interface':{'mtu':1300}}}", dry), APPLIED_RESTARTED);
	}
	assert_int_equal(try_patch("{'spec':{'interface':{'mtu':1300}}}", true), APPLIED_UNCHANGED);
}

static enum problem_code try_edits(const char *first, const char *second)
{
	struct mutation *mutation = batch_of(second == NULL ? 1 : 2, second != NULL);
	set_edit(mutation, 0, OPERATION_PATCH, "a", first);
	if (second != NULL)
		set_edit(mutation, 1, OPERATION_PATCH, "b", second);
	mutation->dry_run = true;
	bench_do(&own_bench, mutation);
	enum problem_code code = mutation->atomic ? mutation->problem.code : mutation->operations[0].problem.code;
	mutation_free(mutation);
	return code;
}

/* A change may have the ports that it gives up itself, and no others: a dry run says what the write will. */
static void a_dry_run_finds_the_taken_port(void **state)
{
	(void)state;
	char to_one[96], to_two[96], listen[64];
	unsigned one = bench_free_port(), two = bench_free_port();
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", one);
	assert_int_equal(applied(OPERATION_CREATE, "a", bench_document(listen)), APPLIED_CREATED);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", two);
	assert_int_equal(applied(OPERATION_CREATE, "b", bench_document(listen)), APPLIED_CREATED);
	size_t descriptors = descriptors_count();
	snprintf(to_one, sizeof(to_one), "{'spec':{'proxy':{'listen':['127.0.0.1:%u']}}}", one);
	snprintf(to_two, sizeof(to_two), "{'spec':{'proxy':{'listen':['127.0.0.1:%u']}}}", two);
	assert_int_equal(try_edits(to_two, NULL), PROBLEM_LISTENER_IN_USE);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "a", to_two), PROBLEM_LISTENER_IN_USE);
	/* They change ports; and both cannot have the one that one of them gives up. */
	assert_int_equal(try_edits(to_two, to_one), PROBLEM_NONE);
	snprintf(listen, sizeof(listen), "{'spec':{'proxy':{'listen':[]}}}");
	assert_int_equal(try_edits(to_two, listen), PROBLEM_NONE);
	assert_int_equal(try_edits(to_two, to_two), PROBLEM_LISTENER_IN_USE);
	assert_true(bench_answers(one) && bench_answers(two));
	assert_int_equal(descriptors_count(), descriptors);
}

static void delete_where_labels_match(void **state)
{
	(void)state;
	assert_int_equal(applied(OPERATION_CREATE, "a", bench_document(NULL)), APPLIED_CREATED);
	assert_int_equal(applied(OPERATION_CREATE, "b", bench_document(NULL)), APPLIED_CREATED);
	assert_int_equal(applied(OPERATION_PATCH, "b", "{'labels':{'pool':'eu'}}"), APPLIED_IN_PLACE);
	struct mutation *mutation = mutation_create(MUTATION_DELETE_WHERE, 0);
	mutation->selectors = malloc(sizeof(*mutation->selectors));
	assert_int_equal(selector_parse("pool=eu", &mutation->selectors[0]), 0);
	mutation->selector_count = 1;
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->deleted, 1);
	mutation_free(mutation);
	snapshot_release(bench_find(&own_bench, "a"));
	assert_null(service_find(own_bench.service, access_whole(), "b"));
}

static void on_changed(struct mutation *mutation, void *owner)
{
	*(_Atomic bool *)owner = mutation->operations[0].problem.code == PROBLEM_NONE;
	mutation_free(mutation);
}

/* The worker is slow with the change of the labels, so that the DELETE waits for its turn behind it. */
static void a_tunnel_that_has_lost_the_label_is_not_deleted(void **state)
{
	_Atomic bool is_changed = false;
	(void)state;
	assert_int_equal(applied(OPERATION_CREATE, "slow-a", TUNNEL("slow-a", "")), APPLIED_CREATED);
	assert_int_equal(applied(OPERATION_PATCH, "slow-a", "{'labels':{'pool':'eu'}}"), APPLIED_IN_PLACE);
	struct mutation *change = batch_of(1, false);
	set_edit(change, 0, OPERATION_PATCH, "slow-a", "{'labels':{'pool':null}}");
	change->done = on_changed;
	change->owner = &is_changed;
	service_submit(own_bench.service, access_whole(), change);
	struct mutation *mutation = mutation_create(MUTATION_DELETE_WHERE, 0);
	mutation->selectors = malloc(sizeof(*mutation->selectors));
	assert_int_equal(selector_parse("pool=eu", &mutation->selectors[0]), 0);
	mutation->selector_count = 1;
	bench_do(&own_bench, mutation);
	assert_true(is_changed);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->deleted, 0);
	mutation_free(mutation);
	snapshot_release(bench_find(&own_bench, "slow-a"));
}

static void waiting_for_the_handshake(void **state)
{
	(void)state;
	struct mutation *mutation = batch_of(1, false);
	set_edit(mutation, 0, OPERATION_CREATE, "up-a", bench_document(NULL));
	mutation->wait_up = true;
	mutation->timeout = 30;
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_NONE);
	mutation_free(mutation);
	mutation = batch_of(1, false);
	set_edit(mutation, 0, OPERATION_CREATE, "b", bench_document(NULL));
	mutation->wait_up = true;
	mutation->timeout = 0;
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_HANDSHAKE_TIMEOUT);
	assert_non_null(strstr(mutation->operations[0].problem.detail, "check both keys, the endpoint and whether UDP passes."));
	assert_string_equal(mutation->operations[0].snapshot->id, "b");
	mutation_free(mutation);
	snapshot_release(bench_find(&own_bench, "b"));
}

static void a_disabled_tunnel_is_not_waited_for(void **state)
{
	(void)state;
	assert_int_equal(applied(OPERATION_CREATE, "a", bench_document(NULL)), APPLIED_CREATED);
	struct mutation *mutation = batch_of(1, false);
	set_edit(mutation, 0, OPERATION_PATCH, "a", "{'spec':{'enabled':false}}");
	mutation->wait_up = true;
	mutation->timeout = 30;
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_HANDSHAKE_TIMEOUT);
	assert_string_equal(mutation->operations[0].problem.detail, "The tunnel exists, but it is not up: it is disabled.");
	mutation_free(mutation);
}

static void on_stopped(struct mutation *mutation, void *owner)
{
	struct problem *told = owner;
	problem_set(told, mutation->problem.code, "%s", mutation->problem.detail);
	mutation_free(mutation);
}

/* One waits for its handshake when the end comes, the other one's change is still with its worker. */
static void who_waits_at_the_end_is_told_that_the_change_was_made(void **state)
{
	static const char *const ids[] = { "a", "slow-b" };
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct problem told;
		problem_init(&told);
		assert_int_equal(applied(OPERATION_CREATE, ids[i], bench_document(NULL)), APPLIED_CREATED);
		struct mutation *mutation = batch_of(1, false);
		set_edit(mutation, 0, OPERATION_PATCH, ids[i], "{'spec':{'proxy':{'idle_timeout':7}}}");
		mutation->wait_up = true;
		mutation->timeout = 30;
		mutation->done = on_stopped;
		mutation->owner = &told;
		service_submit(own_bench.service, access_whole(), mutation);
		/* It is under way when this one is answered, or waits for the handshake when the change is there. */
		assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "none", NULL), PROBLEM_NOT_FOUND);
		assert_int_equal(i == 0 ? bench_code(&own_bench, OPERATION_PATCH, ids[i], "{'labels':{'x':'y'}}") : PROBLEM_NONE, PROBLEM_NONE);
		bench_stop(&own_bench);
		assert_int_equal(told.code, PROBLEM_WORKER_UNAVAILABLE);
		assert_string_equal(told.detail, "The change was made; the daemon is stopping before the first handshake.");
		problem_clear(&told);
		assert_true(bench_start(&own_bench));
		bench_wait_ready(&own_bench);
		struct snapshot *snapshot = bench_find(&own_bench, ids[i]);
		assert_int_equal(snapshot->spec.idle_timeout, 7);
		snapshot_release(snapshot);
	}
}

static void an_action_has_no_dry_run(void **state)
{
	(void)state;
	assert_int_equal(applied(OPERATION_CREATE, "a", bench_document(NULL)), APPLIED_CREATED);
	struct mutation *mutation = batch_of(1, false);
	set_edit(mutation, 0, OPERATION_RECONNECT, "a", NULL);
	mutation->dry_run = true;
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_INVALID_REQUEST);
	assert_string_equal(mutation->operations[0].problem.detail, "An action cannot be part of an atomic batch, and has no dry run.");
	mutation_free(mutation);
}

static enum problem_code with_scope(unsigned scope, enum operation_kind kind, const char *id, const char *json)
{
	struct mutation *mutation = batch_of(1, false);
	set_edit(mutation, 0, kind, id, json);
	mutation->scope = scope;
	bench_do(&own_bench, mutation);
	enum problem_code code = mutation->operations[0].problem.code;
	mutation_free(mutation);
	return code;
}

#define INBOUND ",'forwards':[{'name':'w','direction':'inbound','listen':'10.0.0.2:80','target':'127.0.0.1:9'}]"

static void what_needs_admin(void **state)
{
	char document[512];
	(void)state;
	assert_int_equal(with_scope(SCOPE_WRITE, OPERATION_CREATE, "a", TUNNEL("a", INBOUND)), PROBLEM_FORBIDDEN);
	assert_int_equal(with_scope(SCOPE_ADMIN, OPERATION_CREATE, "a", TUNNEL("a", INBOUND)), PROBLEM_NONE);
	/* Existing parts may stay. */
	assert_int_equal(with_scope(SCOPE_WRITE, OPERATION_PATCH, "a", "{'labels':{'x':'y'}}"), PROBLEM_NONE);
	snprintf(document, sizeof(document), "{'spec':{'proxy':{'listen':['unix:%s/sockets/p']}}}", own_bench.directory);
	assert_int_equal(with_scope(SCOPE_WRITE, OPERATION_PATCH, "a", document), PROBLEM_FORBIDDEN);
	assert_int_equal(with_scope(SCOPE_ADMIN, OPERATION_PATCH, "a", document), PROBLEM_NONE);
	struct snapshot *snapshot = bench_find(&own_bench, "a");
	assert_int_equal(strncmp(snapshot->listen[0], "unix:/", 6), 0);
	assert_int_equal(access(snapshot->listen[0] + 5, F_OK), 0);
	snapshot_release(snapshot);
	snprintf(document, sizeof(document), "%s/sockets/p", own_bench.directory);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	assert_int_not_equal(access(document, F_OK), 0);
}

/* What an admin opened, only an admin may lead elsewhere: a token that may write would else reach the host's service from a peer of
 * its own. */
static void what_an_admin_opened_leads_where_it_led(void **state)
{
	static const char *const redirections[] = {
		"{'spec':{'peers':[]}}",
		"{'spec':{'interface':{'private_key':'gI6EdUSYvn8ugXOt8QQD6Yc+JyiZxIhp3GInSWRfWGE='}}}",
		"{'spec':{'interface':{'addresses':['10.0.0.2/32','fd00::2/128']}}}",
		"{'spec':{'interface':{'dns':['10.0.0.9']}}}",
	};
	char peer[512];
	(void)state;
	snprintf(peer, sizeof(peer), "{'spec':{'peers':[{'public_key':'%s','endpoint':'127.0.0.1:9','allowed_ips':['0.0.0.0/0']}]}}", bench_key(0));
	assert_int_equal(with_scope(SCOPE_ADMIN, OPERATION_CREATE, "a", TUNNEL("a", INBOUND)), PROBLEM_NONE);
	assert_int_equal(with_scope(SCOPE_ADMIN, OPERATION_PATCH, "a", peer), PROBLEM_NONE);
	struct snapshot *before = bench_find(&own_bench, "a");
	for (size_t i = 0; i < sizeof(redirections) / sizeof(redirections[0]); i++)
		assert_int_equal(with_scope(SCOPE_WRITE, OPERATION_PATCH, "a", redirections[i]), PROBLEM_FORBIDDEN);
	snprintf(peer, sizeof(peer), "{'spec':{'peers':[{'public_key':'%s','endpoint':'127.0.0.1:10','allowed_ips':['0.0.0.0/0']}]}}", bench_key(0));
	assert_int_equal(with_scope(SCOPE_WRITE, OPERATION_PATCH, "a", peer), PROBLEM_FORBIDDEN);
	snprintf(peer, sizeof(peer), "{'spec':{'peers':[{'public_key':'%s','endpoint':'127.0.0.1:9','allowed_ips':['0.0.0.0/0']}]}}", bench_key(1));
	assert_int_equal(with_scope(SCOPE_WRITE, OPERATION_PATCH, "a", peer), PROBLEM_FORBIDDEN);
	struct snapshot *after = bench_find(&own_bench, "a");
	assert_int_equal(before->revision, after->revision);
	snapshot_release(before);
	snapshot_release(after);
	/* Changes that do not alter the route are allowed, and so is closing what the admin opened. */
	assert_int_equal(with_scope(SCOPE_WRITE, OPERATION_PATCH, "a", "{'spec':{'enabled':false,'limits':{'connections':7}}}"), PROBLEM_NONE);
	assert_int_equal(with_scope(SCOPE_ADMIN, OPERATION_PATCH, "a", "{'spec':{'peers':[]}}"), PROBLEM_NONE);
	assert_int_equal(with_scope(SCOPE_WRITE, OPERATION_PATCH, "a", "{'spec':{'forwards':[],'interface':{'dns':['10.0.0.9']}}}"), PROBLEM_NONE);
}

static enum problem_code put_file(unsigned scope, const char *json)
{
	struct mutation *mutation = batch_of(1, false);
	set_edit(mutation, 0, OPERATION_PUT, "a", json);
	mutation->scope = scope;
	mutation->operations[0].is_file = true;
	bench_do(&own_bench, mutation);
	enum problem_code code = mutation->operations[0].problem.code;
	mutation_free(mutation);
	return code;
}

/* The document of a wg-quick file: an interface, peers, and the query's additions. */
#define FILE_OF(addresses, more) "{'spec':{'interface':{'addresses':['" addresses "'],'mtu':1400},'peers':[]}" more "}"

static void a_file_unsays_nothing_that_it_cannot_say(void **state)
{
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "a",
	                            "{'labels':{'x':'1','y':'2'},'spec':{'enabled':false,'interface':{'dns':['10.0.0.9']},'limits':{'connections':7},"
	                            "'proxy':{'users':[{'username':'u','password':'p'}],'idle_timeout':77},"
	                            "'forwards':[{'name':'o','direction':'outbound','listen':'127.0.0.1:0','target':'10.0.0.1:9'}],"
	                            "'probe':{'type':'tcp','target':'10.0.0.1:9'}}}"),
	                 PROBLEM_NONE);
	struct snapshot *before = bench_find(&own_bench, "a");
	assert_int_equal(put_file(SCOPE_WRITE, FILE_OF("10.9.9.9/32", ",'labels':{'y':'3'}")), PROBLEM_NONE);
	struct snapshot *after = bench_find(&own_bench, "a");
	const struct spec *spec = &after->spec;
	/* Its own: */
	assert_int_equal(spec->peer_count, 0);
	assert_int_equal(spec->dns_count, 0);
	assert_int_equal(spec->mtu, 1400);
	assert_int_equal(spec->addresses[0].bytes[1], 9);
	/* The rest: */
	assert_memory_equal(&spec->private_key, &before->spec.private_key, sizeof(spec->private_key));
	assert_string_equal(after->labels_json, "{\"x\":\"1\",\"y\":\"3\"}");
	assert_false(spec->enabled);
	assert_int_equal(spec->limits.connections, 7);
	assert_int_equal(spec->idle_timeout, 77);
	assert_int_equal(spec->user_count, 1);
	assert_string_equal(spec->users[0].password, "p");
	assert_int_equal(spec->listen_count, before->spec.listen_count);
	assert_int_equal(spec->forward_count, 1);
	assert_int_equal(spec->probe.type, SPEC_PROBE_TCP);
	snapshot_release(before);
	snapshot_release(after);
	/* JSON can express everything, so it replaces everything. */
	assert_int_equal(bench_code(&own_bench, OPERATION_PUT, "a", bench_document(NULL)), PROBLEM_NONE);
	after = bench_find(&own_bench, "a");
	assert_int_equal(after->spec.user_count, 0);
	snapshot_release(after);
	/* If there is no tunnel yet, it is created. */
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	assert_int_equal(put_file(SCOPE_WRITE, "{'spec':{'interface':{'addresses':['10.9.9.9'],'generate_private_key':true}}}"), PROBLEM_NONE);
}

static void a_file_leads_nothing_of_an_admin_elsewhere(void **state)
{
	(void)state;
	assert_int_equal(with_scope(SCOPE_ADMIN, OPERATION_CREATE, "a", TUNNEL("a", INBOUND)), PROBLEM_NONE);
	assert_int_equal(put_file(SCOPE_WRITE, "{'spec':{'interface':{'addresses':['10.0.0.2'],'dns':['10.0.0.9']}}}"), PROBLEM_FORBIDDEN);
	assert_int_equal(put_file(SCOPE_WRITE, "{'spec':{'interface':{'addresses':['10.0.0.2']}}}"), PROBLEM_NONE);
	assert_int_equal(put_file(SCOPE_ADMIN, "{'spec':{'interface':{'addresses':['10.0.0.2'],'dns':['10.0.0.9']}}}"), PROBLEM_NONE);
	/* A kept forward on an address that the tunnel no longer has is a fault; it is not dropped silently. */
	assert_int_equal(put_file(SCOPE_ADMIN, "{'spec':{'interface':{'addresses':['10.0.0.3']}}}"), PROBLEM_VALIDATION_FAILED);
}

static bool has_twin(const char *id, const char *expected)
{
	char twin[64] = "";
	struct snapshot *snapshot = bench_find(&own_bench, id);
	bool found = service_find_twin(own_bench.service, access_whole(), snapshot, twin);
	snapshot_release(snapshot);
	if (found)
		assert_string_equal(twin, expected);
	return found;
}

#define TWIN_KEY "gI6EdUSYvn8ugXOt8QQD6Yc+JyiZxIhp3GInSWRfWGE="

static void one_key_towards_one_peer_in_two_tunnels_is_seen(void **state)
{
	char document[512];
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		char id[2] = { (char)('a' + i), '\0' };
		snprintf(document, sizeof(document),
		         "{'id':'%s','spec':{'interface':{'private_key':'" TWIN_KEY "','addresses':['10.0.0.2']},'peers':[{'public_key':'%s'}]}}", id,
		         bench_key(i == 2));
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, id, document), PROBLEM_NONE);
	}
	assert_true(has_twin("a", "b"));
	assert_true(has_twin("b", "a"));
	assert_false(has_twin("c", NULL)); /* another peer */
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "b", "{'spec':{'enabled':false}}"), PROBLEM_NONE);
	assert_false(has_twin("a", NULL));
	assert_false(has_twin("b", NULL));
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "b", "{'spec':{'enabled':true}}"), PROBLEM_NONE);
	assert_true(has_twin("a", "b"));
	snprintf(document, sizeof(document), "{'spec':{'interface':{'private_key':null,'generate_private_key':true}}}");
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "b", document), PROBLEM_NONE);
	assert_false(has_twin("a", NULL));
	snprintf(document, sizeof(document), "{'spec':{'peers':[{'public_key':'%s'}]}}", bench_key(0));
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "c", document), PROBLEM_NONE);
	assert_true(has_twin("a", "c"));
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "c", NULL), PROBLEM_NONE);
	assert_false(has_twin("a", NULL));
}

static void what_the_policy_refuses(void **state)
{
	char patch[512];
	struct sockaddr_in api = { .sin_family = AF_INET, .sin_port = htons(8470), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	(void)state;
	assert_int_equal(applied(OPERATION_CREATE, "a", bench_document(NULL)), APPLIED_CREATED);
	service_protect(own_bench.service, (struct sockaddr *)&api);
	assert_fault(OPERATION_PATCH, "a", "{'spec':{'proxy':{'listen':['0.0.0.0:0']}}}", "/spec/proxy/listen/0", "remote_not_allowed");
	assert_fault(OPERATION_PATCH, "a", "{'spec':{'proxy':{'listen':['unix:/tmp/x']}}}", "/spec/proxy/listen/0", "path_not_allowed");
	snprintf(patch, sizeof(patch), "{'spec':{'proxy':{'listen':['unix:%s/sockets/../x']}}}", own_bench.directory);
	assert_fault(OPERATION_PATCH, "a", patch, "/spec/proxy/listen/0", "path_not_allowed");
	assert_fault(OPERATION_PATCH, "a", "{'spec':{'forwards':[{'name':'f','listen':'192.0.2.9:1','target':'10.0.0.1:1'}]}}",
	             "/spec/forwards/0/listen", "remote_not_allowed");
	assert_fault(OPERATION_PATCH, "a",
	             "{'spec':{'forwards':[{'name':'f','direction':'inbound','listen':'10.2.0.2:1','target':'127.0.0.1:8470'}]}}",
	             "/spec/forwards/0/target", "own_socket");
	snprintf(patch, sizeof(patch), "{'spec':{'forwards':[{'name':'f','direction':'inbound','listen':'10.2.0.2:1','target':'127.0.0.1:%u'}]}}",
	         bench_port(&own_bench, "a"));
	assert_fault(OPERATION_PATCH, "a", patch, "/spec/forwards/0/target", "own_socket");
}

static void events_tell_it_all(void **state)
{
	static const enum event_type expected[] = { EVENT_TUNNEL_CREATED, EVENT_TUNNEL_STATE, EVENT_TUNNEL_HANDSHAKE, EVENT_TUNNEL_CHANGED };
	bool seen[EVENT_TYPE_COUNT] = { false };
	(void)state;
	struct events *events = service_events(own_bench.service);
	uint64_t after = events_last_id(events), id;
	enum event_type type;
	char *json;
	assert_int_equal(applied(OPERATION_CREATE, "up-a", bench_document(NULL)), APPLIED_CREATED);
	assert_int_equal(applied(OPERATION_PATCH, "up-a", "{'labels':{'a':'b'}}"), APPLIED_IN_PLACE);
	assert_int_equal(bench_code(&own_bench, OPERATION_PROBE, "up-a", "{'target':'10.2.0.1'}"), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "up-a", NULL), PROBLEM_NONE);
	while (events_next(events, after, &id, &type, &json) == EVENTS_GOT) {
		assert_int_equal(id, after + 1);
		json_t *parsed = json_loads(json, 0, NULL);
		assert_string_equal(json_string_value(json_object_get(parsed, "tunnel")), "up-a");
		json_decref(parsed);
		free(json);
		seen[type] = true;
		after = id;
	}
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_true(seen[expected[i]]);
	assert_true(seen[EVENT_TUNNEL_PROBE]);
	assert_true(seen[EVENT_TUNNEL_DELETED]);
}

struct awaited {
	_Atomic unsigned left;
};

static void on_done(struct mutation *mutation, void *owner)
{
	struct awaited *awaited = owner;
	mutation_free(mutation);
	awaited->left--;
}

static void submit(struct mutation *mutation, struct awaited *awaited)
{
	mutation->scope = SCOPE_READ | SCOPE_WRITE | SCOPE_ADMIN;
	mutation->done = on_done;
	mutation->owner = awaited;
	awaited->left++;
	service_submit(own_bench.service, access_whole(), mutation);
}

/* The worker's wish for another UDP socket waits for the turn behind a DELETE, and then "y" has the slot (P2, X8). */
static void a_wish_of_a_deleted_tunnel_is_no_other_tunnels(void **state)
{
	static const enum operation_kind kinds[] = { OPERATION_PUT, OPERATION_DELETE, OPERATION_PUT, OPERATION_DELETE };
	struct awaited awaited = { 0 };
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct mutation *one = batch_of(1, false);
		set_edit(one, 0, kinds[i], "udp-1", kinds[i] == OPERATION_PUT ? bench_document(NULL) : NULL);
		submit(one, &awaited);
	}
	struct mutation *both = batch_of(2, true);
	set_edit(both, 0, OPERATION_PUT, "y", bench_document(NULL));
	set_edit(both, 1, OPERATION_PUT, "udp-1", bench_document(NULL));
	submit(both, &awaited);
	for (int i = 0; i < 3000 && awaited.left > 0; i++)
		usleep(10000);
	assert_int_equal(awaited.left, 0);
	snapshot_release(bench_find(&own_bench, "y"));
	snapshot_release(bench_find(&own_bench, "udp-1"));
	assert_int_equal(applied(OPERATION_PATCH, "y", "{'labels':{'a':'b'}}"), APPLIED_IN_PLACE);
}

static unsigned stale_events(uint64_t after)
{
	enum event_type type;
	char *text;
	unsigned count = 0;
	while (events_next(service_events(own_bench.service), after, &after, &type, &text) == EVENTS_GOT) {
		count += type == EVENT_TUNNEL_STATE && strstr(text, "\"stale\"") != NULL;
		free(text);
	}
	return count;
}

/* Told of the old generation, after the registry had the new one and before the worker did. */
static void no_event_is_lost_while_a_change_is_committed(void **state)
{
	(void)state;
	assert_int_equal(applied(OPERATION_CREATE, "late-a", bench_document(NULL)), APPLIED_CREATED);
	uint64_t after = events_last_id(service_events(own_bench.service));
	/* The worker answers the COMMIT afterwards, so the event is there when the change is answered. */
	assert_int_equal(applied(OPERATION_PATCH, "late-a", "{'labels':{'a':'b'}}"), APPLIED_IN_PLACE);
	assert_int_equal(stale_events(after), 1);
	assert_int_equal(applied(OPERATION_PATCH, "late-a", "{'labels':{'a':'c'}}"), APPLIED_IN_PLACE);
	assert_int_equal(stale_events(after), 2);
}

static void listing_pages(void **state)
{
	(void)state;
	struct mutation *mutation = batch_of(30, true);
	for (size_t i = 0; i < 30; i++) {
		char id[16];
		snprintf(id, sizeof(id), "%st%02zu", i % 2 ? "up-" : "", i);
		set_edit(mutation, i, OPERATION_CREATE, id, bench_document(NULL));
	}
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	mutation_free(mutation);
	char after[64] = "";
	size_t total = 0;
	bool more = true;
	while (more) {
		struct tunnel_list_filter filter = { .after = after, .limit = 7 };
		struct snapshot **list;
		size_t count = service_list(own_bench.service, access_whole(), &filter, &list, &more);
		assert_int_equal(count, more ? 7 : 2);
		for (size_t i = 0; i < count; i++) {
			assert_true(strcmp(list[i]->id, after) > 0);
			snprintf(after, sizeof(after), "%s", list[i]->id);
			snapshot_release(list[i]);
		}
		free(list);
		total += count;
	}
	assert_int_equal(total, 30);
	struct tunnel_list_filter up = { .states = 1u << TUNNEL_UP };
	struct snapshot **list;
	size_t count = service_list(own_bench.service, access_whole(), &up, &list, &more);
	assert_int_equal(count, 15);
	for (size_t i = 0; i < count; i++)
		snapshot_release(list[i]);
	free(list);
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(secrets_that_are_left_out_stay, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_key_is_generated_when_there_is_none, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_merge_patch_is_one, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(peers_one_by_one, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(preconditions_hold, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_batch_in_order, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(an_atomic_batch_is_all_or_nothing, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_listener_changes_hands_in_a_batch, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(an_overlapping_listener_makes_way, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_state_replaces_everything, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_bad_state_tells_all_faults_and_does_nothing, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_state_of_faults_costs_little, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_dry_run_changes_nothing, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_dry_run_tells_a_restart, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_dry_run_finds_the_taken_port, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(delete_where_labels_match, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_that_has_lost_the_label_is_not_deleted, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(waiting_for_the_handshake, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_disabled_tunnel_is_not_waited_for, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(who_waits_at_the_end_is_told_that_the_change_was_made, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(an_action_has_no_dry_run, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(what_needs_admin, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(what_an_admin_opened_leads_where_it_led, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_file_unsays_nothing_that_it_cannot_say, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_file_leads_nothing_of_an_admin_elsewhere, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(one_key_towards_one_peer_in_two_tunnels_is_seen, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(what_the_policy_refuses, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(events_tell_it_all, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_wish_of_a_deleted_tunnel_is_no_other_tunnels, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(no_event_is_lost_while_a_change_is_committed, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(listing_pages, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
