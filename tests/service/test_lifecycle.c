/* The life of a tunnel (S1 to S12 of docs/promises.md), as far as the control process is responsible. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/descriptors.h"
#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

/* Many threads do the same at the same time; each counts its replies. */
struct crowd {
	enum operation_kind kind;
	const char *id;
	int rounds;
	int done[PROBLEM_CODE_COUNT];
};

static void *run_one(void *argument)
{
	struct crowd *crowd = argument;
	for (int i = 0; i < crowd->rounds; i++) {
		const char *document =
		    crowd->kind == OPERATION_CREATE
			? "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.2.0.2']},'proxy':{'listen':['127.0.0.1:0']}}}"
			: NULL;
		crowd->done[bench_code(&own_bench, crowd->kind, crowd->id, document)]++;
	}
	return NULL;
}

static void run_crowd(struct crowd *crowd, size_t count)
{
	pthread_t threads[16];
	for (size_t i = 0; i < count; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_one, &crowd[i]), 0);
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static void s2_delete_twice_and_at_once(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		struct crowd crowd[8];
		int deleted = 0, missing = 0;
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(NULL)), PROBLEM_NONE);
		for (size_t i = 0; i < 8; i++)
			crowd[i] = (struct crowd){ .kind = OPERATION_DELETE, .id = "a", .rounds = 1 };
		run_crowd(crowd, 8);
		for (size_t i = 0; i < 8; i++) {
			deleted += crowd[i].done[PROBLEM_NONE];
			missing += crowd[i].done[PROBLEM_NOT_FOUND];
		}
		assert_int_equal(deleted, 1);
		assert_int_equal(missing, 7);
	}
}

static void s3_reconfigure_a_thousand_times(void **state)
{
	(void)state;
	unsigned port = bench_free_port();
	char listen[32];
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(listen)), PROBLEM_NONE);
	size_t descriptors = descriptors_count();
	struct snapshot *first = service_find(own_bench.service, access_whole(), "a");
	for (int i = 0; i < 1000; i++) {
		char patch[256];
		/* In place, with a new stack, with another UDP port: in turns. */
		snprintf(patch, sizeof(patch), "{'spec':{'interface':{'mtu':%d},'limits':{'connections':%d},'enabled':%s}}", i % 3 == 0 ? 1300 : 1420,
		         i + 1, i % 10 == 9 ? "false" : "true");
		assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "a", patch), PROBLEM_NONE);
	}
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "a", "{'spec':{'enabled':true}}"), PROBLEM_NONE);
	struct snapshot *last = service_find(own_bench.service, access_whole(), "a");
	assert_int_equal(last->generation, 1002);
	assert_int_equal(last->counters == first->counters, 1);
	assert_int_equal(bench_port(&own_bench, "a"), port);
	assert_true(bench_answers(port));
	assert_int_equal(descriptors_count(), descriptors);
	snapshot_release(first);
	snapshot_release(last);
}

static void s4_two_tunnels_two_generations(void **state)
{
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_PUT, "a", bench_document(NULL)), PROBLEM_NONE);
	unsigned port = bench_port(&own_bench, "a");
	struct mutation *mutation = bench_edit(&own_bench, OPERATION_PATCH, "a", "{'spec':{'interface':{'mtu':1300}}}");
	assert_int_equal(mutation->operations[0].applied, APPLIED_RESTARTED);
	assert_int_equal(mutation->operations[0].snapshot->generation, 2);
	mutation_free(mutation);
	assert_int_equal(bench_port(&own_bench, "a"), port);
}

static int take_port(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
	int one = 1, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(descriptor, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(descriptor, 1), 0);
	return descriptor;
}

static void s5_a_taken_port_is_told_at_once(void **state)
{
	(void)state;
	unsigned port = bench_free_port();
	char listen[32];
	int holder = take_port(port);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	size_t descriptors = descriptors_count();
	struct mutation *mutation = bench_edit(&own_bench, OPERATION_CREATE, "a", bench_document(listen));
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_LISTENER_IN_USE);
	assert_int_equal(mutation->operations[0].problem.fault_count, 1);
	assert_string_equal(mutation->operations[0].problem.faults[0].pointer, "/spec/proxy/listen/0");
	mutation_free(mutation);
	assert_null(service_find(own_bench.service, access_whole(), "a"));
	assert_int_equal(descriptors_count(), descriptors);
	close(holder);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(listen)), PROBLEM_NONE);
	assert_true(bench_answers(port));
	/* And of two tunnels of our own. */
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "b", bench_document(listen)), PROBLEM_LISTENER_IN_USE);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	assert_false(bench_answers(port));
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "b", bench_document(listen)), PROBLEM_NONE);
}

