/* The service as a whole: its start, whatever it lacks, its options and its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/log.h"
#include "service/service.h"
#include "tests/descriptors.h"
#include "tests/failing_heap.h"
#include "tests/service/fake_worker.h"
#include "tests/service/quoted_json.h"

static char directory[64], failure[512];

static int set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "%s/warren-service-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	return mkdtemp(directory) == NULL;
}

static int tear_down(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static struct service_options options_of(unsigned workers)
{
	struct service_options options = { .workers = workers };
	snprintf(options.state_dir, sizeof(options.state_dir), "%s", directory);
	return options;
}

/* Runs it to its end in this thread. */
static void end(struct service *service)
{
	service_stop(service);
	service_run(service);
	service_free(service);
}

static struct service *owned;
static _Atomic unsigned ready, alive, confined;

/* Ends the service from its own loop, once it is ready. */
static void on_ready(void)
{
	ready++;
	service_stop(owned);
}

static void on_alive(void)
{
	alive++;
}

static void confine(void *owner)
{
	unsigned *order = owner;
	/* The state directory is there, and nothing is in it yet. */
	struct stat info;
	char path[128];
	assert_int_equal(stat(directory, &info), 0);
	snprintf(path, sizeof(path), "%s/state.db", directory);
	assert_int_not_equal(stat(path, &info), 0);
	*order = ++confined;
}

static void who_wants_to_know_is_told(void **state)
{
	unsigned order = 0;
	char allowed[] = "/tmp";
	char *list[] = { allowed, allowed };
	(void)state;
	ready = alive = confined = 0;
	struct service_options options = options_of(2);
	options.announce_ready = on_ready;
	options.announce_alive = on_alive;
	options.confine = confine;
	options.confine_owner = &order;
	options.allow_socket = list;
	options.allow_socket_count = 2;
	owned = service_create(&options, failure);
	assert_non_null(owned);
	assert_int_equal(order, 1);
	assert_false(service_is_ready(owned));
	service_run(owned);
	assert_int_equal(ready, 1);
	assert_true(alive > 0);
	assert_int_equal(confined, 1);
	assert_true(service_has_process(owned, getpid()));
	assert_false(service_has_process(owned, 1));
	service_free(owned);
}

static void there_is_a_worker_for_each_processor(void **state)
{
	struct service_worker_stats stats;
	(void)state;
	struct service_options options = options_of(0);
	struct service *service = service_create(&options, failure);
	assert_non_null(service);
	service_worker_stats(service, &stats);
	assert_int_equal(stats.workers, sysconf(_SC_NPROCESSORS_ONLN));
	assert_int_equal(stats.restarts, 0);
	end(service);
}

static void a_state_directory_of_another_is_refused(void **state)
{
	(void)state;
	struct service_options options = options_of(1);
	struct service *service = service_create(&options, failure);
	assert_non_null(service);
	assert_null(service_create(&options, failure));
	assert_non_null(strstr(failure, "another warrend"));
	end(service);
}

static void a_state_that_is_damaged_is_refused(void **state)
{
	char path[128];
	(void)state;
	snprintf(path, sizeof(path), "%s/state.db", directory);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	assert_true(fputs("this is no database, but as long as one would be: ................................................", file) >= 0);
	assert_int_equal(fclose(file), 0);
	struct service_options options = options_of(1);
	assert_null(service_create(&options, failure));
	assert_non_null(strstr(failure, "state.db"));
}

static void on_done(struct mutation *mutation, void *owner)
{
	(void)owner;
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_NONE);
	mutation_free(mutation);
	service_stop(owned);
}

/* A tunnel that the starts below find. */
static void store_a_tunnel(void)
{
	struct service_options options = options_of(1);
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	owned = service_create(&options, failure);
	assert_non_null(owned);
	mutation->operations[0].kind = OPERATION_CREATE;
	snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "a");
	mutation->operations[0].document =
	    quoted_json("{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}");
	mutation->done = on_done;
	service_submit(owned, access_whole(), mutation);
	service_run(owned);
	service_free(owned);
}

static void what_cannot_be_read_or_written_is_refused(void **state)
{
	(void)state;
	struct service_options options = options_of(1);
	snprintf(options.tunnels_dir, sizeof(options.tunnels_dir), "%s/none", directory);
	assert_null(service_create(&options, failure));
	assert_non_null(strstr(failure, "--tunnels-dir"));
	options.tunnels_dir[0] = '\0';
	snprintf(options.access_log, sizeof(options.access_log), "%s/none/access.log", directory);
	assert_null(service_create(&options, failure));
	assert_non_null(strstr(failure, "access.log"));
}

static _Atomic unsigned reloads;

