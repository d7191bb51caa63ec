/* Names to addresses: both families asked for side by side, and the callback's promises. c-ares and resolv.conf are the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ares.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/log.h"
#include "service/worker/endpoint_resolver.h"

#define CONFIGURATION "/etc/resolv.conf"
#define TURNS_MOST 1000 /* against a hang only */

/* What was asked of c-ares. */
struct question {
	ares_addrinfo_callback callback;
	void *argument;
	int family;
	char name[64];
};
static struct question questions[16];
static size_t question_count;

static struct {
	unsigned made, destroyed, handled;
	int flags;
	int result; /* of making one */
	ares_sock_state_cb on_socket;
	void *owner;
	ares_socket_t readable, writable; /* that it was told of last */
	bool answers_at_once;
} server;
static const char *configuration; /* what resolv.conf says; NULL: there is none */
static ino_t inode;

int __wrap_ares_init_options(ares_channel *channel, const struct ares_options *options, int mask);
void __wrap_ares_destroy(ares_channel channel);
void __wrap_ares_getaddrinfo(ares_channel channel, const char *node, const char *service, const struct ares_addrinfo_hints *hints,
                             ares_addrinfo_callback callback, void *argument);
void __wrap_ares_freeaddrinfo(struct ares_addrinfo *info);
void __wrap_ares_process_fd(ares_channel channel, ares_socket_t readable, ares_socket_t writable);
int __wrap_stat(const char *path, struct stat *info);
int __real_stat(const char *path, struct stat *info);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__real_fopen(const char *path, const char *mode);

int __wrap_ares_init_options(ares_channel *channel, const struct ares_options *options, int mask)
{
	(void)mask;
	if (server.result != ARES_SUCCESS)
		return server.result;
	*channel = (ares_channel)&server;
	server.made++;
	server.flags = options->flags;
	server.on_socket = options->sock_state_cb;
	server.owner = options->sock_state_cb_data;
	return ARES_SUCCESS;
}

static void answer(size_t index, int status, struct ares_addrinfo *info)
{
	struct question *question = &questions[index];
	ares_addrinfo_callback callback = question->callback;
	assert_non_null(callback);
	question->callback = NULL;
	callback(question->argument, status, 0, info);
}

/* As c-ares does: what it has not answered is cancelled. */
void __wrap_ares_destroy(ares_channel channel)
{
	(void)channel;
	server.destroyed++;
	for (size_t i = 0; i < question_count; i++)
		if (questions[i].callback != NULL)
			answer(i, ARES_EDESTRUCTION, NULL);
}

void __wrap_ares_getaddrinfo(ares_channel channel, const char *node, const char *service, const struct ares_addrinfo_hints *hints,
                             ares_addrinfo_callback callback, void *argument)
{
	(void)channel, (void)service;
	assert_true(question_count < sizeof(questions) / sizeof(questions[0]));
	struct question *question = &questions[question_count++];
	*question = (struct question){ .callback = callback, .argument = argument, .family = hints->ai_family };
	snprintf(question->name, sizeof(question->name), "%s", node);
	if (server.answers_at_once)
		answer(question_count - 1, ARES_ENOTFOUND, NULL);
}

void __wrap_ares_freeaddrinfo(struct ares_addrinfo *info)
{
	while (info->nodes != NULL) {
		struct ares_addrinfo_node *node = info->nodes;
		info->nodes = node->ai_next;
		free(node->ai_addr);
		free(node);
	}
	free(info);
}

void __wrap_ares_process_fd(ares_channel channel, ares_socket_t readable, ares_socket_t writable)
{
	(void)channel;
	server.handled++;
	if (readable != ARES_SOCKET_BAD)
		server.readable = readable;
	if (writable != ARES_SOCKET_BAD)
		server.writable = writable;
}

int __wrap_stat(const char *path, struct stat *info)
{
	if (strcmp(path, CONFIGURATION) != 0)
		return __real_stat(path, info);
	*info = (struct stat){ .st_ino = inode };
	return configuration == NULL ? -1 : 0;
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	if (strcmp(path, CONFIGURATION) != 0)
		return __real_fopen(path, mode);
	return configuration == NULL ? NULL : fmemopen((void *)(uintptr_t)configuration, strlen(configuration), "r");
}

