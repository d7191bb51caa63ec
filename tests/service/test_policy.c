/* What the operator allows, and what of it needs an admin: a table of specs (A2, P1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "service/change/policy.h"
#include "service/socket/socket_path.h"
#include "service/store/scope.h"
#include "service/worker/protection.h"

static struct lock_queue *locks;
static struct registry *registry;
static struct protection *protection;
static char *allowed[] = { (char[]){ "/tmp" } };
static const struct socket_roots roots = { .list = allowed, .count = 1 };

static int set_up(void **state)
{
	struct sockaddr_in api = { .sin_family = AF_INET, .sin_port = htons(8470), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	(void)state;
	locks = lock_queue_create();
	registry = registry_create(locks);
	protection = protection_create(registry);
	protection_add_address(protection, (struct sockaddr *)&api);
	protection_add_path(protection, "/tmp/warren-api.sock");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	protection_free(protection);
	registry_free(registry);
	lock_queue_free(locks);
	return 0;
}

static struct spec_place place_of(const char *text)
{
	struct spec_place place = { .kind = SPEC_PLACE_NONE };
	assert_true(place_parse(text, &place));
	return place;
}

/* The code of the first fault, "forbidden", or "" when all is well. */
static void check(const struct spec *spec, const struct spec *previous, bool allow_remote, unsigned scope, char code[32])
{
	const struct policy policy = { .protection = protection, .roots = &roots, .allow_remote = allow_remote };
	struct problem problem;
	problem_init(&problem);
	policy_check(&policy, spec, previous, scope, "", &problem);
	snprintf(code, 32, "%s", problem.fault_count > 0 ? problem.faults[0].code : problem.code == PROBLEM_FORBIDDEN ? "forbidden" : "");
	problem_clear(&problem);
}

static const struct {
	const char *listen;
	bool has_users, allow_remote;
	unsigned scope;
	const char *code;
} listeners[] = {
	{ "127.0.0.1:1080", false, false, SCOPE_WRITE, "" },
	{ "[::1]:0", false, false, SCOPE_WRITE, "" },
	{ "0.0.0.0:1080", true, false, SCOPE_ADMIN, "remote_not_allowed" },
	{ "192.0.2.1:1080", true, false, SCOPE_ADMIN, "remote_not_allowed" },
	{ "0.0.0.0:1080", false, true, SCOPE_ADMIN, "users_required" },
	{ "0.0.0.0:1080", true, true, SCOPE_WRITE, "" },
	{ "unix:/tmp/p", false, false, SCOPE_ADMIN, "" },
	{ "unix:/tmp/p", false, false, SCOPE_WRITE, "forbidden" },
	{ "unix:/nonexistent/p", false, false, SCOPE_ADMIN, "path_not_allowed" },
	{ "unix:/tmp/../etc/p", false, false, SCOPE_ADMIN, "path_not_allowed" },
	{ "unix:/tmp/warren-api.sock", false, false, SCOPE_ADMIN, "own_socket" },
};

static void each_listener(void **state)
{
	char name[] = "u", code[32];
	struct spec_user user = { .username = name, .password = name };
	(void)state;
	for (size_t i = 0; i < sizeof(listeners) / sizeof(listeners[0]); i++) {
		struct spec_place place = place_of(listeners[i].listen);
		struct spec spec = { .listen = &place, .listen_count = 1, .users = &user, .user_count = listeners[i].has_users };
		check(&spec, NULL, listeners[i].allow_remote, listeners[i].scope, code);
		if (strcmp(code, listeners[i].code) != 0)
			fail_msg("%s: %s, not %s", listeners[i].listen, code, listeners[i].code);
		place_clear(&place);
	}
}

static const struct {
	enum spec_direction direction;
	const char *listen, *target;
	bool allow_remote;
	unsigned scope;
	const char *code;
} forwards[] = {
	{ SPEC_OUTBOUND, "127.0.0.1:1", "10.0.0.1:1", false, SCOPE_WRITE, "" },
	{ SPEC_OUTBOUND, "0.0.0.0:1", "10.0.0.1:1", false, SCOPE_ADMIN, "remote_not_allowed" },
	{ SPEC_OUTBOUND, "0.0.0.0:1", "10.0.0.1:1", true, SCOPE_ADMIN, "" },
	{ SPEC_OUTBOUND, "0.0.0.0:1", "10.0.0.1:1", true, SCOPE_WRITE, "forbidden" },
	{ SPEC_OUTBOUND, "unix:/tmp/f", "10.0.0.1:1", false, SCOPE_WRITE, "forbidden" },
	{ SPEC_INBOUND, "10.0.0.2:1", "127.0.0.1:80", false, SCOPE_ADMIN, "" },
	{ SPEC_INBOUND, "10.0.0.2:1", "127.0.0.1:80", false, SCOPE_WRITE, "forbidden" },
	{ SPEC_INBOUND, "10.0.0.2:1", "127.0.0.1:8470", false, SCOPE_ADMIN, "own_socket" },
	{ SPEC_INBOUND, "10.0.0.2:1", "0.0.0.0:8470", false, SCOPE_ADMIN, "own_socket" },
	{ SPEC_INBOUND, "10.0.0.2:1", "LocalHost:8470", false, SCOPE_ADMIN, "own_socket" },
	{ SPEC_INBOUND, "10.0.0.2:1", "unix:/tmp/warren-api.sock", false, SCOPE_ADMIN, "own_socket" },
	{ SPEC_INBOUND, "10.0.0.2:1", "unix:/nonexistent/s", false, SCOPE_ADMIN, "path_not_allowed" },
};

