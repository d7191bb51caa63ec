/* Compromised workers (P6, P7): their messages cost the control process little and get the worker killed, with the reason in the log; the
 * other worker's tunnel is served all the time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ipc/log.h"
#include "tests/descriptors.h"
#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

#define GUARD_MS 200000 /* against a hang only */

static int standard_error, told; /* the log goes to a file in memory */
static size_t descriptors;

static void pause_ms(int ms)
{
	struct timespec pause = { .tv_nsec = ms * 1000000l };
	nanosleep(&pause, NULL);
}

static bool was_told(const char *text)
{
	char log[65536];
	ssize_t length = pread(told, log, sizeof(log) - 1, 0);
	log[length < 0 ? 0 : length] = '\0';
	return strstr(log, text) != NULL;
}

static uint64_t restarts(void)
{
	struct service_worker_stats stats;
	service_worker_stats(own_bench.service, &stats);
	return stats.restarts;
}

static int set_up(void **state)
{
	bench_set_up(state);
	told = memfd_create("log", MFD_CLOEXEC);
	standard_error = dup(STDERR_FILENO);
	dup2(told, STDERR_FILENO);
	/* Each of the two workers has one tunnel: the hostile one will be beside the first. */
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-a", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "up-b", bench_document(NULL)), PROBLEM_NONE);
	descriptors = descriptors_count();
	return 0;
}

static int tear_down(void **state)
{
	dup2(standard_error, STDERR_FILENO);
	char log[4096];
	if (getenv("TEST_LOG") != NULL)
		fprintf(stderr, "%.*s", (int)pread(told, log, sizeof(log), 0), log);
	close(standard_error);
	close(told);
	return bench_tear_down(state);
}

/* A change of the other worker's tunnel is answered meanwhile. */
static void others_are_served(void)
{
	int64_t start = bench_now_ms();
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-b", "{'spec':{'proxy':{'idle_timeout':7}}}"), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-b", "{'spec':{'proxy':{'idle_timeout':8}}}"), PROBLEM_NONE);
	assert_in_range(bench_now_ms() - start, 0, GUARD_MS);
}

static void wait_for_end_by(const char *why)
{
	int64_t start = bench_now_ms();
	while (!was_told(why) && bench_now_ms() - start < GUARD_MS) {
		others_are_served();
		assert_in_range(descriptors_count(), 1, descriptors + 1500);
		pause_ms(20);
	}
	assert_true(was_told(why));
}

static void nothing_is_left_of(const char *id)
{
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, id, NULL), PROBLEM_NONE);
	bench_wait_ready(&own_bench);
	others_are_served();
	for (int i = 0; i < 500 && descriptors_count() != descriptors; i++)
		pause_ms(10);
	assert_int_equal(descriptors_count(), descriptors);
}

static void create(const char *id, const char *document)
{
	enum problem_code code = bench_code(&own_bench, OPERATION_CREATE, id, document);
	assert_true(code == PROBLEM_NONE || code == PROBLEM_WORKER_UNAVAILABLE);
}

static void a_flood_of_messages_ends_the_worker(void **state)
{
	(void)state;
	create("flood-c", bench_document(NULL));
	wait_for_end_by("it sends too many messages");
	nothing_is_left_of("flood-c");
}

static void an_answer_that_is_owed_ends_the_worker(void **state)
{
	(void)state;
	int64_t start = bench_now_ms();
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "mute-c", bench_document(NULL)), PROBLEM_WORKER_UNAVAILABLE);
	assert_in_range(bench_now_ms() - start, 0, GUARD_MS);
	assert_true(was_told("it does not answer"));
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{'labels':{'x':'y'}}"), PROBLEM_NONE);
	assert_int_equal(descriptors_count(), descriptors);
}

/* It says that it has prepared what it was to commit. */
static void an_answer_of_the_wrong_type_ends_the_worker(void **state)
{
	(void)state;
	create("wrong-c", bench_document(NULL));
	wait_for_end_by("it sent a message that breaks the protocol");
	nothing_is_left_of("wrong-c");
}

static void half_a_message_ends_the_worker(void **state)
{
	(void)state;
	/* Its COMMIT is never answered, and the tunnel stays, as it is in the store. */
	create("half-c", bench_document(NULL));
	wait_for_end_by("it does not answer");
	nothing_is_left_of("half-c");
}

static void descriptors_from_a_worker_are_closed(void **state)
{
	(void)state;
	create("gift-c", bench_document(NULL));
	wait_for_end_by("it sent bytes that are not a message");
	nothing_is_left_of("gift-c");
}

/* A listener whose queue is full: a connection to it stays pending. */
static int deaf_listener(unsigned *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	*port = ntohs(address.sin_port);
	return listener;
}

