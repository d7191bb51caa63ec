/* F1: every allocation of every kind of mutation fails once. It is then done or not at all, the same mutation works afterwards, and nothing
 * leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/key.h"
#include "service/spec/json_reader.h"
#include "service/spec/selector.h"
#include "service/store/scope.h"
#include "service/worker/endpoint_resolver.h"
#include "tests/descriptors.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/quoted_json.h"

#define INTERFACE "'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}"
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define OTHER "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA="
#define SPEC_OF(mtu)                                                                                                                                 \
	"'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2'],'mtu':" mtu "},"                 \
	"'peers':[{'public_key':'" PEER "','endpoint':'192.0.2.1:51820','allowed_ips':['0.0.0.0/0']}],"                                              \
	"'proxy':{'listen':['127.0.0.1:0'],'users':[{'username':'u','password':'p'}]},"                                                              \
	"'forwards':[{'name':'web','listen':'127.0.0.1:0','target':'10.9.9.9:80'}]}"

static const char document_a[] = "{'id':'a'," SPEC_OF("1300") "}";
static const char document_b[] = "{'id':'b','labels':{'site':'berlin'},'spec':{" INTERFACE "}}";

static struct mutation *make_create(void)
{
	return bench_mutations_make(OPERATION_CREATE, "c", "{'labels':{'site':'rome'}," SPEC_OF("1400") "}");
}

static struct mutation *make_put(void)
{
	return bench_mutations_make(OPERATION_PUT, "a",
	                            "{'spec':{" INTERFACE ",'peers':[{'public_key':'" OTHER "','endpoint':'vpn.example:1'}],"
	                            "'proxy':{'listen':['127.0.0.1:0','[::1]:0']}}}");
}

static struct mutation *make_file(void)
{
	struct mutation *mutation = bench_mutations_make(OPERATION_PUT, "a", "{'labels':{'x':'y'},'spec':{" INTERFACE ",'peers':[]}}");
	mutation->operations[0].is_file = true;
	return mutation;
}

static struct mutation *make_patch(void)
{
	return bench_mutations_make(OPERATION_PATCH, "a", "{'labels':{'k':'v'},'spec':{'interface':{'mtu':1350}}}");
}

static struct mutation *make_peer_change(enum operation_kind kind, const char *key, const char *json)
{
	struct mutation *mutation = bench_mutations_make(kind, "a", json);
	assert_true(key_parse(key, &mutation->operations[0].peer));
	return mutation;
}

static struct mutation *make_peer_put(void)
{
	return make_peer_change(OPERATION_PEER_PUT, OTHER, "{'allowed_ips':['10.9.0.0/16']}");
}

static struct mutation *make_peer_patch(void)
{
	return make_peer_change(OPERATION_PEER_PATCH, PEER, "{'persistent_keepalive':25}");
}

static struct mutation *make_peer_delete(void)
{
	return make_peer_change(OPERATION_PEER_DELETE, PEER, NULL);
}

static struct mutation *make_delete(void)
{
	return bench_mutations_make(OPERATION_DELETE, "a", NULL);
}

static struct mutation *make_batch(bool is_atomic)
{
	static const struct {
		enum operation_kind kind;
		const char *id, *json;
	} operations[] = {
		{ OPERATION_CREATE, "c", "{" SPEC_OF("1400") "}" },
		{ OPERATION_PATCH, "a", "{'spec':{'interface':{'mtu':1350}}}" },
		{ OPERATION_DELETE, "b", NULL },
	};
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 3);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->atomic = is_atomic;
	for (size_t i = 0; i < 3; i++) {
		struct operation *operation = &mutation->operations[i];
		operation->kind = operations[i].kind;
		snprintf(operation->id, sizeof(operation->id), "%s", operations[i].id);
		operation->document = operations[i].json == NULL ? NULL : quoted_json(operations[i].json);
	}
	return mutation;
}

static struct mutation *make_atomic(void)
{
	return make_batch(true);
}

static struct mutation *make_sequence(void)
{
	return make_batch(false);
}

static struct mutation *make_delete_where(void)
{
	struct mutation *mutation = mutation_create(MUTATION_DELETE_WHERE, 0);
	mutation->selectors = malloc(sizeof(*mutation->selectors));
	assert_int_equal(selector_parse("site=berlin", &mutation->selectors[0]), 0);
	mutation->selector_count = 1;
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	return mutation;
}

static struct mutation *make_state(void)
{
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	mutation->document = quoted_json("{'tunnels':[{'id':'c'," SPEC_OF("1400") "},{'id':'a'," SPEC_OF("1350") "}]}");
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	return mutation;
}

static struct mutation *make_token(void)
{
	struct mutation *mutation = mutation_create(MUTATION_TOKEN_CREATE, 0);
	mutation->token_name = strdup("reader");
	mutation->token_scopes = SCOPE_READ;
	return mutation;
}

static struct mutation *make_probe(void)
{
	return bench_mutations_make(OPERATION_PROBE, "a", "{'type':'tcp','target':'10.9.9.9:80','count':2}");
}

static struct mutation *make_reconnect(void)
{
	return bench_mutations_make(OPERATION_RECONNECT, "a", NULL);
}

static const struct {
	const char *name;
	struct mutation *(*make)(void);
	bool is_whole; /* all of it is done, or nothing */
} kinds[] = {
	{ "create", make_create, true },
	{ "put", make_put, true },
	{ "file", make_file, true },
	{ "patch", make_patch, true },
	{ "peer put", make_peer_put, true },
	{ "peer patch", make_peer_patch, true },
	{ "peer delete", make_peer_delete, true },
	{ "delete", make_delete, true },
	{ "atomic batch", make_atomic, true },
	{ "sequence", make_sequence, false },
	{ "delete where", make_delete_where, false },
	{ "whole state", make_state, true },
	{ "token", make_token, true },
	{ "probe", make_probe, true },
	{ "reconnect", make_reconnect, true },
};

