/* Workers are started, watched, replaced and ended. The workers are this program, started again (fake_worker.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "ipc/log.h"
#include "service/worker/worker_process.h"
#include "tests/service/fake_worker.h"

#define TURNS_MOST 10000 /* against a hang only */

static uv_loop_t loop;
static struct supervisor *supervisor;
static unsigned readies, deaths, gone;
static bool has_stopped;
static bool fails_to_spawn, fails_to_connect; /* once */
static char spawned[512];                     /* the arguments of the last worker */

int __real_uv_spawn(uv_loop_t *on, uv_process_t *process, const uv_process_options_t *options);
int __wrap_uv_spawn(uv_loop_t *on, uv_process_t *process, const uv_process_options_t *options);
int __real_socketpair(int domain, int type, int protocol, int ends[2]);
int __wrap_socketpair(int domain, int type, int protocol, int ends[2]);

int __wrap_uv_spawn(uv_loop_t *on, uv_process_t *process, const uv_process_options_t *options)
{
	spawned[0] = '\0';
	for (char **argument = options->args; *argument != NULL; argument++)
		snprintf(spawned + strlen(spawned), sizeof(spawned) - strlen(spawned), "%s ", *argument);
	if (!fails_to_spawn)
		return __real_uv_spawn(on, process, options);
	fails_to_spawn = false;
	/* As libuv does: the handle is initialized, and to be closed. */
	uv_process_options_t nowhere = *options;
	nowhere.file = "/nonexistent/warrend";
	return __real_uv_spawn(on, process, &nowhere);
}

int __wrap_socketpair(int domain, int type, int protocol, int ends[2])
{
	if (!fails_to_connect)
		return __real_socketpair(domain, type, protocol, ends);
	fails_to_connect = false;
	errno = EMFILE;
	return -1;
}

static void on_ready(void *owner, struct worker *worker)
{
	(void)owner, (void)worker;
	readies++;
}

static void on_died(void *owner, struct worker *worker)
{
	(void)owner, (void)worker;
	deaths++;
}

static bool on_message(void *owner, struct worker *worker, enum message_type type, struct message_reader *body)
{
	(void)owner, (void)worker, (void)type, (void)body;
	return true;
}

static void on_stopped(void *owner)
{
	(void)owner;
	has_stopped = true;
}

static void on_gone(void *owner, const struct worker_reply *reply)
{
	(void)owner;
	gone += reply->gone;
}

static void start(const struct supervisor_options *options)
{
	static const struct supervisor_events events = { .ready = on_ready, .died = on_died, .message = on_message };
	char failure[512];
	readies = deaths = gone = 0;
	has_stopped = false;
	supervisor = supervisor_create(&loop, options, &events, failure);
	assert_non_null(supervisor);
}

static void wait_for(const unsigned *count, unsigned wanted)
{
	for (int i = 0; i < TURNS_MOST && *count < wanted; i++)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(*count, wanted);
}

static int set_up(void **state)
{
	(void)state;
	fails_to_spawn = fails_to_connect = false;
	return uv_loop_init(&loop);
}