static void too_many_dials_at_once_end_the_worker(void **state)
{
	char document[512];
	unsigned port;
	(void)state;
	int listener = deaf_listener(&port);
	descriptors++;
	snprintf(document, sizeof(document),
	         "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.0.0.2']},'forwards':[{'name':'w','direction':'inbound',"
	         "'listen':'10.0.0.2:80','target':'127.0.0.1:%u'}]}}",
	         port);
	create("dials-c", document);
	wait_for_end_by("it sent a message that breaks the protocol");
	/* Its dials end with the worker, not at their deadline. */
	nothing_is_left_of("dials-c");
	close(listener);
}

/* Requests over the rate wait and are not refused: many clients can make an honest worker ask that often. */
static void relays_are_granted_at_a_rate(void **state)
{
	enum { BURST = 1024, A_SECOND = 64 };
	(void)state;
	int64_t start = bench_now_ms();
	create("relays-c", bench_document(NULL));
	struct snapshot *snapshot = bench_find(&own_bench, "relays-c");
	uint64_t granted = 0;
	while (granted < BURST + A_SECOND / 2 && bench_now_ms() - start < GUARD_MS) {
		granted = counter_read(&snapshot->counters->probes_ok);
		pause_ms(10);
	}
	uint64_t most = BURST + A_SECOND * (uint64_t)(bench_now_ms() - start + 1000) / 1000;
	assert_int_equal(counter_read(&snapshot->counters->probes_failed), 0);
	snapshot_release(snapshot);
	assert_in_range(granted, BURST + A_SECOND / 2, most);
	assert_int_equal(restarts(), 0);
	nothing_is_left_of("relays-c");
}

/* What waits for a process is nothing to the next one, which counts its requests from the beginning too. */
static void late_wants_end_with_their_worker(void **state)
{
	enum { BURST = 1024 };
	(void)state;
	create("relays-c", bench_document(NULL));
	create("up-c", bench_document(NULL));
	struct snapshot *snapshot = bench_find(&own_bench, "relays-c");
	for (int i = 0; i < 2500 && counter_read(&snapshot->counters->probes_ok) < BURST; i++)
		pause_ms(2);
	uint64_t before = counter_read(&snapshot->counters->probes_ok);
	assert_true(before >= BURST);
	/* It is tried once more: two processes end. One that is granted what it did not ask for ends too. */
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "crash-d", bench_document(NULL)), PROBLEM_WORKER_UNAVAILABLE);
	bench_wait_ready(&own_bench);
	for (int i = 0; i < 2500 && counter_read(&snapshot->counters->probes_ok) < before + 32; i++)
		pause_ms(2);
	assert_true(counter_read(&snapshot->counters->probes_ok) >= before + 32);
	snapshot_release(snapshot);
	assert_int_equal(restarts(), 2);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "up-c", NULL), PROBLEM_NONE);
	nothing_is_left_of("relays-c");
}

static void a_worker_that_does_not_read_is_ended(void **state)
{
	(void)state;
	create("deaf-c", bench_document(NULL));
	wait_for_end_by("it does not read");
	nothing_is_left_of("deaf-c");
}

/* Whatever a worker writes, an event is one JSON object, and its members are ours. */
static unsigned check_events(uint64_t after)
{
	struct events *events = service_events(own_bench.service);
	enum event_type type;
	char *text;
	unsigned count = 0;
	while (events_next(events, after, &after, &type, &text) == EVENTS_GOT) {
		json_t *event = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		assert_true(json_is_object(event));
		count += type == EVENT_TUNNEL_PROBE || (type == EVENT_TUNNEL_STATE && strstr(text, "stale") != NULL);
		json_decref(event);
		free(text);
	}
	return count;
}

static void odd_bytes_are_text_in_the_events(void **state)
{
	(void)state;
	uint64_t after = events_last_id(service_events(own_bench.service));
	create("odd-c", bench_document(NULL));
	others_are_served();
	for (int i = 0; i < 500 && check_events(after) < 2; i++)
		pause_ms(10);
	assert_int_equal(check_events(after), 2);
	assert_int_equal(restarts(), 0);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "odd-c", NULL), PROBLEM_NONE);
}

/* The connections that a tunnel has; the mutation is to be freed. */
static struct mutation *list(const char *tunnel, bool only_counts)
{
	struct mutation *mutation = mutation_create(MUTATION_CONNECTIONS, 0);
	mutation->listing = calloc(1, sizeof(*mutation->listing));
	*mutation->listing = (struct connection_listing){ .limit = 100, .only_counts = only_counts, .filter = { .protocol = QUERY_ANY_PROTOCOL } };
	snprintf(mutation->listing->tunnel, sizeof(mutation->listing->tunnel), "%s", tunnel);
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	return mutation;
}

static size_t count_of(const char *tunnel)
{
	struct mutation *mutation = list(tunnel, true);
	size_t count = mutation->listing->count;
	mutation_free(mutation);
	return count;
}

