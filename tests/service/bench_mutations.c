#include "tests/service/bench_mutations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "service/store/scope.h"
#include "service/worker/protection.h"
#include "tests/service/quoted_json.h"

#define TURNS_MOST 100000 /* against a hang only */

struct bench_mutations changes;

static bool take_tunnel(void *owner, struct database_tunnel *tunnel)
{
	(void)owner;
	database_tunnel_clear(tunnel);
	return true;
}

static bool take_token(void *owner, struct database_token *token)
{
	return token_table_load(owner, token);
}

static void no_wake(void *owner)
{
	(void)owner;
}

static void open_store(void)
{
	char failure[512];
	snprintf(changes.directory, sizeof(changes.directory), "%s/warren-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(changes.directory));
	changes.means.tokens = token_table_create();
	const struct store_loader loader = { .take_tunnel = take_tunnel, .take_token = take_token, .tokens = changes.means.tokens };
	changes.store = store_open(changes.directory, NULL, &loader, no_wake, NULL, failure);
	if (changes.store == NULL)
		fail_msg("%s", failure);
}

int bench_mutations_set_up(void **state)
{
	static const struct socket_roots roots = { .count = 0 };
	changes = (struct bench_mutations){ .answered = 0 };
	bench_worker_set_up(state);
	open_store();
	const struct provisioner_means provisioning = {
		.registry = bench.registry, .locks = bench.locks, .slots = bench.slots, .events = bench.events
	};
	changes.policy = (struct policy){ .protection = protection_create(bench.registry), .roots = &roots };
	changes.lookups = (struct peer_lookup_means){ .loop = &bench.loop, .registry = bench.registry, .locks = bench.locks };
	changes.means = (struct mutation_means){ .loop = &bench.loop,
		                                 .registry = bench.registry,
		                                 .locks = bench.locks,
		                                 .slots = bench.slots,
		                                 .events = bench.events,
		                                 .store = changes.store,
		                                 .tokens = changes.means.tokens,
		                                 .supervisor = &bench.supervisor,
		                                 .provisioner = provisioner_create(&provisioning, 1),
		                                 .lookups = &changes.lookups,
		                                 .policy = &changes.policy,
		                                 .roots = &roots };
	changes.mutations = mutations_create(&mutation_machine);
	mutations_start(changes.mutations, &changes.means);
	return 0;
}

int bench_mutations_tear_down(void **state)
{
	char command[128];
	assert_false(mutations_are_under_way(changes.mutations));
	worker_answer_gone(&bench.worker);
	for (size_t i = 0; i < registry_count(bench.registry); i++)
		peer_lookup_end_all(registry_at(bench.registry, i));
	bench_worker_tear_down(state);
	mutations_free(changes.mutations);
	store_close(changes.store);
	token_table_free(changes.means.tokens);
	provisioner_free(changes.means.provisioner);
	protection_free((struct protection *)(uintptr_t)changes.policy.protection);
	snprintf(command, sizeof(command), "rm -rf %s", changes.directory);
	return system(command);
}

static void on_done(struct mutation *mutation, void *owner)
{
	(void)mutation, (void)owner;
	changes.answered++;
}

struct mutation *bench_mutations_make(enum operation_kind kind, const char *id, const char *json)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	assert_non_null(mutation);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->operations[0].kind = kind;
	snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "%s", id);
	mutation->operations[0].document = json == NULL ? NULL : quoted_json(json);
	return mutation;
}

void bench_mutations_start(struct mutation *mutation)
{
	mutation->done = on_done;
	mutations_submit(changes.mutations, mutation);
	mutations_run(changes.mutations);
}

void bench_mutations_turn(void)
{
	uv_run(&bench.loop, UV_RUN_NOWAIT);
}

static unsigned requests_waiting(void)
{
	unsigned count = 0;
	for (const struct worker_request *request = bench.worker.first; request != NULL; request = request->next)
		count++;
	return count;
}

void bench_mutations_until_asked(unsigned requests)
{
	for (int i = 0; i < TURNS_MOST && requests_waiting() < requests && mutations_are_under_way(changes.mutations); i++) {
		bench_mutations_turn();
		bench_mutations_until_stored();
	}
}

void bench_mutations_until_stored(void)
{
	store_drain(changes.store);
}

/* It could not be sent a message. */
static void replace_dead(void)
{
	bench_worker_replace();
	for (size_t i = 0; i < registry_count(bench.registry); i++)
		provisioner_start(changes.means.provisioner, registry_at(bench.registry, i));
	mutations_check_workers(changes.mutations);
}

void bench_mutations_finish(void)
{
	for (int i = 0; i < TURNS_MOST && mutations_are_under_way(changes.mutations); i++) {
		while (bench_worker_answer(MESSAGE_STATUS_OK, ""))
			continue;
		bench_mutations_until_stored();
		bench_mutations_turn();
		if (bench.worker.state == WORKER_DYING)
			replace_dead();
	}
	assert_false(mutations_are_under_way(changes.mutations));
}

struct mutation *bench_mutations_do(enum operation_kind kind, const char *id, const char *json)
{
	struct mutation *mutation = bench_mutations_make(kind, id, json);
	bench_mutations_start(mutation);
	bench_mutations_finish();
	return mutation;
}

enum problem_code bench_mutations_code(const struct mutation *mutation)
{
	if (mutation->problem.code != PROBLEM_NONE || mutation->operation_count == 0)
		return mutation->problem.code;
	return mutation->operations[0].problem.code;
}

void bench_mutations_replace_worker(void)
{
	worker_answer_gone(&bench.worker);
	bench.worker.incarnation++;
	while (bench_worker_next() != 0)
		continue;
	mutations_check_workers(changes.mutations);
}