static void each_forward(void **state)
{
	char code[32], name[] = "f";
	(void)state;
	for (size_t i = 0; i < sizeof(forwards) / sizeof(forwards[0]); i++) {
		struct spec_forward forward = { .name = name,
			                        .direction = forwards[i].direction,
			                        .listen = place_of(forwards[i].listen),
			                        .target = place_of(forwards[i].target) };
		struct spec spec = { .forwards = &forward, .forward_count = 1 };
		check(&spec, NULL, forwards[i].allow_remote, forwards[i].scope, code);
		if (strcmp(code, forwards[i].code) != 0)
			fail_msg("%s to %s: %s, not %s", forwards[i].listen, forwards[i].target, code, forwards[i].code);
		/* What an admin has made stays, whoever changes the rest. */
		if (forwards[i].scope == SCOPE_WRITE && code[0] != '\0') {
			check(&spec, &spec, forwards[i].allow_remote, SCOPE_WRITE, code);
			assert_string_equal(code, "");
		}
		place_clear(&forward.listen);
		place_clear(&forward.target);
	}
}

/* Else a token that may write would reach what an admin opened from a peer of its own. */
static void the_route_to_what_an_admin_opened_is_the_admins(void **state)
{
	char code[32], name[] = "f";
	struct spec_forward forward = {
		.name = name, .direction = SPEC_INBOUND, .listen = place_of("10.0.0.2:1"), .target = place_of("127.0.0.1:80")
	};
	struct spec_peer mine = { .public_key = { .bytes = { 1 } } }, theirs = { .public_key = { .bytes = { 2 } } };
	struct spec before = { .forwards = &forward, .forward_count = 1, .peers = &mine, .peer_count = 1 }, after = before;
	(void)state;
	after.mtu = 1300;
	check(&after, &before, false, SCOPE_WRITE, code);
	assert_string_equal(code, "");
	after.peers = &theirs;
	check(&after, &before, false, SCOPE_WRITE, code);
	assert_string_equal(code, "forbidden");
	check(&after, &before, false, SCOPE_ADMIN, code);
	assert_string_equal(code, "");
	place_clear(&forward.listen);
	place_clear(&forward.target);
}

/* Without a descriptor nobody knows where a path leads: it is refused, but not as a fault of the request. */
static void a_path_that_cannot_be_checked(void **state)
{
	const struct policy policy = { .protection = protection, .roots = &roots };
	struct spec_place place = place_of("unix:/tmp/a.sock");
	const struct spec spec = { .listen = &place, .listen_count = 1 };
	struct rlimit limit, none;
	struct problem problem;
	(void)state;
	problem_init(&problem);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	policy_check(&policy, &spec, NULL, SCOPE_ADMIN, "", &problem);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(problem.code, PROBLEM_OUT_OF_RESOURCES);
	assert_int_equal(problem.fault_count, 0);
	problem_clear(&problem);
	place_clear(&place);
}

static void a_placement_needs_a_fleet(void **state)
{
	struct policy policy = { .protection = protection, .roots = &roots };
	struct placement_spec placement = { .node = "ams-1" };
	const struct spec spec = { .placement = &placement };
	struct problem problem;
	(void)state;
	problem_init(&problem);
	policy_check(&policy, &spec, NULL, SCOPE_ADMIN, "/tunnels/0", &problem);
	assert_int_equal(problem.fault_count, 1);
	assert_string_equal(problem.faults[0].pointer, "/tunnels/0/spec/placement");
	assert_string_equal(problem.faults[0].code, "no_fleet");
	problem_clear(&problem);
	policy.is_in_fleet = true;
	policy_check(&policy, &spec, NULL, SCOPE_WRITE, "", &problem);
	assert_int_equal(problem.code, PROBLEM_NONE);
	problem_clear(&problem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_placement_needs_a_fleet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_listener, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_forward, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_route_to_what_an_admin_opened_is_the_admins, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_path_that_cannot_be_checked, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
