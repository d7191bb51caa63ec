/* BINDING: sockets and slots are there before a worker hears of the change, and a fault gives all of them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/store/scope.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/quoted_json.h"

#define INTERFACE "'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}"

static int listen_somewhere(unsigned *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(descriptor, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(descriptor, 1), 0);
	assert_int_equal(getsockname(descriptor, (struct sockaddr *)&address, &length), 0);
	*port = ntohs(address.sin_port);
	return descriptor;
}

static const char *listening(unsigned first, unsigned second)
{
	static char text[512];
	snprintf(text, sizeof(text), "{'spec':{" INTERFACE ",'proxy':{'listen':['127.0.0.1:%u','127.0.0.1:%u']}}}", first, second);
	return text;
}

/* S5 */
static void every_port_that_is_taken_is_told(void **state)
{
	unsigned first, second;
	(void)state;
	int one = listen_somewhere(&first), other = listen_somewhere(&second);
	struct mutation *mutation = bench_mutations_make(OPERATION_CREATE, "a", listening(first, second));
	bench_mutations_start(mutation);
	assert_int_equal(changes.answered, 1);
	const struct problem *problem = &mutation->operations[0].problem;
	assert_int_equal(problem->code, PROBLEM_LISTENER_IN_USE);
	assert_int_equal(problem->fault_count, 2);
	assert_string_equal(problem->faults[0].pointer, "/spec/proxy/listen/0");
	assert_string_equal(problem->faults[1].pointer, "/spec/proxy/listen/1");
	assert_int_equal(bench_worker_next(), 0);
	assert_int_equal(slots_tunnels_placed(bench.worker.slots), 0);
	mutation_free(mutation);
	close(one);
	close(other);
	/* The same request works when they are free. */
	mutation = bench_mutations_do(OPERATION_CREATE, "a", listening(first, second));
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
}

static struct mutation *make_two(bool is_atomic, const char *first, const char *second)
{
	const char *const json[] = { first, second };
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 2);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->atomic = is_atomic;
	for (size_t i = 0; i < 2; i++) {
		mutation->operations[i].kind = OPERATION_PUT;
		snprintf(mutation->operations[i].id, sizeof(mutation->operations[i].id), "%c", (char)('a' + i));
		mutation->operations[i].document = quoted_json(json[i]);
	}
	return mutation;
}

/* Whichever comes first: all that is released is known before anything is opened. */
static void a_port_goes_from_one_tunnel_to_another(void **state)
{
	/* Below those that the kernel gives for port 0. */
	const unsigned port = 10000 + (unsigned)getpid() * 4 % 20000;
	char text_a[512], text_b[512];
	(void)state;
	mutation_free(bench_mutations_do(OPERATION_PUT, "a", listening(port, port + 2)));
	for (unsigned i = 0; i < 4; i++) {
		snprintf(text_a, sizeof(text_a), "%s", listening(port + 1 - i % 2, port + 2));
		snprintf(text_b, sizeof(text_b), "%s", listening(port + i % 2, port + 3));
		struct mutation *mutation = make_two(true, text_a, text_b);
		bench_mutations_start(mutation);
		bench_mutations_finish();
		assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
		mutation_free(mutation);
	}
}

/* Its peers know handshakes of another node, whose clock may be ahead. */
static void a_new_tunnel_takes_the_floor_that_it_is_given(void **state)
{
	static const uint8_t floor[12] = { 0x40, 0, 0, 0, 0x65, 0x53, 0xf1, 0x0a, 0x1d, 0xcd, 0x65, 0x00 }; /* 1700000000.5 s, and ten */
	struct mutation *mutation = bench_mutations_make(OPERATION_PUT, "a", listening(0, 0));
	(void)state;
	mutation->operations[0].ts_floor = 1700000000500;
	bench_mutations_start(mutation);
	bench_mutations_finish();
	assert_memory_equal(registry_entry(bench.registry, "a")->timestamp_floor, floor, sizeof(floor));
	entry_raise_floor(registry_entry(bench.registry, "a"), 1600000000000);
	assert_memory_equal(registry_entry(bench.registry, "a")->timestamp_floor, floor, sizeof(floor));
	mutation_free(mutation);
}

static void the_blame_is_the_tunnels_whose_port_is_taken(void **state)
{
	unsigned taken;
	char text_a[512], text_b[512];
	(void)state;
	int descriptor = listen_somewhere(&taken);
	snprintf(text_a, sizeof(text_a), "%s", listening(0, 0));
	snprintf(text_b, sizeof(text_b), "%s", listening(0, taken));
	struct mutation *mutation = make_two(true, text_a, text_b);
	bench_mutations_start(mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_LISTENER_IN_USE);
	assert_int_equal(mutation->failed_operation, 1);
	assert_int_equal(registry_count(bench.registry), 0);
	mutation_free(mutation);
	close(descriptor);
}

static void a_dry_run_takes_no_place(void **state)
{
	(void)state;
	struct mutation *mutation = bench_mutations_make(OPERATION_CREATE, "a", listening(0, 0));
	mutation->dry_run = true;
	bench_mutations_start(mutation);
	assert_int_equal(changes.answered, 1);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	assert_int_equal(slots_tunnels_placed(bench.worker.slots), 0);
	assert_int_equal(registry_count(bench.registry), 0);
	assert_int_equal(bench_worker_next(), 0);
	mutation_free(mutation);
}

/* P6 */
static void a_worker_that_is_full_takes_no_more(void **state)
{
	static struct slot *taken[COUNTERS_TUNNELS];
	(void)state;
	for (size_t i = 0; i < COUNTERS_TUNNELS; i++)
		taken[i] = slot_take_tunnel(bench.worker.slots);
	struct mutation *mutation = bench_mutations_make(OPERATION_CREATE, "a", listening(0, 0));
	bench_mutations_start(mutation);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_OUT_OF_RESOURCES);
	assert_string_equal(mutation->operations[0].problem.detail, "The limit of tunnels or peers is reached.");
	mutation_free(mutation);
	slot_leave(taken[0]);
	mutation = bench_mutations_do(OPERATION_CREATE, "a", listening(0, 0));
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
	for (size_t i = 1; i < COUNTERS_TUNNELS; i++)
		slot_leave(taken[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_port_that_is_taken_is_told),
		TEST(a_port_goes_from_one_tunnel_to_another),
		TEST(a_new_tunnel_takes_the_floor_that_it_is_given),
		TEST(the_blame_is_the_tunnels_whose_port_is_taken),
		TEST(a_dry_run_takes_no_place),
		TEST(a_worker_that_is_full_takes_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
