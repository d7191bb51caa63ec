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

#include "service/change/policy.h"
#include "service/socket/socket_path.h"
#include "service/store/scope.h"
#include "service/worker/protection.h"

#define WRITER (SCOPE_METRICS | SCOPE_READ | SCOPE_WRITE)
#define ADMIN (WRITER | SCOPE_ADMIN)

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
	{ "127.0.0.1:1080", false, false, WRITER, "" },
	{ "[::1]:0", false, false, WRITER, "" },
	{ "0.0.0.0:1080", true, false, ADMIN, "remote_not_allowed" },
	{ "192.0.2.1:1080", true, false, ADMIN, "remote_not_allowed" },
	{ "0.0.0.0:1080", false, true, ADMIN, "users_required" },
	{ "0.0.0.0:1080", true, true, WRITER, "" },
	{ "unix:/tmp/p", false, false, ADMIN, "" },
	{ "unix:/tmp/p", false, false, WRITER, "forbidden" },
	{ "unix:/nonexistent/p", false, false, ADMIN, "path_not_allowed" },
	{ "unix:/tmp/../etc/p", false, false, ADMIN, "path_not_allowed" },
	{ "unix:/tmp/warren-api.sock", false, false, ADMIN, "own_socket" },
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
	{ SPEC_OUTBOUND, "127.0.0.1:1", "10.0.0.1:1", false, WRITER, "" },
	{ SPEC_OUTBOUND, "0.0.0.0:1", "10.0.0.1:1", false, ADMIN, "remote_not_allowed" },
	{ SPEC_OUTBOUND, "0.0.0.0:1", "10.0.0.1:1", true, ADMIN, "" },
	{ SPEC_OUTBOUND, "0.0.0.0:1", "10.0.0.1:1", true, WRITER, "forbidden" },
	{ SPEC_OUTBOUND, "unix:/tmp/f", "10.0.0.1:1", false, WRITER, "forbidden" },
	{ SPEC_INBOUND, "10.0.0.2:1", "127.0.0.1:80", false, ADMIN, "" },
	{ SPEC_INBOUND, "10.0.0.2:1", "127.0.0.1:80", false, WRITER, "forbidden" },
	{ SPEC_INBOUND, "10.0.0.2:1", "127.0.0.1:8470", false, ADMIN, "own_socket" },
	{ SPEC_INBOUND, "10.0.0.2:1", "0.0.0.0:8470", false, ADMIN, "own_socket" },
	{ SPEC_INBOUND, "10.0.0.2:1", "LocalHost:8470", false, ADMIN, "own_socket" },
	{ SPEC_INBOUND, "10.0.0.2:1", "unix:/tmp/warren-api.sock", false, ADMIN, "own_socket" },
	{ SPEC_INBOUND, "10.0.0.2:1", "unix:/nonexistent/s", false, ADMIN, "path_not_allowed" },
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
		if (forwards[i].scope == WRITER && code[0] != '\0') {
			check(&spec, &spec, forwards[i].allow_remote, WRITER, code);
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
	check(&after, &before, false, WRITER, code);
	assert_string_equal(code, "");
	after.peers = &theirs;
	check(&after, &before, false, WRITER, code);
	assert_string_equal(code, "forbidden");
	check(&after, &before, false, ADMIN, code);
	assert_string_equal(code, "");
	place_clear(&forward.listen);
	place_clear(&forward.target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_listener, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_forward, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_route_to_what_an_admin_opened_is_the_admins, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