static _Atomic bool reading;

static void *read_everything(void *argument)
{
	size_t *seen = argument;
	while (reading) {
		struct tunnel_list_filter filter = { .limit = 0 };
		struct snapshot **list;
		bool more;
		size_t count = service_list(own_bench.service, access_whole(), &filter, &list, &more);
		for (size_t i = 0; i < count; i++) {
			struct snapshot_status status;
			snapshot_status(list[i], &status);
			*seen += status.state + (list[i]->counters == NULL ? 0 : counter_read(&list[i]->counters->bytes_sent));
			for (size_t k = 0; k < list[i]->spec.peer_count && list[i]->peer_counters != NULL; k++)
				*seen += counter_read(&list[i]->peer_counters[k]->bytes_sent);
			snapshot_release(list[i]);
		}
		free(list);
		struct snapshot *one = service_find(own_bench.service, access_whole(), "up-a");
		snapshot_release(one);
	}
	return NULL;
}

static void s6_statistics_at_any_time(void **state)
{
	(void)state;
	pthread_t readers[4];
	size_t seen[4] = { 0 };
	reading = true;
	for (size_t i = 0; i < 4; i++)
		pthread_create(&readers[i], NULL, read_everything, &seen[i]);
	for (int i = 0; i < 60; i++) {
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-a", bench_document(NULL)), PROBLEM_NONE);
		assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{'spec':{'peers':[]}}"), PROBLEM_NONE);
		assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{'spec':{'interface':{'mtu':1300}}}"), PROBLEM_NONE);
		assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "up-a", NULL), PROBLEM_NONE);
	}
	reading = false;
	for (size_t i = 0; i < 4; i++)
		pthread_join(readers[i], NULL);
}

/* S6: a snapshot that outlives its tunnel keeps its counters, even if another tunnel was created. */
static void s6_numbers_of_a_deleted_tunnel_stay(void **state)
{
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(NULL)), PROBLEM_NONE);
	struct snapshot *old = service_find(own_bench.service, access_whole(), "a");
	uint64_t used = counter_read(&old->counters->total_bytes_used);
	assert_int_equal(used, 1000);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	for (int i = 0; i < 4; i++) {
		char id[16];
		snprintf(id, sizeof(id), "b%d", i);
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, id, bench_document(NULL)), PROBLEM_NONE);
		struct snapshot *other = service_find(own_bench.service, access_whole(), id);
		assert_ptr_not_equal(other->counters, old->counters);
		assert_int_equal(counter_read(&other->counters->total_bytes_used), 1000);
		snapshot_release(other);
	}
	assert_int_equal(counter_read(&old->counters->total_bytes_used), used);
	snapshot_release(old);
}

static void s7_a_clean_stop_is_quiet(void **state)
{
	(void)state;
	char path[128], text[4096] = "";
	snprintf(path, sizeof(path), "%s/log", own_bench.directory);
	int saved = dup(2), file = open(path, O_RDWR | O_CREAT, 0600);
	dup2(file, 2);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "b", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "b", NULL), PROBLEM_NONE);
	bench_stop(&own_bench);
	dup2(saved, 2);
	close(saved);
	assert_true(pread(file, text, sizeof(text) - 1, 0) >= 0);
	close(file);
	if (strstr(text, " warn ") != NULL || strstr(text, " error ") != NULL)
		fail_msg("%s", text);
}

static void s8_one_tunnel_never_touches_another(void **state)
{
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-quiet", bench_document(NULL)), PROBLEM_NONE);
	struct snapshot *before = service_find(own_bench.service, access_whole(), "up-quiet");
	for (int i = 0; i < 50; i++) {
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(NULL)), PROBLEM_NONE);
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "bad-b", bench_document(NULL)), PROBLEM_VALIDATION_FAILED);
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "full-c", bench_document(NULL)), PROBLEM_OUT_OF_RESOURCES);
		assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "a", "{'spec':{'interface':{'mtu':1300}}}"), PROBLEM_NONE);
		assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	}
	struct snapshot *after = service_find(own_bench.service, access_whole(), "up-quiet");
	struct snapshot_status status;
	snapshot_status(after, &status);
	assert_ptr_equal(before, after);
	assert_int_equal(status.state, TUNNEL_UP);
	assert_true(bench_answers(bench_port(&own_bench, "up-quiet")));
	snapshot_release(before);
	snapshot_release(after);
}

