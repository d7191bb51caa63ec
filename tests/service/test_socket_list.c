/* The sockets of a tunnel: which it wants, which stay when it changes, and what is said when one cannot be had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "service/socket/socket_list.h"

static const struct socket_roots no_roots = { .count = 0 };
static uint32_t next_id;
static struct problem problem;

static int start(void **state)
{
	(void)state;
	next_id = 0;
	problem_init(&problem);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	problem_clear(&problem);
	return 0;
}

/* A spec that listens at these places, with an inbound forward before an outbound one. */
static struct spec spec_of(const char *const *places, size_t count, const char *forward)
{
	struct spec spec;
	spec_init(&spec);
	spec.enabled = true;
	spec.listen = calloc(count + 1, sizeof(*spec.listen));
	for (; spec.listen_count < count; spec.listen_count++)
		assert_true(place_parse(places[spec.listen_count], &spec.listen[spec.listen_count]));
	if (forward == NULL)
		return spec;
	spec.forwards = calloc(2, sizeof(*spec.forwards));
	spec.forward_count = 2;
	spec.forwards[0] = (struct spec_forward){ .name = strdup("in"), .direction = SPEC_INBOUND };
	spec.forwards[1] = (struct spec_forward){ .name = strdup("out"), .direction = SPEC_OUTBOUND, .transport = SPEC_UDP };
	assert_true(place_parse("10.0.0.1:80", &spec.forwards[0].listen) && place_parse(forward, &spec.forwards[1].listen));
	return spec;
}

static bool open_all(struct socket_list *list, const struct spec *spec, const char *ports, bool insists, struct socket_pool *pool)
{
	struct socket_pool none = { .count = 0 };
	json_t *json = ports == NULL ? NULL : json_loads(ports, 0, NULL);
	struct socket_request request = {
		.spec = spec, .roots = &no_roots, .ports = json, .insists = insists, .next_id = &next_id, .pointer = "/tunnels/2"
	};
	bool is_open = socket_list_open(list, &request, pool == NULL ? &none : pool, &problem);
	json_decref(json);
	socket_pool_clear(&none);
	return is_open;
}

static void what_a_spec_wants(void **state)
{
	static const char *const places[] = { "127.0.0.1:0", "127.0.0.2:0" };
	struct spec spec = spec_of(places, 2, "127.0.0.1:0");
	struct socket_list list;
	(void)state;
	assert_true(socket_list_want(&list, &spec));
	assert_int_equal(list.count, 4);
	assert_int_equal(list.list[0].kind, MESSAGE_SOCKET_UDP);
	assert_int_equal(list.list[2].kind, MESSAGE_SOCKET_PROXY);
	assert_int_equal(list.list[2].index, 1);
	/* An inbound forward has its port in the tunnel. */
	assert_int_equal(list.list[3].kind, MESSAGE_SOCKET_FORWARD);
	assert_int_equal(list.list[3].index, 1);
	socket_list_clear(&list);
	spec.enabled = false;
	assert_true(socket_list_want(&list, &spec));
	assert_int_equal(list.count, 3);
	assert_null(socket_list_udp(&list));
	assert_int_equal(socket_list_udp_port(&list), 0);
	socket_list_clear(&list);
	spec_clear(&spec);
}

/* P5: with the ports that were written down, all come back as they were. */
/* P1: there is no socket of the host through which its datagrams could leave. */
static void a_tunnel_inside_another_has_no_udp_socket(void **state)
{
	char via[] = "outer";
	struct spec spec = { .enabled = true, .via = via };
	struct socket_list list;
	(void)state;
	assert_true(socket_list_want(&list, &spec));
	assert_int_equal(list.count, 0);
	assert_null(socket_list_udp(&list));
	assert_int_equal(socket_list_udp_port(&list), 0);
	socket_list_clear(&list);
}