static void stop(unsigned grace_ms)
{
	supervisor_stop(supervisor, grace_ms, on_stopped, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_true(has_stopped);
	supervisor_free(supervisor);
	supervisor = NULL;
}

static int tear_down(void **state)
{
	(void)state;
	if (supervisor != NULL)
		stop(5000);
	return uv_loop_close(&loop);
}

static void all_become_ready_and_end(void **state)
{
	(void)state;
	start(&(const struct supervisor_options){ .workers = 2 });
	assert_int_equal(supervisor_serving(supervisor), 2);
	assert_int_equal(supervisor_count(supervisor), 3);
	wait_for(&readies, 2);
	assert_int_equal(supervisor_ready_count(supervisor), 2);
	for (unsigned i = 0; i < 2; i++) {
		struct worker *worker = supervisor_worker(supervisor, i);
		assert_int_equal(worker_index(worker), i);
		assert_true(supervisor_has_process(supervisor, worker->pid));
	}
	assert_false(supervisor_has_process(supervisor, 1));
	assert_false(supervisor_has_process(supervisor, 0));
	stop(5000);
	assert_int_equal(deaths, 0);
	supervisor_free(NULL);
}

static void options_are_handed_on(void **state)
{
	(void)state;
	start(&(const struct supervisor_options){
	    .workers = 1, .aead = AEAD_AVX2, .gso = true, .require_lock = true, .log_json = true, .memory_budget = 12345 });
	assert_non_null(strstr(spawned, "--index 0 "));
	assert_non_null(strstr(spawned, "--log-format json --memory-budget 12345 --aead avx2 --gso --require-lock "));
	stop(5000);
	start(&(const struct supervisor_options){ .workers = 1 });
	assert_non_null(strstr(spawned, "--log-format text --memory-budget 0 "));
	assert_null(strstr(spawned, "--gso"));
	assert_null(strstr(spawned, "--require-lock"));
}

static void one_that_dies_is_replaced(void **state)
{
	(void)state;
	start(&(const struct supervisor_options){ .workers = 1 });
	wait_for(&readies, 1);
	struct worker *worker = supervisor_worker(supervisor, 0);
	struct worker_request request = { .reply = MESSAGE_DONE, .handler = on_gone };
	unsigned incarnation = worker_incarnation(worker);
	worker_expect(worker, &request);
	worker->spawned_at = 0; /* long ago: it is replaced at once */
	assert_int_equal(kill(worker->pid, SIGKILL), 0);
	wait_for(&deaths, 1);
	/* Who waited for it was told before. */
	assert_int_equal(gone, 1);
	assert_int_equal(supervisor_restarts(supervisor), 1);
	wait_for(&readies, 2);
	assert_int_equal(worker_incarnation(worker), incarnation + 1);
	assert_int_equal(supervisor_ready_count(supervisor), 1);
}

/* One that cannot live is started once a second, not all the time. */
static void one_that_dies_at_once_is_replaced_later(void **state)
{
	(void)state;
	start(&(const struct supervisor_options){ .workers = 1 });
	wait_for(&readies, 1);
	struct worker *worker = supervisor_worker(supervisor, 0);
	uv_update_time(&loop);
	worker->spawned_at = uv_now(&loop) - WORKER_BACKOFF_MS + 100;
	assert_int_equal(kill(worker->pid, SIGKILL), 0);
	wait_for(&deaths, 1);
	assert_int_equal(worker->state, WORKER_ABSENT);
	assert_true(uv_is_active((uv_handle_t *)&worker->backoff));
	wait_for(&readies, 2);
}

static void one_that_cannot_be_started_is_started_later(void **state)
{
	(void)state;
	for (int what = 0; what < 2; what++) {
		fails_to_spawn = what == 0;
		fails_to_connect = what == 1;
		start(&(const struct supervisor_options){ .workers = 1 });
		struct worker *worker = supervisor_worker(supervisor, 0);
		assert_int_equal(worker->state, WORKER_ABSENT);
		assert_null(worker->channel);
		assert_null(worker->process);
		wait_for(&readies, 1);
		stop(5000);
	}
}

/* The ticks are set forward, as if they had passed. */
static void a_watch(void (*set_forward)(struct worker *worker))
{
	start(&(const struct supervisor_options){ .workers = 1 });
	wait_for(&readies, 1);
	struct worker *worker = supervisor_worker(supervisor, 0);
	worker->spawned_at = 0;
	set_forward(worker);
	wait_for(&deaths, 1);
	wait_for(&readies, 2);
	stop(5000);
}

static struct worker_request owed;

static void is_silent(struct worker *worker)
{
	assert_int_equal(kill(worker->pid, SIGSTOP), 0);
	/* A beat that was still on its way is counted by the next tick; none follows. */
	worker->silent_ticks = WORKER_HUNG_TICKS - 1;
	worker->heartbeat = counter_read(&slots_counters(worker_slots(worker))->worker.heartbeat);
}

/* Its copies of sockets stay open as long as it lives, so that a REMOVE is not waited for as long. */
static void is_silent_while_a_removal_waits(struct worker *worker)
{
	owed = (struct worker_request){ .reply = MESSAGE_DONE, .handler = on_gone, .is_removal = true };
	assert_int_equal(kill(worker->pid, SIGSTOP), 0);
	worker_expect(worker, &owed);
	worker->silent_ticks = WORKER_IMPATIENT_TICKS - 1;
	worker->heartbeat = counter_read(&slots_counters(worker_slots(worker))->worker.heartbeat);
}

static void owes_an_answer(struct worker *worker)
{
	owed = (struct worker_request){ .reply = MESSAGE_DONE, .handler = on_gone };
	worker_expect(worker, &owed);
	owed.ticks_left = 0;
}

static void never_becomes_ready(struct worker *worker)
{
	worker->state = WORKER_STARTING;
	worker->supervisor->ready_count--;
	worker->starting_ticks = WORKER_OWING_TICKS;
}

static void does_not_read(struct worker *worker)
{
	static char much[4 << 20];
	struct message_writer writer;
	assert_int_equal(kill(worker->pid, SIGSTOP), 0);
	message_writer_init(&writer);
	message_put_bytes(&writer, much, sizeof(much));
	worker_send(worker, MESSAGE_RESOLVED, &writer, NULL, 0);
	worker->sent = channel_sent(worker->channel);
	worker->deaf_ticks = WORKER_OWING_TICKS;
}

static void who_does_not_keep_up_is_replaced(void **state)
{
	void (*const all[])(struct worker * worker) = { is_silent, is_silent_while_a_removal_waits, owes_an_answer, never_becomes_ready,
		                                        does_not_read };
	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		a_watch(all[i]);
}

/* P9: nothing is waited for longer than the grace. */
static void one_that_does_not_end_is_ended(void **state)
{
	(void)state;
	start(&(const struct supervisor_options){ .workers = 2 });
	wait_for(&readies, 2);
	assert_int_equal(kill(supervisor_worker(supervisor, 1)->pid, SIGSTOP), 0);
	stop(50);
}

static void one_that_waits_for_its_start_is_not_waited_for(void **state)
{
	(void)state;
	fails_to_connect = true;
	start(&(const struct supervisor_options){ .workers = 1 });
	assert_int_equal(supervisor_worker(supervisor, 0)->state, WORKER_ABSENT);
	stop(5000);
}

static void until_gone(const struct worker *worker)
{
	for (int i = 0; i < TURNS_MOST && worker_has_process(worker); i++)
		uv_run(&loop, UV_RUN_ONCE);
	assert_false(worker_has_process(worker));
}

/* The successor starts beside it, in the spare place; it ends as it is told, and its place is the spare one. */
static void one_has_a_successor(void **state)
{
	(void)state;
	start(&(const struct supervisor_options){ .workers = 1 });
	wait_for(&readies, 1);
	struct worker *old = supervisor_worker(supervisor, 0), *next = supervisor_call_successor(supervisor);
	assert_ptr_equal(next, supervisor_worker(supervisor, 1));
	assert_int_equal(worker_duty(next), WORKER_JOINING);
	assert_null(supervisor_call_successor(supervisor));
	assert_false(supervisor_is_quiet(supervisor));
	wait_for(&readies, 2);
	assert_int_equal(worker_duty(next), WORKER_SERVING);
	worker_retire(old);
	assert_int_equal(supervisor_ready_count(supervisor), 1);
	worker_dismiss(old);
	assert_false(supervisor_is_quiet(supervisor));
	until_gone(old);
	worker_vacate(old);
	assert_int_equal(worker_duty(old), WORKER_SPARE);
	assert_int_equal(deaths, 0);
	assert_int_equal(supervisor_restarts(supervisor), 0);
	assert_int_equal(supervisor_ready_count(supervisor), 1);
	assert_ptr_equal(supervisor_call_successor(supervisor), old);
	wait_for(&readies, 3);
}

static void a_successor_that_ends_before_it_is_ready_is_not_started_again(void **state)
{
	(void)state;
	start(&(const struct supervisor_options){ .workers = 1 });
	wait_for(&readies, 1);
	struct worker *next = supervisor_call_successor(supervisor);
	worker_kill(next, "it is a test's");
	wait_for(&deaths, 1);
	assert_int_equal(worker_duty(next), WORKER_SPARE);
	assert_false(uv_is_active((uv_handle_t *)&next->backoff));
	fails_to_spawn = true;
	assert_null(supervisor_call_successor(supervisor));
	assert_int_equal(worker_duty(next), WORKER_SPARE);
	assert_non_null(supervisor_call_successor(supervisor));
}

/* Whoever has a successor is not started again when it dies. */
static void one_that_retires_and_dies_leaves_its_place(void **state)
{
	(void)state;
	start(&(const struct supervisor_options){ .workers = 1 });
	wait_for(&readies, 1);
	struct worker *old = supervisor_worker(supervisor, 0);
	assert_non_null(supervisor_call_successor(supervisor));
	wait_for(&readies, 2);
	worker_retire(old);
	assert_int_equal(kill(old->pid, SIGKILL), 0);
	wait_for(&deaths, 1);
	assert_false(worker_has_process(old));
	assert_int_equal(worker_duty(old), WORKER_RETIRING);
	assert_int_equal(supervisor_ready_count(supervisor), 1);
	assert_true(supervisor_is_quiet(supervisor));
	worker_vacate(old);
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	/* What is tested are deaths, which are logged. */
	log_start(LOG_ERROR, false, "control");
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(all_become_ready_and_end),
		TEST(options_are_handed_on),
		TEST(one_that_dies_is_replaced),
		TEST(one_that_dies_at_once_is_replaced_later),
		TEST(one_that_cannot_be_started_is_started_later),
		TEST(who_does_not_keep_up_is_replaced),
		TEST(one_that_does_not_end_is_ended),
		TEST(one_that_waits_for_its_start_is_not_waited_for),
		TEST(one_has_a_successor),
		TEST(a_successor_that_ends_before_it_is_ready_is_not_started_again),
		TEST(one_that_retires_and_dies_leaves_its_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
