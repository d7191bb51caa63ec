/* A whole service with a tunnels directory: what files make, and what a directory full of faults leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

static char folder[96];

static void write_text(const char *name, const char *text)
{
	char path[160], other[164];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	snprintf(other, sizeof(other), "%s~", path);
	FILE *file = fopen(other, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(rename(other, path), 0);
}

static void write_tunnel(const char *name, const char *address)
{
	char text[256];
	snprintf(text, sizeof(text), "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nAddress = %s\n", address);
	write_text(name, text);
}

/* The service again, with a directory of files. */
static void start_with_folder(void)
{
	bench_stop(&own_bench);
	snprintf(folder, sizeof(folder), "%s/files", own_bench.directory);
	(void)mkdir(folder, 0700);
	snprintf(own_bench.options.tunnels_dir, sizeof(own_bench.options.tunnels_dir), "%s", folder);
}

static void run(void)
{
	if (!bench_start(&own_bench))
		fail_msg("%s", own_bench.failure);
	bench_wait_ready(&own_bench);
}

static bool is_there(const char *id)
{
	struct snapshot *snapshot = service_find(own_bench.service, access_whole(), id);
	bool is = snapshot != NULL;
	snapshot_release(snapshot);
	return is;
}

static void wait_faults(size_t count)
{
	struct timespec pause = { .tv_nsec = 5000000 };
	for (int i = 0; i < 4000 && service_file_fault_count(own_bench.service) != count; i++)
		nanosleep(&pause, NULL);
	assert_int_equal(service_file_fault_count(own_bench.service), count);
}

static void wrong_files_do_not_keep_the_service_from_being_ready(void **state)
{
	(void)state;
	start_with_folder();
	write_tunnel("good.conf", "10.2.0.2");
	write_text("good.json", "{}");
	write_text("bad.conf", "nonsense");
	write_text("--.conf", "");
	run();
	assert_true(is_there("good"));
	wait_faults(3);
	json_t *faults = service_file_faults(own_bench.service, access_whole());
	assert_int_equal(json_array_size(faults), 3);
	json_decref(faults);
	write_tunnel("bad.conf", "10.2.0.3");
	wait_faults(2);
	assert_true(is_there("bad"));
}

static void a_file_is_applied_when_the_tunnel_comes_that_it_goes_through(void **state)
{
	(void)state;
	start_with_folder();
	write_text("in.conf", "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nAddress = 10.2.0.2\n# warren: via = out\n");
	write_text("deep.conf", "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nAddress = 10.2.0.3\n# warren: via = in\n");
	run();
	wait_faults(2);
	assert_int_equal(bench_code(&own_bench, OPERATION_PUT, "other", bench_document(NULL)), PROBLEM_NONE);
	assert_false(is_there("in"));
	assert_int_equal(bench_code(&own_bench, OPERATION_PUT, "out", bench_document(NULL)), PROBLEM_NONE);
	wait_faults(0);
	assert_true(is_there("in") && is_there("deep"));
}

static void a_wrong_file_is_told_at_its_tunnel_until_it_is_right(void **state)
{
	char detail[STATUS_SOURCE_FAULT_SIZE];
	int64_t at;
	(void)state;
	start_with_folder();
	write_tunnel("a.conf", "10.2.0.2");
	run();
	write_text("a.conf", "nonsense");
	wait_faults(1);
	struct snapshot *snapshot = bench_find(&own_bench, "a");
	assert_true(snapshot_source_fault(snapshot, detail, &at));
	assert_non_null(strstr(detail, "/line/1"));
	snapshot_release(snapshot);
	write_tunnel("a.conf", "10.2.0.2");
	wait_faults(0);
	snapshot = bench_find(&own_bench, "a");
	assert_false(snapshot_source_fault(snapshot, detail, &at));
	assert_int_equal(snapshot->generation, 1);
	snapshot_release(snapshot);
}

static void two_files_for_one_tunnel_are_one_fault(void **state)
{
	(void)state;
	start_with_folder();
	write_tunnel("a.conf", "10.2.0.2");
	write_text("a.json", "{\"spec\":{\"interface\":{\"generate_private_key\":true,\"addresses\":[\"10.2.0.9\"]}}}");
	run();
	wait_faults(1);
	struct snapshot *snapshot = bench_find(&own_bench, "a");
	assert_int_equal(snapshot->spec.addresses[0].bytes[3], 2);
	snapshot_release(snapshot);
}

static void a_key_that_is_generated_stays(void **state)
{
	(void)state;
	start_with_folder();
	write_text("a.json", "{\"spec\":{\"interface\":{\"generate_private_key\":true,\"addresses\":[\"10.2.0.2\"]}}}");
	run();
	struct snapshot *snapshot = bench_find(&own_bench, "a");
	const struct wireguard_key key = snapshot->public_key;
	const uint64_t revision = snapshot->revision;
	/* Its counters end with the service. */
	snapshot_release(snapshot);
	bench_stop(&own_bench);
	run();
	snapshot = bench_find(&own_bench, "a");
	assert_memory_equal(&snapshot->public_key, &key, sizeof(key));
	assert_int_equal(snapshot->revision, revision);
	snapshot_release(snapshot);
}

static void the_service_ends_while_files_are_read(void **state)
{
	(void)state;
	start_with_folder();
	for (unsigned i = 0; i < 200; i++) {
		char name[32];
		snprintf(name, sizeof(name), "t%u.conf", i);
		write_tunnel(name, "10.2.0.2");
	}
	assert_true(bench_start(&own_bench));
	/* The first of them is there: the others are being read. */
	struct timespec pause = { .tv_nsec = 1000000 };
	while (!is_there("t0"))
		nanosleep(&pause, NULL);
	bench_stop(&own_bench);
	run();
	assert_true(is_there("t199"));
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	bench_log_level = LOG_ERROR;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(wrong_files_do_not_keep_the_service_from_being_ready, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_file_is_applied_when_the_tunnel_comes_that_it_goes_through, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_wrong_file_is_told_at_its_tunnel_until_it_is_right, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(two_files_for_one_tunnel_are_one_fault, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_key_that_is_generated_stays, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(the_service_ends_while_files_are_read, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