/* `count` addresses on loopback, which there is always a route to, or in a net that nobody routes to. */
static struct ares_addrinfo *addresses(int family, size_t count, bool is_routed)
{
	struct ares_addrinfo *info = calloc(1, sizeof(*info));
	for (size_t i = count; i > 0; i--) {
		struct ares_addrinfo_node *node = calloc(1, sizeof(*node));
		struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(is_routed ? 0x7f000000u + (uint32_t)i : 0xffffffffu) };
		struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
		v6.sin6_addr.s6_addr[15] = (uint8_t)i;
		node->ai_addr = calloc(1, sizeof(v6));
		memcpy(node->ai_addr, family == AF_INET6 ? (const void *)&v6 : (const void *)&v4, family == AF_INET6 ? sizeof(v6) : sizeof(v4));
		node->ai_addr->sa_family = (sa_family_t)family;
		node->ai_next = info->nodes;
		info->nodes = node;
	}
	return info;
}

static uv_loop_t loop;
static struct endpoint_resolver *resolver;

struct told {
	unsigned count;
	bool more;
	struct message_addresses addresses;
};

static void on_done(void *owner, const struct message_addresses *addresses, bool more)
{
	struct told *told = owner;
	told->count++;
	told->more = more;
	told->addresses = *addresses;
}

static void wait_for(const struct told *told, unsigned count)
{
	for (int i = 0; i < TURNS_MOST && told->count < count; i++)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(told->count, count);
}

static int set_up(void **state)
{
	(void)state;
	log_start(LOG_ERROR, false, "control");
	memset(&server, 0, sizeof(server));
	question_count = 0;
	configuration = "nameserver 192.0.2.1\n";
	inode = 1;
	resolver = endpoint_resolver_create(&loop);
	return resolver == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	endpoint_resolver_free(resolver);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(server.made, server.destroyed);
	return 0;
}

static void both_families_are_asked_and_alternate(void **state)
{
	struct told told = { 0 };
	(void)state;
	assert_non_null(endpoint_resolver_ask(resolver, "vpn.example", 51820, on_done, &told));
	assert_int_equal(question_count, 2);
	assert_int_equal(questions[0].family, AF_INET);
	assert_int_equal(questions[1].family, AF_INET6);
	assert_string_equal(questions[1].name, "vpn.example");
	answer(1, ARES_SUCCESS, addresses(AF_INET, 2, true));
	answer(0, ARES_SUCCESS, addresses(AF_INET, 3, true));
	assert_int_equal(told.count, 0);
	wait_for(&told, 1);
	assert_false(told.more);
	assert_int_equal(told.addresses.count, 5);
	static const uint8_t wanted[] = { 1, 1, 2, 2, 3 };
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(ntohl(told.addresses.list[i].v4.sin_addr.s_addr) & 0xff, wanted[i]);
		assert_int_equal(ntohs(told.addresses.list[i].v4.sin_port), 51820);
	}
}

/* RFC 8305, 3: a family that does not answer holds nobody up. */
static void one_family_is_told_before_the_other_has_answered(void **state)
{
	struct told told = { 0 };
	(void)state;
	assert_non_null(endpoint_resolver_ask(resolver, "vpn.example", 1, on_done, &told));
	answer(0, ARES_SUCCESS, addresses(AF_INET, 1, true));
	wait_for(&told, 1);
	assert_true(told.more);
	assert_int_equal(told.addresses.count, 1);
	answer(1, ARES_ENODATA, NULL);
	wait_for(&told, 2);
	assert_false(told.more);
	assert_int_equal(told.addresses.count, 1);
}

static void addresses_without_a_route_come_last(void **state)
{
	struct told told = { 0 };
	(void)state;
	assert_non_null(endpoint_resolver_ask(resolver, "vpn.example", 1, on_done, &told));
	answer(0, ARES_SUCCESS, addresses(AF_INET, 1, false));
	answer(1, ARES_SUCCESS, addresses(AF_INET, 2, true));
	wait_for(&told, 1);
	assert_int_equal(told.addresses.count, 3);
	assert_int_equal(told.addresses.list[2].v4.sin_addr.s_addr, 0xffffffffu);
}