static void take_options(void *owner, struct problem *problem, json_t *reloaded, json_t *restart_needed)
{
	(void)owner, (void)restart_needed;
	json_array_append_new(reloaded, json_string("tls"));
	if (++reloads == 2)
		problem_add(problem, "/tls", "invalid_file", "Wrong.");
	if (reloads == 2)
		service_stop(owned);
	else
		service_reload(owned);
}

static void ask_for_everything_again(void)
{
	service_reopen_logs(owned);
	service_reload(owned);
}

static void what_is_asked_by_signals_is_done(void **state)
{
	(void)state;
	reloads = 0;
	struct service_options options = options_of(1);
	snprintf(options.access_log, sizeof(options.access_log), "%s/access.log", directory);
	options.announce_ready = ask_for_everything_again;
	options.reload = take_options;
	owned = service_create(&options, failure);
	assert_non_null(owned);
	service_run(owned);
	assert_int_equal(reloads, 2);
	service_free(owned);
}

/* Its memory goes with the program that it was; here it stays, and so do its descriptors. */
static struct service *left_behind;

static void upgrade_it(void)
{
	service_upgrade(left_behind);
}

static void never_given_back(void *owner, const char *why)
{
	(void)owner;
	fail_msg("%s", why);
}

/* As daemon/succession.c does it, but for the program in between. */
static void the_next_program_takes_over_what_runs(void **state)
{
	static const char *const check[] = { "/bin/true", NULL };
	struct handover handover, next_handover;
	struct service_worker_usage usage, next_usage;
	(void)state;
	store_a_tunnel();
	struct service_options options = options_of(1);
	options.check = check;
	options.announce_ready = upgrade_it;
	left_behind = service_create(&options, failure);
	assert_non_null(left_behind);
	assert_true(service_run(left_behind));
	/* The first one cannot be started: everything goes on. */
	handover_begin(&handover);
	service_save(left_behind, &handover);
	handover_end(&handover);
	service_unsave(left_behind, "why");
	service_upgrade(left_behind);
	assert_true(service_run(left_behind));
	service_worker_usage(left_behind, 0, &usage);
	handover_begin(&handover);
	service_save(left_behind, &handover);
	int memory = handover_seal(&handover);
	assert_true(memory >= 0);
	assert_true(handover_open(&next_handover, memory, failure));
	options.workers = 4; /* as many as run */
	options.announce_ready = on_ready;
	options.handover = &next_handover;
	options.give_back = never_given_back;
	owned = service_create(&options, failure);
	if (owned == NULL)
		fail_msg("%s", failure);
	assert_true(service_is_ready(owned));
	service_worker_usage(owned, 0, &next_usage);
	assert_int_equal(next_usage.pid, usage.pid);
	struct snapshot *snapshot = service_find(owned, access_whole(), "a");
	assert_non_null(snapshot);
	assert_null(snapshot->failure);
	assert_int_not_equal(snapshot->udp_port, 0);
	snapshot_release(snapshot);
	assert_false(service_run(owned));
	service_free(owned);
	handover_end(&next_handover);
	handover.memory = -1; /* closed with the other */
	handover_end(&handover);
}

/* F1: a start that lacks memory says so and leaves nothing behind, or it is a whole one. */
static void every_allocation_of_the_start_fails_once(void **state)
{
	(void)state;
	store_a_tunnel();
	size_t before = descriptors_count();
	bool is_over = false;
	unsigned refused = 0;
	for (unsigned number = 0; !is_over; number++) {
		struct service_options options = options_of(1);
		char allowed[] = "/tmp", *list[] = { allowed };
		options.allow_socket = list;
		options.allow_socket_count = 1;
		failure[0] = '\0';
		heap_fails_once_after(number);
		struct service *service = service_create(&options, failure);
		is_over = heap_refused() == 0;
		heap_works();
		assert_true((service == NULL) == (failure[0] != '\0'));
		refused += service == NULL;
		if (service != NULL) {
			struct snapshot *snapshot = service_find(service, access_whole(), "a");
			assert_non_null(snapshot);
			assert_null(snapshot->failure);
			snapshot_release(snapshot);
			end(service);
		}
		assert_int_equal(descriptors_count(), before);
	}
	assert_true(refused > 20);
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	log_start(LOG_ERROR, false, "control");
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(who_wants_to_know_is_told),
		TEST(there_is_a_worker_for_each_processor),
		TEST(a_state_directory_of_another_is_refused),
		TEST(a_state_that_is_damaged_is_refused),
		TEST(what_cannot_be_read_or_written_is_refused),
		TEST(what_is_asked_by_signals_is_done),
		TEST(every_allocation_of_the_start_fails_once),
		/* The last, since what it leaves is never closed. */
		TEST(the_next_program_takes_over_what_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
