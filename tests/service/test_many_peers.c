/* What a tunnel with 4,096 peers and 65,000 allowed IPs costs the control process. The times are printed, and no limit; what may not be done
 * in the service's thread at all is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ipc/key.h"
#include "ipc/log.h"
#include "service/spec/candidate.h"
#include "service/spec/spec_json.h"
#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

enum { PEERS = 4096, NETWORKS = 16 };

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static json_t *document(unsigned seed)
{
	json_t *json = quoted_json("{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}");
	json_t *peers = json_array();
	for (unsigned i = 0; i < PEERS; i++) {
		char text[64];
		json_t *networks = json_array();
		for (unsigned k = 0; k < NETWORKS; k++) {
			snprintf(text, sizeof(text), "%u.%u.%u.%u/32", 11 + (seed & 1), i >> 8, i & 255, k);
			json_array_append_new(networks, json_string(text));
		}
		json_array_append_new(
		    peers, json_pack("{s:s, s:s, s:o}", "public_key", bench_key(seed + i), "endpoint", "192.0.2.1:51820", "allowed_ips", networks));
	}
	json_object_set_new(json_object_get(json, "spec"), "peers", peers);
	return json;
}

static _Atomic bool is_done;

/* Work on a whole spec that is for the thread of who submits a change, by the threads that did it (see the linker's options). */
static struct {
	pthread_mutex_t lock;
	pthread_t by[64];
	size_t count;
	pthread_t service;
} work = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void note_work(void)
{
	pthread_mutex_lock(&work.lock);
	assert_true(work.count < 64);
	work.by[work.count++] = pthread_self();
	pthread_mutex_unlock(&work.lock);
}

static size_t work_of_service(void)
{
	size_t count = 0;
	for (size_t i = 0; i < work.count; i++)
		count += pthread_equal(work.by[i], work.service) != 0;
	return count;
}

void __real_json_delete(json_t *json);
void __wrap_json_delete(json_t *json);
void __real_candidate_read(struct candidate *candidate, const json_t *document, const char *pointer);
void __wrap_candidate_read(struct candidate *candidate, const json_t *document, const char *pointer);
json_t *__real_spec_to_json(const struct spec *spec, bool secrets);
json_t *__wrap_spec_to_json(const struct spec *spec, bool secrets);
bool __real_spec_equal(const struct spec *a, const struct spec *b);
bool __wrap_spec_equal(const struct spec *a, const struct spec *b);
void __real_spec_encode(struct message_writer *writer, const struct spec *spec);
void __wrap_spec_encode(struct message_writer *writer, const struct spec *spec);
bool __real_spec_copy(struct spec *to, const struct spec *from);
bool __wrap_spec_copy(struct spec *to, const struct spec *from);

void __wrap_json_delete(json_t *json)
{
	if (json_object_get(json, "spec") != NULL)
		note_work();
	__real_json_delete(json);
}

void __wrap_candidate_read(struct candidate *candidate, const json_t *document, const char *pointer)
{
	note_work();
	__real_candidate_read(candidate, document, pointer);
}

json_t *__wrap_spec_to_json(const struct spec *spec, bool secrets)
{
	note_work();
	return __real_spec_to_json(spec, secrets);
}

void __wrap_spec_encode(struct message_writer *writer, const struct spec *spec)
{
	note_work();
	__real_spec_encode(writer, spec);
}

bool __wrap_spec_equal(const struct spec *a, const struct spec *b)
{
	note_work();
	return __real_spec_equal(a, b);
}

bool __wrap_spec_copy(struct spec *to, const struct spec *from)
{
	note_work();
	return __real_spec_copy(to, from);
}

static void on_done(struct mutation *mutation, void *owner)
{
	(void)mutation;
	(void)owner;
	work.service = pthread_self();
	is_done = true;
}

/* A change that ends at once on the service's loop: how long it takes is how long the loop is held. */
static double longest_turn(void)
{
	double longest = 0;
	while (!is_done) {
		double start = now_ms();
		(void)bench_code(&own_bench, OPERATION_DELETE, "nothing", NULL);
		double turn = now_ms() - start;
		longest = turn > longest ? turn : longest;
	}
	return longest;
}

static struct mutation *change(enum operation_kind kind, json_t *body)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->operations[0].kind = kind;
	snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "many");
	mutation->operations[0].document = body;
	return mutation;
}

static void run(const char *what, struct mutation *mutation)
{
	mutation->done = on_done;
	is_done = false;
	work.count = 0;
	double start = now_ms();
	service_submit(own_bench.service, access_whole(), mutation);
	double submitted = now_ms(), longest = longest_turn(), end = now_ms();
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_NONE);
	assert_int_equal(work_of_service(), 0);
	print_message("%s: read %.1f ms in the caller's thread, done %.1f ms later, the loop was held for up to %.1f ms\n", what, submitted - start,
	              end - submitted, longest);
	mutation_free(mutation);
}

static struct mutation *change_peer(enum operation_kind kind, const char *text)
{
	struct mutation *mutation = change(kind, text == NULL ? NULL : quoted_json(text));
	assert_true(key_parse(bench_key((1 << 20) + 7), &mutation->operations[0].peer));
	return mutation;
}

static void many_peers(void **state)
{
	(void)state;
	run("created", change(OPERATION_PUT, document(0)));
	run("unchanged", change(OPERATION_PUT, document(0)));
	run("all peers others", change(OPERATION_PUT, document(1 << 20)));
	run("patched", change(OPERATION_PATCH, quoted_json("{'spec':{'interface':{'mtu':1400}}}")));
	run("a peer patched", change_peer(OPERATION_PEER_PATCH, "{'persistent_keepalive':25}"));
	run("a peer removed", change_peer(OPERATION_PEER_DELETE, NULL));
	run("a peer put", change_peer(OPERATION_PEER_PUT, "{'allowed_ips':['10.9.0.0/16']}"));
	struct mutation *file = change(OPERATION_PUT, document(0));
	file->operations[0].is_file = true;
	run("a file put", file);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "many", NULL), PROBLEM_NONE);
}

static sem_t is_answered, is_freed;

static void on_answer(struct mutation *mutation, void *owner)
{
	(void)mutation;
	(void)owner;
	work.service = pthread_self();
	sem_post(&is_answered);
	sem_wait(&is_freed);
}

/* Whoever asked frees the document, which takes long with many peers, even when the service lets go of the change last. */
static void documents_are_freed_by_whoever_asked(void **state)
{
	(void)state;
	sem_init(&is_answered, 0, 0);
	sem_init(&is_freed, 0, 0);
	struct mutation *mutation = change(OPERATION_PUT, document(0));
	mutation->done = on_answer;
	work.count = 0;
	service_submit(own_bench.service, access_whole(), mutation);
	sem_wait(&is_answered);
	mutation_free(mutation);
	sem_post(&is_freed);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "many", NULL), PROBLEM_NONE);
	assert_int_equal(work_of_service(), 0);
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_peers, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(documents_are_freed_by_whoever_asked, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