static void no_more_addresses_are_taken_than_there_is_room_for(void **state)
{
	struct told told = { 0 };
	(void)state;
	assert_non_null(endpoint_resolver_ask(resolver, "vpn.example", 1, on_done, &told));
	answer(0, ARES_SUCCESS, addresses(AF_INET, MESSAGE_ADDRESSES_MAX + 3, true));
	answer(1, ARES_SUCCESS, addresses(AF_INET, MESSAGE_ADDRESSES_MAX, true));
	wait_for(&told, 1);
	assert_int_equal(told.addresses.count, MESSAGE_ADDRESSES_MAX);
}

static void what_is_no_address_is_left_out(void **state)
{
	struct told told = { 0 };
	(void)state;
	assert_non_null(endpoint_resolver_ask(resolver, "vpn.example", 1, on_done, &told));
	answer(0, ARES_SUCCESS, addresses(AF_UNIX, 1, false));
	answer(1, ARES_ENOTFOUND, NULL);
	wait_for(&told, 1);
	assert_false(told.more);
	assert_int_equal(told.addresses.count, 0);
}

/* A name without any address is told too, and never from within the asking. */
static void an_answer_at_once_is_told_later(void **state)
{
	struct told told = { 0 };
	(void)state;
	server.answers_at_once = true;
	assert_non_null(endpoint_resolver_ask(resolver, "vpn.example", 1, on_done, &told));
	assert_int_equal(told.count, 0);
	wait_for(&told, 1);
	assert_false(told.more);
	assert_int_equal(told.addresses.count, 0);
}

/* RFC 6761, 6.3: no server is asked for it. */
static void localhost_is_loopback(void **state)
{
	static const struct {
		const char *name;
		bool is_it;
	} cases[] = { { "localhost", true },    { "LocalHost.", true },  { "a.localhost", true },        { ".", false },
		      { "localhost.a", false }, { "alocalhost", false }, { "localhost.example", false }, { "", false } };
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct told told = { 0 };
		size_t before = question_count;
		assert_non_null(endpoint_resolver_ask(resolver, cases[i].name, 8080, on_done, &told));
		assert_int_equal(told.count, 0);
		assert_int_equal(question_count - before, cases[i].is_it ? 0 : 2);
		for (size_t k = before; k < question_count; k++)
			answer(k, ARES_ENOTFOUND, NULL);
		wait_for(&told, 1);
		assert_false(told.more);
		assert_int_equal(told.addresses.count, cases[i].is_it ? 2 : 0);
		if (!cases[i].is_it)
			continue;
		assert_int_equal(ntohl(told.addresses.list[0].v4.sin_addr.s_addr), INADDR_LOOPBACK);
		assert_memory_equal(&told.addresses.list[1].v6.sin6_addr, &in6addr_loopback, 16);
		assert_int_equal(ntohs(told.addresses.list[1].v6.sin6_port), 8080);
	}
}

static void who_cancels_is_not_told(void **state)
{
	struct told told = { 0 }, other = { 0 };
	(void)state;
	endpoint_resolver_cancel(NULL);
	struct endpoint_resolver_query *query = endpoint_resolver_ask(resolver, "a.example", 1, on_done, &told);
	assert_non_null(endpoint_resolver_ask(resolver, "b.example", 1, on_done, &other));
	endpoint_resolver_cancel(query);
	for (size_t i = 0; i < 4; i++)
		answer(i, ARES_ENOTFOUND, NULL);
	wait_for(&other, 1);
	assert_int_equal(told.count, 0);
}

/* A laptop that moves: the next question goes to the servers that are there now. */
static void a_new_configuration_is_read(void **state)
{
	struct told told = { 0 };
	(void)state;
	for (ino_t i = 0; i < 4; i++) {
		inode = 1 + i / 2;
		assert_non_null(endpoint_resolver_ask(resolver, "a.example", 1, on_done, &told));
	}
	assert_int_equal(server.made, 2);
	assert_int_equal(server.destroyed, 1);
	/* What the old servers had not answered is over. */
	wait_for(&told, 2);
}