static void chosen_ports_are_written_down_and_come_back(void **state)
{
	static const char *const places[] = { "127.0.0.1:0", "127.0.0.1:0" };
	struct spec spec = spec_of(places, 2, "127.0.0.1:0");
	struct socket_list list, again;
	char **listen, expected[160];
	size_t count;
	(void)state;
	assert_true(socket_list_want(&list, &spec) && open_all(&list, &spec, NULL, false, NULL));
	uint16_t ports_before[4];
	for (size_t i = 0; i < 4; i++) {
		assert_true(list.list[i].is_fresh);
		assert_int_equal(list.list[i].id, i + 1);
		ports_before[i] = host_socket_port(list.list[i].socket);
	}
	char *ports = socket_list_ports(&list);
	snprintf(expected, sizeof(expected), "{\"udp\":%u,\"listen\":[%u,%u],\"forwards\":[0,%u]}", ports_before[0], ports_before[1], ports_before[2],
	         ports_before[3]);
	assert_string_equal(ports, expected);
	assert_true(socket_list_format(&list, &listen, &count));
	assert_int_equal(count, 2);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u", ports_before[2]);
	assert_string_equal(listen[1], expected);
	free(listen[0]);
	free(listen[1]);
	free(listen);
	/* While they are in use: a fault for each, if it insists. */
	assert_true(socket_list_want(&again, &spec));
	assert_false(open_all(&again, &spec, ports, true, NULL));
	assert_int_equal(problem.code, PROBLEM_LISTENER_IN_USE);
	assert_int_equal(problem.fault_count, 4);
	assert_string_equal(problem.faults[0].pointer, "/tunnels/2/spec/interface/listen_port");
	assert_string_equal(problem.faults[2].pointer, "/tunnels/2/spec/proxy/listen/1");
	assert_string_equal(problem.faults[3].pointer, "/tunnels/2/spec/forwards/1/listen");
	problem_clear(&problem);
	socket_list_clear(&again);
	socket_list_clear(&list);
	assert_true(socket_list_want(&again, &spec) && open_all(&again, &spec, ports, true, NULL));
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(host_socket_port(again.list[i].socket), ports_before[i]);
	socket_list_clear(&again);
	free(ports);
	spec_clear(&spec);
}

/* A place that names its port gets the socket that has it, though one with any port comes first; nothing is served twice. */
static void what_stays_keeps_its_socket(void **state)
{
	static const char *const two[] = { "127.0.0.1:0", "127.0.0.1:0" };
	struct spec spec = spec_of(two, 2, NULL), next;
	struct socket_list list, kept;
	char exact[32];
	(void)state;
	assert_true(socket_list_want(&list, &spec) && open_all(&list, &spec, NULL, false, NULL));
	snprintf(exact, sizeof(exact), "127.0.0.1:%u", host_socket_port(list.list[1].socket));
	const char *const three[] = { "127.0.0.1:0", exact, "127.0.0.1:0" };
	next = spec_of(three, 3, NULL);
	assert_true(socket_list_want(&kept, &next));
	socket_list_keep(&kept, &next, &list, false);
	assert_ptr_equal(kept.list[0].socket, list.list[0].socket);
	assert_ptr_equal(kept.list[2].socket, list.list[1].socket);
	assert_ptr_equal(kept.list[1].socket, list.list[2].socket);
	assert_null(kept.list[3].socket);
	assert_int_equal(kept.list[2].id, list.list[1].id);
	assert_true(open_all(&kept, &next, NULL, false, NULL));
	assert_true(kept.list[3].is_fresh && !kept.list[1].is_fresh && !kept.list[0].is_fresh);
	assert_int_equal(kept.list[3].id, 4);
	assert_true(socket_list_has(&kept, list.list[0].socket));
	socket_list_clear(&kept);
	/* Another port for WireGuard is another socket. */
	next.listen_port = (uint16_t)(host_socket_port(list.list[0].socket) ^ 1);
	assert_true(socket_list_want(&kept, &next));
	socket_list_keep(&kept, &next, &list, false);
	assert_null(kept.list[0].socket);
	assert_false(socket_list_has(&kept, list.list[0].socket));
	socket_list_clear(&kept);
	socket_list_clear(&list);
	spec_clear(&spec);
	spec_clear(&next);
}

static void pool_all(struct socket_pool *pool, const struct socket_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		assert_true(socket_pool_add(pool, list->list[i].socket));
}

/* Moves a listener to the wider address, whose port a stranger may have. */
static bool widen(const struct spec *spec)
{
	struct socket_list list, wider;
	struct socket_pool pool = { .count = 0 };
	char exact[32];
	assert_true(socket_list_want(&list, spec) && open_all(&list, spec, NULL, false, NULL));
	snprintf(exact, sizeof(exact), "0.0.0.0:%u", host_socket_port(list.list[1].socket));
	const char *const wide[] = { exact };
	struct spec next = spec_of(wide, 1, NULL);
	next.enabled = false;
	assert_true(socket_list_want(&wider, &next));
	/* Of somebody else it is in use. */
	assert_false(open_all(&wider, &next, NULL, false, NULL));
	assert_int_equal(problem.code, PROBLEM_LISTENER_IN_USE);
	problem_clear(&problem);
	pool_all(&pool, &list);
	bool is_open = open_all(&wider, &next, NULL, false, &pool);
	problem_clear(&problem);
	assert_int_equal(pool.shared_count, 1);
	assert_true(list.list[1].socket->is_shared);
	socket_pool_clear(&pool);
	socket_list_clear(&wider);
	socket_list_clear(&list);
	spec_clear(&next);
	return is_open;
}