/* One of a tunnel that the worker does not have is dropped. */
static void odd_bytes_are_text_in_a_listing(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct mutation *mutation = list(i == 0 ? "" : "up-b", false);
		char *text = NULL;
		assert_true(asprintf(&text, "[%.*s]", (int)mutation->listing->length, mutation->listing->json) > 0);
		json_t *array = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		assert_int_equal(json_array_size(array), i == 0 ? 2 : 1);
		assert_string_equal(mutation->listing->next, "");
		json_decref(array);
		free(text);
		mutation_free(mutation);
	}
	assert_int_equal(count_of("absent"), 0);
	assert_int_equal(restarts(), 0);
}

static void a_listing_that_is_not_answered_ends_the_worker(void **state)
{
	(void)state;
	create("silent-c", bench_document(NULL));
	int64_t start = bench_now_ms();
	assert_int_equal(count_of("up-b"), 1);
	assert_int_equal(count_of(""), 1);
	assert_in_range(bench_now_ms() - start, 0, GUARD_MS);
	assert_true(was_told("it does not answer"));
	nothing_is_left_of("silent-c");
}

static void a_listing_that_does_not_end_is_ended(void **state)
{
	(void)state;
	create("endless-c", bench_document(NULL));
	int64_t start = bench_now_ms();
	assert_int_equal(count_of(""), 1);
	others_are_served();
	assert_in_range(bench_now_ms() - start, 0, GUARD_MS);
	assert_int_equal(restarts(), 0);
	nothing_is_left_of("endless-c");
}

static void a_listing_with_a_wrong_count_ends_the_worker(void **state)
{
	(void)state;
	create("garbled-c", bench_document(NULL));
	mutation_free(list("", false));
	assert_true(was_told("it sent a message that breaks the protocol"));
	nothing_is_left_of("garbled-c");
}

/* The accused may be innocent: it goes on, and links are renewed at a rate. */
static void accusations_of_another_worker_end_nobody(void **state)
{
	(void)state;
	create("accuse-c", bench_document(NULL));
	wait_for_end_by("they stay without a link until one of them is replaced");
	assert_int_equal(restarts(), 0);
	nothing_is_left_of("accuse-c");
}

static void an_accusation_of_nobody_ends_the_worker(void **state)
{
	(void)state;
	create("nobody-c", bench_document(NULL));
	wait_for_end_by("it sent a message that breaks the protocol");
	nothing_is_left_of("nobody-c");
}

static int worker_of(const char *id)
{
	struct snapshot *snapshot = bench_find(&own_bench, id);
	int worker = snapshot->worker;
	snapshot_release(snapshot);
	return worker;
}

/* Whatever its worker tells, the tunnel is on the other one afterwards, once, and answers. */
static void move(const char *id)
{
	create(id, bench_document(NULL));
	assert_int_equal(worker_of(id), 0);
	assert_int_equal(bench_code(&own_bench, OPERATION_MOVE, id, "{'worker':1}"), PROBLEM_NONE);
	assert_int_equal(worker_of(id), 1);
	assert_true(bench_answers(bench_port(&own_bench, id)));
	others_are_served();
}

/* The other worker gets as many sessions as there are peers, and nothing else: it would end. */
static void sessions_that_were_not_asked_for_are_dropped(void **state)
{
	(void)state;
	move("swarm-c");
	assert_int_equal(restarts(), 0);
	nothing_is_left_of("swarm-c");
}

static void sessions_that_break_the_protocol_end_the_worker(void **state)
{
	(void)state;
	move("huge-c");
	assert_true(was_told("it sent bytes that are not a message"));
	nothing_is_left_of("huge-c");
	move("short-c");
	assert_true(was_told("it sent a message that breaks the protocol"));
	nothing_is_left_of("short-c");
	assert_int_equal(restarts(), 2);
}

static void a_worker_that_keeps_a_tunnel_is_ended(void **state)
{
	(void)state;
	move("keeps-c");
	assert_true(was_told("it does not answer"));
	assert_int_equal(restarts(), 1);
	nothing_is_left_of("keeps-c");
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	bench_log_level = LOG_WARN;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_flood_of_messages_ends_the_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answer_that_is_owed_ends_the_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answer_of_the_wrong_type_ends_the_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(half_a_message_ends_the_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(descriptors_from_a_worker_are_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_many_dials_at_once_end_the_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(relays_are_granted_at_a_rate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(late_wants_end_with_their_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_worker_that_does_not_read_is_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(odd_bytes_are_text_in_the_events, set_up, tear_down),
		cmocka_unit_test_setup_teardown(odd_bytes_are_text_in_a_listing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_listing_that_is_not_answered_ends_the_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_listing_that_does_not_end_is_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_listing_with_a_wrong_count_ends_the_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(accusations_of_another_worker_end_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sessions_that_were_not_asked_for_are_dropped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sessions_that_break_the_protocol_end_the_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_worker_that_keeps_a_tunnel_is_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_accusation_of_nobody_ends_the_worker, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