static void servers_are_asked_over_tcp_if_the_configuration_says_so(void **state)
{
	static const struct {
		const char *text;
		int flags;
	} cases[] = {
		{ "options use-vc\n", ARES_FLAG_USEVC },
		{ "nameserver 192.0.2.1\n\noptions timeout:1 use-vc edns0\n", ARES_FLAG_USEVC },
		{ "options timeout:1\n", 0 },
		{ "use-vc\n", 0 },
		{ "#options use-vc\n", 0 },
		{ NULL, 0 },
	};
	struct told told = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		configuration = cases[i].text;
		inode = 10 + i;
		assert_non_null(endpoint_resolver_ask(resolver, "a.example", 1, on_done, &told));
		assert_int_equal(server.flags, cases[i].flags);
	}
}

static void without_a_resolver_there_is_no_address(void **state)
{
	struct told told = { 0 };
	(void)state;
	server.result = ARES_ENOMEM;
	assert_non_null(endpoint_resolver_ask(resolver, "a.example", 1, on_done, &told));
	assert_int_equal(question_count, 0);
	wait_for(&told, 1);
	assert_false(told.more);
	server.result = ARES_SUCCESS;
	assert_non_null(endpoint_resolver_ask(resolver, "a.example", 1, on_done, &told));
	assert_int_equal(question_count, 2);
}

static void sockets_are_watched_for_what_the_library_wants(void **state)
{
	struct told told = { 0 };
	int ends[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
	assert_non_null(endpoint_resolver_ask(resolver, "a.example", 1, on_done, &told));
	server.on_socket(server.owner, ends[0], 1, 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	for (int i = 0; i < TURNS_MOST && server.readable != ends[0]; i++)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(server.readable, ends[0]);
	assert_int_equal(server.writable, 0);
	server.on_socket(server.owner, ends[0], 0, 1);
	for (int i = 0; i < TURNS_MOST && server.writable != ends[0]; i++)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(server.writable, ends[0]);
	server.on_socket(server.owner, ends[1], 1, 0);
	server.on_socket(server.owner, ends[0], 0, 0);
	unsigned handled = server.handled;
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_in_range(server.handled, handled, handled + 1); /* the timer, at most */
	server.on_socket(server.owner, ends[1], 0, 0);
	uv_run(&loop, UV_RUN_NOWAIT);
	close(ends[0]);
	close(ends[1]);
}

/* At its end nobody is told any more, whatever waits. */
static void the_end_tells_nobody(void **state)
{
	struct told told = { 0 };
	int ends[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
	assert_non_null(endpoint_resolver_ask(resolver, "a.example", 1, on_done, &told));
	assert_non_null(endpoint_resolver_ask(resolver, "b.example", 1, on_done, &told));
	server.on_socket(server.owner, ends[0], 1, 0);
	endpoint_resolver_free(resolver);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(told.count, 0);
	close(ends[0]);
	close(ends[1]);
	endpoint_resolver_free(NULL);
	resolver = endpoint_resolver_create(&loop);
}

int main(void)
{
	if (uv_loop_init(&loop) != 0)
		return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(both_families_are_asked_and_alternate),
		TEST(one_family_is_told_before_the_other_has_answered),
		TEST(addresses_without_a_route_come_last),
		TEST(no_more_addresses_are_taken_than_there_is_room_for),
		TEST(what_is_no_address_is_left_out),
		TEST(an_answer_at_once_is_told_later),
		TEST(localhost_is_loopback),
		TEST(who_cancels_is_not_told),
		TEST(a_new_configuration_is_read),
		TEST(servers_are_asked_over_tcp_if_the_configuration_says_so),
		TEST(without_a_resolver_there_is_no_address),
		TEST(sockets_are_watched_for_what_the_library_wants),
		TEST(the_end_tells_nobody),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	uv_loop_close(&loop);
	return failed;
}