/* It makes way and serves meanwhile. */
static void what_is_given_up_makes_way(void **state)
{
	static const char *const narrow[] = { "127.0.0.1:0" };
	struct spec spec = spec_of(narrow, 1, NULL);
	bool is_open = false;
	(void)state;
	for (int i = 0; i < 20 && !is_open; i++)
		is_open = widen(&spec);
	assert_true(is_open);
	spec_clear(&spec);
}

/* A port that one tunnel gives up and another names is handed over; any port will do is no reason to take another's. */
static void a_named_port_is_handed_over(void **state)
{
	static const char *const any[] = { "127.0.0.1:0" };
	struct spec spec = spec_of(any, 1, NULL), next;
	struct socket_list list, other;
	struct socket_pool pool = { .count = 0 };
	char exact[32];
	(void)state;
	assert_true(socket_list_want(&list, &spec) && open_all(&list, &spec, NULL, false, NULL));
	pool_all(&pool, &list);
	assert_true(socket_list_want(&other, &spec) && open_all(&other, &spec, NULL, false, &pool));
	assert_ptr_not_equal(other.list[0].socket, list.list[0].socket);
	assert_ptr_not_equal(other.list[1].socket, list.list[1].socket);
	socket_list_clear(&other);
	snprintf(exact, sizeof(exact), "127.0.0.1:%u", host_socket_port(list.list[1].socket));
	const char *const named[] = { exact };
	next = spec_of(named, 1, NULL);
	next.listen_port = host_socket_port(list.list[0].socket);
	assert_true(socket_list_want(&other, &next) && open_all(&other, &next, NULL, false, &pool));
	assert_ptr_equal(other.list[0].socket, list.list[0].socket);
	assert_ptr_equal(other.list[1].socket, list.list[1].socket);
	/* New to the tunnel's worker, and handed over once. */
	assert_true(other.list[1].is_fresh);
	assert_null(pool.list[1]);
	socket_list_clear(&other);
	socket_pool_clear(&pool);
	socket_list_clear(&list);
	spec_clear(&spec);
	spec_clear(&next);
}

/* Two places of the spec cannot be bound, and nothing else is wrong with it. */
static void refuse(const struct spec *spec, const char *first, const char *second)
{
	struct socket_list list;
	assert_true(socket_list_want(&list, spec));
	assert_false(open_all(&list, spec, NULL, false, NULL));
	assert_int_equal(problem.code, PROBLEM_VALIDATION_FAILED);
	assert_int_equal(problem.fault_count, 2);
	assert_string_equal(problem.faults[0].pointer, first);
	assert_string_equal(problem.faults[0].code, "cannot_bind");
	assert_string_equal(problem.faults[1].pointer, second);
	socket_list_clear(&list);
}

static void what_cannot_be_bound_is_a_fault_of_its_place(void **state)
{
	static const char *const places[] = { "127.0.0.1:0", "192.0.2.1:0", "unix:/tmp/x.sock" };
	struct spec spec = spec_of(places, 3, NULL);
	(void)state;
	refuse(&spec, "/tunnels/2/spec/proxy/listen/1", "/tunnels/2/spec/proxy/listen/2");
	spec_clear(&spec);
}

/* What is written in the store is no port: then any will do. */
static void ports_that_are_none_are_not_taken(void **state)
{
	static const char *const places[] = { "127.0.0.1:0" }, *const ports[] = { "{}", "{\"udp\":-1,\"listen\":[65536]}",
		                                                                  "{\"udp\":\"x\",\"listen\":7}", "[]" };
	struct spec spec = spec_of(places, 1, NULL);
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct socket_list list;
		assert_true(socket_list_want(&list, &spec));
		assert_true(open_all(&list, &spec, ports[i], true, NULL));
		assert_int_not_equal(socket_list_udp_port(&list), 65535); /* -1, cut to a port */
		socket_list_clear(&list);
	}
	spec_clear(&spec);
}