/* Its session lives for a while longer, but the status must show why a client was refused. */
static void a_tunnel_that_is_up_may_have_a_reason(void **state)
{
	struct snapshot_status status;
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-deaf-a", bench_document(NULL)), PROBLEM_NONE);
	struct snapshot *deaf = service_find(own_bench.service, access_whole(), "up-deaf-a");
	snapshot_status(deaf, &status);
	assert_int_equal(status.state, TUNNEL_UP);
	assert_string_equal(status.reason, "the peer does not answer");
	snapshot_release(deaf);
}

static struct mutation *create_many(int count)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, (size_t)count);
	mutation->atomic = true;
	mutation->scope = SCOPE_ADMIN;
	for (int i = 0; i < count; i++) {
		mutation->operations[i].kind = OPERATION_CREATE;
		snprintf(mutation->operations[i].id, 64, "t%04d", i);
		mutation->operations[i].document = quoted_json(bench_document(NULL));
	}
	bench_do(&own_bench, mutation);
	return mutation;
}

static void s11_bulk_delete_is_quick(void **state)
{
	(void)state;
	pthread_t reader;
	size_t seen = 0;
	size_t descriptors = descriptors_count();
	struct mutation *created = create_many(1000);
	if (created->problem.code != PROBLEM_NONE)
		fail_msg("%s", created->problem.detail);
	mutation_free(created);
	reading = true;
	pthread_create(&reader, NULL, read_everything, &seen);
	int64_t start = bench_now_ms();
	struct mutation *mutation = mutation_create(MUTATION_DELETE_WHERE, 0);
	bench_do(&own_bench, mutation);
	int64_t took = bench_now_ms() - start;
	reading = false;
	pthread_join(reader, NULL);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->deleted, 1000);
	mutation_free(mutation);
	/* The promise is 2 s without sanitizers; these are several times slower. */
	assert_in_range(took, 0, 2000);
	print_message("1,000 deleted in %d ms\n", (int)took);
	/* The directory that is being read, at most. */
	assert_int_equal(descriptors_count(), descriptors);
}

static void s11_deletes_one_by_one_are_pipelined(void **state)
{
	(void)state;
	struct crowd crowd[8];
	struct mutation *created = create_many(200);
	assert_int_equal(created->problem.code, PROBLEM_NONE);
	mutation_free(created);
	char ids[8][16];
	for (int round = 0; round < 25; round++) {
		for (size_t i = 0; i < 8; i++) {
			snprintf(ids[i], sizeof(ids[i]), "t%04d", round * 8 + (int)i);
			crowd[i] = (struct crowd){ .kind = OPERATION_DELETE, .id = ids[i], .rounds = 1 };
		}
		run_crowd(crowd, 8);
		for (size_t i = 0; i < 8; i++)
			assert_int_equal(crowd[i].done[PROBLEM_NONE], 1);
	}
}

static void s11_stop_with_many_tunnels_is_quick(void **state)
{
	(void)state;
	struct mutation *created = create_many(500);
	assert_int_equal(created->problem.code, PROBLEM_NONE);
	mutation_free(created);
	int64_t start = bench_now_ms();
	bench_stop(&own_bench);
	assert_in_range(bench_now_ms() - start, 0, 5000);
}

static void s12_a_refused_change_leaves_the_old_one(void **state)
{
	(void)state;
	unsigned taken = bench_free_port();
	int holder = take_port(taken);
	char patch[128];
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-a", bench_document(NULL)), PROBLEM_NONE);
	unsigned port = bench_port(&own_bench, "up-a");
	struct snapshot *before = service_find(own_bench.service, access_whole(), "up-a");
	snprintf(patch, sizeof(patch), "{'spec':{'proxy':{'listen':['127.0.0.1:%u']}}}", taken);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", patch), PROBLEM_LISTENER_IN_USE);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{'spec':{'interface':{'addresses':['nonsense']}}}"),
	                 PROBLEM_VALIDATION_FAILED);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{'spec':{'proxy':{'listen':['203.0.113.1:1']}}}"),
	                 PROBLEM_VALIDATION_FAILED);
	struct snapshot *after = service_find(own_bench.service, access_whole(), "up-a");
	assert_ptr_equal(before, after);
	assert_int_equal(bench_port(&own_bench, "up-a"), port);
	assert_true(bench_answers(port));
	snapshot_release(before);
	snapshot_release(after);
	close(holder);
}