struct endpoint_resolver_query *__wrap_endpoint_resolver_ask(struct endpoint_resolver *resolver, const char *name, uint16_t port,
                                                             void (*done)(void *owner, const struct message_addresses *addresses, bool more),
                                                             void *owner);
struct endpoint_resolver_query *__wrap_endpoint_resolver_ask(struct endpoint_resolver *resolver, const char *name, uint16_t port,
                                                             void (*done)(void *owner, const struct message_addresses *addresses, bool more),
                                                             void *owner)
{
	(void)resolver, (void)name, (void)port, (void)done, (void)owner;
	return NULL;
}

static void must(struct mutation *mutation)
{
	bench_mutations_start(mutation);
	bench_mutations_finish();
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
}

/* Two tunnels, always the same. */
static void restore(void)
{
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	json_t *list = json_array();
	json_array_append_new(list, quoted_json(document_a));
	json_array_append_new(list, quoted_json(document_b));
	mutation->document = json_pack("{s:o}", "tunnels", list);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	must(mutation);
	while (bench_worker_next() != 0)
		continue;
	assert_int_equal(registry_count(bench.registry), 2);
}

static bool is_expected(enum problem_code code, bool has_died)
{
	/* A worker that could not be sent a message is replaced. */
	return code == PROBLEM_NONE || code == PROBLEM_OUT_OF_RESOURCES || (code == PROBLEM_WORKER_UNAVAILABLE && has_died);
}

static void assert_untouched(const struct snapshot *a, const struct snapshot *b)
{
	assert_int_equal(registry_count(bench.registry), 2);
	assert_ptr_equal(registry_entry(bench.registry, "a")->snapshot, a);
	assert_ptr_equal(registry_entry(bench.registry, "b")->snapshot, b);
}

/* Whether no allocation had to fail any more. */
static bool try(size_t kind, unsigned number)
{
	const struct snapshot *a = registry_entry(bench.registry, "a")->snapshot, *b = registry_entry(bench.registry, "b")->snapshot;
	unsigned answered = changes.answered, died = bench.worker.incarnation;
	struct mutation *mutation = kinds[kind].make();
	heap_fails_once_after(number);
	bench_mutations_start(mutation);
	bench_mutations_finish();
	bool is_over = heap_refused() == 0;
	heap_works();
	assert_int_equal(changes.answered, answered + 1);
	enum problem_code code = bench_mutations_code(mutation);
	for (size_t i = 0; i < mutation->operation_count && code == PROBLEM_NONE; i++)
		code = mutation->operations[i].problem.code;
	if (!is_expected(code, died != bench.worker.incarnation) || (is_over && code != PROBLEM_NONE))
		fail_msg("%s, allocation %u: problem %d", kinds[kind].name, number, (int)code);
	if (code != PROBLEM_NONE && kinds[kind].is_whole) {
		assert_untouched(a, b);
		must(kinds[kind].make());
	}
	mutation_free(mutation);
	assert_true(lock_queue_is_free(bench.locks, "a"));
	return is_over;
}

static void every_allocation_fails_once(void **state)
{
	(void)state;
	restore();
	size_t before = descriptors_count();
	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		bool is_over = false;
		for (unsigned number = 0; !is_over; number++) {
			is_over = try(kind, number);
			restore();
			assert_int_equal(descriptors_count(), before);
		}
	}
}

int main(void)
{
	json_reader_start();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_allocation_fails_once, bench_mutations_set_up, bench_mutations_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