/* Below those that the kernel gives for port 0, another one at each call. */
static unsigned some_port(void)
{
	static unsigned count;
	return 10000 + ((unsigned)getpid() * 16 + count++) % 20000;
}

/* IPv4's port is the place's that names it, wherever it stands; otherwise [::] has both. */
static void the_families_share_a_port(void **state)
{
	static const struct {
		const char *first, *second, *forward;
	} cases[] = { { "[::]", "0.0.0.0", NULL }, { "0.0.0.0", "[::]", NULL }, { "[::]", "127.0.0.1", NULL }, { "[::]", "[::1]", "127.0.0.1" } };
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned port = some_port();
		char first[32], second[32], forward[32];
		snprintf(first, sizeof(first), "%s:%u", cases[i].first, port);
		snprintf(second, sizeof(second), "%s:%u", cases[i].second, cases[i].forward == NULL ? port : some_port());
		snprintf(forward, sizeof(forward), "%s:%u", cases[i].forward == NULL ? "" : cases[i].forward, port);
		const char *const places[] = { first, second };
		struct spec spec = spec_of(places, 2, cases[i].forward == NULL ? NULL : forward);
		struct socket_list list, again;
		assert_true(socket_list_want(&list, &spec));
		if (!open_all(&list, &spec, NULL, false, NULL))
			fail_msg("%s and %s: %s", first, second, problem.fault_count > 0 ? problem.faults[0].detail : problem.detail);
		/* And all stay where they are. */
		assert_true(socket_list_want(&again, &spec));
		socket_list_keep(&again, &spec, &list, false);
		for (size_t k = 0; k < again.count; k++)
			assert_ptr_equal(again.list[k].socket, list.list[k].socket);
		socket_list_clear(&again);
		socket_list_clear(&list);
		spec_clear(&spec);
	}
}

/* One without IPv4 does not serve a spec that leaves IPv4 to nobody else. */
static void a_family_that_is_free_again_is_taken(void **state)
{
	char both[32], v4[32];
	(void)state;
	unsigned port = some_port();
	snprintf(both, sizeof(both), "[::]:%u", port);
	snprintf(v4, sizeof(v4), "0.0.0.0:%u", port);
	const char *const places[] = { both, v4 };
	struct spec two = spec_of(places, 2, NULL), one = spec_of(places, 1, NULL);
	struct socket_list list, after;
	assert_true(socket_list_want(&list, &two));
	assert_true(open_all(&list, &two, NULL, false, NULL));
	assert_true(socket_list_want(&after, &one));
	socket_list_keep(&after, &one, &list, false);
	assert_null(after.list[after.count - 1].socket);
	socket_list_clear(&after);
	socket_list_clear(&list);
	spec_clear(&two);
	spec_clear(&one);
}

static void descriptors_that_are_missing_are_told(void **state)
{
	static const char *const places[] = { "127.0.0.1:0" };
	struct spec spec = spec_of(places, 1, NULL);
	struct socket_list list;
	struct rlimit limit, none;
	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_true(socket_list_want(&list, &spec));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_false(open_all(&list, &spec, NULL, false, NULL));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(problem.code, PROBLEM_OUT_OF_RESOURCES);
	socket_list_clear(&list);
	spec_clear(&spec);
}

/* An address that is not this host's is no conflict. */
static void an_address_of_another_host_cannot_be_bound(void **state)
{
	static const char *const places[] = { "192.0.2.1:0" };
	struct spec spec = spec_of(places, 1, "192.0.2.1:0");
	(void)state;
	refuse(&spec, "/tunnels/2/spec/proxy/listen/0", "/tunnels/2/spec/forwards/1/listen");
	spec_clear(&spec);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(what_a_spec_wants),
		TEST(a_tunnel_inside_another_has_no_udp_socket),
		TEST(chosen_ports_are_written_down_and_come_back),
		TEST(what_stays_keeps_its_socket),
		TEST(what_is_given_up_makes_way),
		TEST(a_named_port_is_handed_over),
		TEST(what_cannot_be_bound_is_a_fault_of_its_place),
		TEST(ports_that_are_none_are_not_taken),
		TEST(the_families_share_a_port),
		TEST(a_family_that_is_free_again_is_taken),
		TEST(descriptors_that_are_missing_are_told),
		TEST(an_address_of_another_host_cannot_be_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