static void a7_create_and_delete_at_the_same_time(void **state)
{
	(void)state;
	struct crowd crowd[8];
	for (size_t i = 0; i < 8; i++)
		crowd[i] = (struct crowd){ .kind = i % 2 ? OPERATION_DELETE : OPERATION_CREATE, .id = "a", .rounds = 125 };
	run_crowd(crowd, 8);
	int created = 0, deleted = 0;
	for (size_t i = 0; i < 8; i++) {
		const int *done = crowd[i].done;
		if (i % 2) {
			deleted += done[PROBLEM_NONE];
			assert_int_equal(done[PROBLEM_NONE] + done[PROBLEM_NOT_FOUND], 125);
		} else {
			created += done[PROBLEM_NONE];
			assert_int_equal(done[PROBLEM_NONE] + done[PROBLEM_TUNNEL_EXISTS], 125);
		}
	}
	struct snapshot *left = service_find(own_bench.service, access_whole(), "a");
	assert_int_equal(created - deleted, left != NULL);
	snapshot_release(left);
}

static void a7_one_of_many_creates_wins(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		struct crowd crowd[8];
		int created = 0;
		for (size_t i = 0; i < 8; i++)
			crowd[i] = (struct crowd){ .kind = OPERATION_CREATE, .id = "a", .rounds = 1 };
		run_crowd(crowd, 8);
		for (size_t i = 0; i < 8; i++)
			created += crowd[i].done[PROBLEM_NONE];
		assert_int_equal(created, 1);
		assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	}
}

static void a7_a_revision_is_never_used_twice(void **state)
{
	(void)state;
	uint64_t last = 0;
	for (int i = 0; i < 6; i++) {
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(NULL)), PROBLEM_NONE);
		struct snapshot *snapshot = service_find(own_bench.service, access_whole(), "a");
		assert_true(snapshot->revision > last);
		last = snapshot->revision;
		snapshot_release(snapshot);
		assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
		if (i % 2 == 0)
			continue;
		bench_stop(&own_bench);
		assert_true(bench_start(&own_bench));
		bench_wait_ready(&own_bench);
	}
}

static void l4_a_second_daemon_is_refused(void **state)
{
	(void)state;
	char failure[512];
	assert_null(service_create(&own_bench.options, failure));
	assert_non_null(strstr(failure, "another warrend"));
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(NULL)), PROBLEM_NONE);
}

static void p9_create_then_delete_is_the_baseline(void **state)
{
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	size_t descriptors = descriptors_count();
	for (int i = 0; i < 100; i++) {
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(NULL)), PROBLEM_NONE);
		assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	}
	assert_int_equal(descriptors_count(), descriptors);
}

static void *delete_and_create(void *argument)
{
	struct snapshot *snapshot = NULL;
	(void)argument;
	while (snapshot == NULL)
		snapshot = service_find(own_bench.service, access_whole(), "a");
	snapshot_release(snapshot);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "a", bench_document(NULL)), PROBLEM_NONE);
	return NULL;
}

/* A waiter's tunnel is deleted, and another one gets its id at once: the waiter is answered for its own. */
static void a_waiter_follows_its_tunnel_and_not_the_id(void **state)
{
	pthread_t thread;
	(void)state;
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->wait_up = true;
	mutation->timeout = 10;
	mutation->operations[0].kind = OPERATION_CREATE;
	snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "a");
	mutation->operations[0].document = quoted_json(bench_document(NULL));
	assert_int_equal(pthread_create(&thread, NULL, delete_and_create, NULL), 0);
	bench_do(&own_bench, mutation);
	pthread_join(thread, NULL);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_NOT_FOUND);
	mutation_free(mutation);
}

enum { WAITING = 10000 };

static void on_answered(struct mutation *mutation, void *owner)
{
	_Atomic unsigned *answered = owner;
	if (mutation->operations[0].problem.code == PROBLEM_PRECONDITION_FAILED)
		++*answered;
	mutation_free(mutation);
}

/* They wait for one that its worker is slow with, and end at once when their turn comes: on a stack that their nesting would overflow. */
static void ten_thousand_changes_of_one_tunnel_wait(void **state)
{
	_Atomic unsigned answered = 0;
	(void)state;
	bench_stop(&own_bench);
	own_bench.stack_size = 192 * 1024;
	assert_true(bench_start(&own_bench));
	bench_wait_ready(&own_bench);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "slow-a", bench_document(NULL)), PROBLEM_NONE);
	for (unsigned i = 0; i <= WAITING; i++) {
		struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
		mutation->scope = scope_with_included(SCOPE_ADMIN);
		mutation->operations[0].kind = OPERATION_PATCH;
		snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "slow-a");
		mutation->operations[0].document = quoted_json("{'spec':{'proxy':{'idle_timeout':7}}}");
		mutation->operations[0].if_match = i == 0 ? NULL : strdup("\"1\"");
		mutation->done = on_answered;
		mutation->owner = &answered;
		service_submit(own_bench.service, access_whole(), mutation);
	}
	for (int64_t start = bench_now_ms(); answered < WAITING && bench_now_ms() - start < 30000;)
		sched_yield();
	assert_int_equal(answered, WAITING);
	own_bench.stack_size = 0;
}

enum { SUSPENDED = 400, REPORTS = 200 };

static _Atomic unsigned looked_at;

bool __real_mutation_is_waiting_over(struct mutation *mutation);
bool __wrap_mutation_is_waiting_over(struct mutation *mutation);
bool __wrap_mutation_is_waiting_over(struct mutation *mutation)
{
	looked_at++;
	return __real_mutation_is_waiting_over(mutation);
}

static void on_waited(struct mutation *mutation, void *owner)
{
	++*(_Atomic unsigned *)owner;
	mutation_free(mutation);
}

/* Hundreds wait for their tunnels while another one reports: a report is looked at for its own tunnel. */
static void a_report_concerns_who_waits_for_its_tunnel(void **state)
{
	_Atomic unsigned answered = 0;
	(void)state;
	for (unsigned i = 0; i < SUSPENDED; i++) {
		struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
		mutation->scope = scope_with_included(SCOPE_ADMIN);
		mutation->operations[0].kind = OPERATION_CREATE;
		snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "wait-%u", i);
		mutation->operations[0].document = quoted_json(bench_document(NULL));
		mutation->wait_up = true;
		mutation->timeout = 60;
		mutation->done = on_waited;
		mutation->owner = &answered;
		service_submit(own_bench.service, access_whole(), mutation);
	}
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-a", bench_document(NULL)), PROBLEM_NONE);
	looked_at = 0;
	for (unsigned i = 0; i < REPORTS; i++) {
		char patch[64];
		snprintf(patch, sizeof(patch), "{'spec':{'proxy':{'idle_timeout':%u}}}", 7 + i % 2);
		assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", patch), PROBLEM_NONE);
	}
	/* Two reports each; the clock's ticks look at all, and the machine may be slow. */
	assert_in_range(looked_at, 0, SUSPENDED * REPORTS / 2);
	assert_int_equal(answered, 0);
	bench_stop(&own_bench);
	assert_int_equal(answered, SUSPENDED);
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_waiter_follows_its_tunnel_and_not_the_id, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_report_concerns_who_waits_for_its_tunnel, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(ten_thousand_changes_of_one_tunnel_wait, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s2_delete_twice_and_at_once, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s3_reconfigure_a_thousand_times, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s4_two_tunnels_two_generations, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s5_a_taken_port_is_told_at_once, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s6_statistics_at_any_time, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s6_numbers_of_a_deleted_tunnel_stay, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s7_a_clean_stop_is_quiet, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_that_is_up_may_have_a_reason, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s8_one_tunnel_never_touches_another, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s11_bulk_delete_is_quick, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s11_deletes_one_by_one_are_pipelined, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s11_stop_with_many_tunnels_is_quick, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(s12_a_refused_change_leaves_the_old_one, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a7_create_and_delete_at_the_same_time, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a7_one_of_many_creates_wins, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a7_a_revision_is_never_used_twice, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(l4_a_second_daemon_is_refused, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(p9_create_then_delete_is_the_baseline, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
