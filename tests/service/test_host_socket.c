/* Sockets of the host: which port they get, whom they stand in the way of, and what becomes of their files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/socket/host_socket.h"

static char root[64], *roots_list[] = { root };
static const struct socket_roots roots = { .list = roots_list, .count = 1 };

static int start(void **state)
{
	(void)state;
	strcpy(root, "/tmp/test_host_socket.XXXXXX");
	return mkdtemp(root) == NULL;
}

static int stop(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static struct host_socket *open_at(const char *text, enum spec_transport transport, uint16_t preferred, bool insists, int *error)
{
	struct spec_place place;
	assert_true(place_parse(text, &place));
	*error = 0;
	struct host_socket *socket = host_socket_open(&roots, &place, transport, preferred, insists, false, false, error);
	assert_true(socket != NULL || *error != 0);
	place_clear(&place);
	return socket;
}

static bool asks(bool (*question)(const struct host_socket *, const struct spec_place *, enum spec_transport), const struct host_socket *socket,
                 const char *host, uint16_t port, enum spec_transport transport)
{
	struct spec_place place = { .kind = SPEC_PLACE_INET, .host = (char *)(uintptr_t)host, .port = port };
	if (host[0] == '/')
		place.kind = SPEC_PLACE_UNIX;
	return question(socket, &place, transport);
}

static int option(const struct host_socket *socket, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);
	assert_int_equal(getsockopt(socket->descriptor, level, name, &value, &length), 0);
	return value;
}

/* P5: a port that was chosen once is asked for again; whether another one will do is the caller's word. */
static void a_port_that_was_chosen_is_asked_for_again(void **state)
{
	int error;
	(void)state;
	for (int transport = SPEC_TCP; transport <= SPEC_UDP; transport++) {
		struct host_socket *first = open_at("127.0.0.1:0", (enum spec_transport)transport, 0, false, &error);
		uint16_t port = host_socket_port(first);
		assert_true(port != 0);
		/* Taken: another one, or a fault. */
		struct host_socket *other = open_at("127.0.0.1:0", (enum spec_transport)transport, port, false, &error);
		assert_int_not_equal(host_socket_port(other), port);
		host_socket_release(other);
		assert_null(open_at("127.0.0.1:0", (enum spec_transport)transport, port, true, &error));
		assert_int_equal(error, EADDRINUSE);
		host_socket_release(first);
		first = open_at("127.0.0.1:0", (enum spec_transport)transport, port, true, &error);
		assert_int_equal(host_socket_port(first), port);
		host_socket_release(first);
	}
	struct host_socket *first = host_socket_open_wireguard(0, 0, false, false, &error);
	uint16_t port = host_socket_port(first);
	struct host_socket *other = host_socket_open_wireguard(0, port, false, false, &error);
	assert_int_not_equal(host_socket_port(other), port);
	assert_null(host_socket_open_wireguard(0, port, true, false, &error));
	assert_int_equal(error, EADDRINUSE);
	assert_null(host_socket_open_wireguard(port, 0, false, false, &error));
	assert_int_equal(error, EADDRINUSE);
	host_socket_release(other);
	host_socket_release(first);
}

static void what_cannot_be_bound_says_why(void **state)
{
	int error;
	(void)state;
	assert_null(open_at("192.0.2.1:0", SPEC_TCP, 0, false, &error));
	assert_int_equal(error, EADDRNOTAVAIL);
	assert_null(open_at("name.example:80", SPEC_TCP, 0, false, &error));
	assert_int_equal(error, EINVAL);
	assert_null(open_at("unix:/etc/x.sock", SPEC_TCP, 0, false, &error));
	assert_int_equal(error, EACCES);
}

static bool open_beside(void)
{
	int error;
	struct host_socket *old = open_at("127.0.0.1:0", SPEC_TCP, 0, false, &error);
	struct spec_place place = { .kind = SPEC_PLACE_INET, .host = (char[]){ "0.0.0.0" }, .port = host_socket_port(old) };
	assert_null(host_socket_open(&roots, &place, SPEC_TCP, 0, false, false, true, &error));
	assert_int_equal(error, EADDRINUSE);
	host_socket_share(old, true);
	assert_null(host_socket_open(&roots, &place, SPEC_TCP, 0, false, false, false, &error));
	struct host_socket *fresh = host_socket_open(&roots, &place, SPEC_TCP, 0, false, false, true, &error);
	host_socket_share(old, false);
	assert_false(old->is_shared);
	if (fresh != NULL) {
		assert_int_equal(option(fresh, SOL_SOCKET, SO_REUSEPORT), 0);
		assert_null(host_socket_open(&roots, &place, SPEC_TCP, 0, false, false, false, &error));
	}
	host_socket_release(old);
	host_socket_release(fresh);
	return fresh != NULL;
}

/* Nobody else gets a port that is in use; one of ours that makes way serves until it is closed. A stranger may have the wider address. */
static void a_port_is_shared_for_the_moment_of_a_change(void **state)
{
	bool is_open = false;
	(void)state;
	for (int i = 0; i < 20 && !is_open; i++)
		is_open = open_beside();
	assert_true(is_open);
}

static void what_is_accepted_inherits_its_options(void **state)
{
	int error;
	(void)state;
	struct host_socket *listener = open_at("127.0.0.1:0", SPEC_TCP, 0, false, &error);
	assert_int_not_equal(option(listener, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_not_equal(option(listener, SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_int_not_equal(fcntl(listener->descriptor, F_GETFL) & O_NONBLOCK, 0);
	assert_int_not_equal(fcntl(listener->descriptor, F_GETFD) & FD_CLOEXEC, 0);
	int copy = host_socket_duplicate(listener);
	assert_true(copy >= 3);
	assert_int_not_equal(fcntl(copy, F_GETFD) & FD_CLOEXEC, 0);
	close(copy);
	int dialed = host_socket_dial(&listener->bound, SPEC_TCP);
	assert_true(dialed >= 0);
	close(dialed);
	host_socket_release(host_socket_reference(listener));
	assert_true(fcntl(listener->descriptor, F_GETFD) >= 0);
	host_socket_release(listener);
	host_socket_release(NULL);
}

static void which_places_it_serves(void **state)
{
	int error;
	(void)state;
	struct host_socket *socket = open_at("127.0.0.1:0", SPEC_TCP, 0, false, &error);
	uint16_t port = host_socket_port(socket), other = (uint16_t)(port ^ 1);
	assert_true(asks(host_socket_serves, socket, "127.0.0.1", port, SPEC_TCP));
	assert_true(asks(host_socket_serves, socket, "127.0.0.1", 0, SPEC_TCP));
	assert_false(asks(host_socket_serves, socket, "127.0.0.1", other, SPEC_TCP));
	assert_false(asks(host_socket_serves, socket, "127.0.0.1", port, SPEC_UDP));
	assert_false(asks(host_socket_serves, socket, "127.0.0.2", port, SPEC_TCP));
	assert_false(asks(host_socket_serves, socket, "0.0.0.0", port, SPEC_TCP));
	assert_false(asks(host_socket_serves, socket, "name", port, SPEC_TCP));
	assert_false(asks(host_socket_serves, socket, "/tmp/x", 0, SPEC_TCP));
	char *text = host_socket_format(socket), expected[32];
	snprintf(expected, sizeof(expected), "127.0.0.1:%u", port);
	assert_string_equal(text, expected);
	free(text);
	host_socket_release(socket);
}

/* ip(7), ipv6(7): a port of an address stands in the way of the same port everywhere, and [::] of IPv4's as well. */
static void which_places_it_is_in_the_way_of(void **state)
{
	static const struct {
		const char *bound, *wanted;
		bool overlaps;
	} rows[] = {
		{ "127.0.0.1", "127.0.0.1", true },
		{ "127.0.0.1", "0.0.0.0", true },
		{ "127.0.0.1", "::", true },
		{ "127.0.0.1", "127.0.0.2", false },
		{ "127.0.0.1", "::1", false },
		{ "0.0.0.0", "127.0.0.2", true },
		{ "0.0.0.0", "::", true },
		{ "0.0.0.0", "::1", false },
		{ "::", "127.0.0.1", true },
		{ "::", "0.0.0.0", true },
		{ "::", "::1", true },
		{ "::1", "::", true },
		{ "::1", "0.0.0.0", false },
		{ "::1", "fd00::1", false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct host_socket socket = { .kind = HOST_SOCKET_TCP };
		struct spec_place place = { .kind = SPEC_PLACE_INET, .host = (char *)(uintptr_t)rows[i].bound, .port = 80 };
		assert_true(place_address(&place, &socket.bound));
		if (asks(host_socket_overlaps, &socket, rows[i].wanted, 80, SPEC_TCP) != rows[i].overlaps)
			fail_msg("%s, %s", rows[i].bound, rows[i].wanted);
		assert_false(asks(host_socket_overlaps, &socket, rows[i].wanted, 81, SPEC_TCP));
		assert_false(asks(host_socket_overlaps, &socket, rows[i].wanted, 0, SPEC_TCP));
		assert_false(asks(host_socket_overlaps, &socket, rows[i].wanted, 80, SPEC_UDP));
		assert_false(asks(host_socket_overlaps, &socket, "/tmp/x", 80, SPEC_TCP));
	}
}

static const char *below(const char *prefix, const char *name)
{
	static char text[200];
	snprintf(text, sizeof(text), "%s%s/%s", prefix, root, name);
	return text;
}

/* P9: the file comes with the socket and goes with it. */
static void a_unix_socket_has_a_file_of_its_own(void **state)
{
	struct stat info;
	int error;
	(void)state;
	umask(0);
	struct host_socket *socket = open_at(below("unix:", "a.sock"), SPEC_TCP, 0, false, &error);
	assert_int_equal(lstat(below("", "a.sock"), &info), 0);
	assert_true(S_ISSOCK(info.st_mode));
	assert_int_equal(info.st_mode & 0777, 0600);
	assert_int_equal(host_socket_port(socket), 0);
	char *text = host_socket_format(socket);
	assert_string_equal(text, below("unix:", "a.sock"));
	free(text);
	assert_true(asks(host_socket_serves, socket, below("", "a.sock"), 0, SPEC_TCP));
	assert_false(asks(host_socket_serves, socket, below("", "b.sock"), 0, SPEC_TCP));
	assert_false(asks(host_socket_overlaps, socket, below("", "a.sock"), 0, SPEC_TCP));
	/* One that listens is not taken away. */
	assert_null(open_at(below("unix:", "a.sock"), SPEC_TCP, 0, false, &error));
	assert_int_equal(error, EADDRINUSE);
	host_socket_release(socket);
	assert_int_equal(lstat(below("", "a.sock"), &info), -1);
	/* What has lost its file serves nobody, and takes no other file with it. */
	socket = open_at(below("unix:", "a.sock"), SPEC_TCP, 0, false, &error);
	assert_int_equal(unlink(below("", "a.sock")), 0);
	assert_false(asks(host_socket_serves, socket, below("", "a.sock"), 0, SPEC_TCP));
	close(open(below("", "a.sock"), O_CREAT | O_WRONLY, 0600));
	host_socket_release(socket);
	assert_int_equal(lstat(below("", "a.sock"), &info), 0);
	/* A file that is no socket is left. */
	assert_null(open_at(below("unix:", "a.sock"), SPEC_TCP, 0, false, &error));
	assert_int_equal(error, EADDRINUSE);
	assert_int_equal(lstat(below("", "a.sock"), &info), 0);
}

/* Left behind by a daemon that was killed. */
static void the_file_of_a_dead_process_is_replaced(void **state)
{
	int error;
	(void)state;
	pid_t child = fork();
	if (child == 0) {
		_exit(open_at(below("unix:", "dead.sock"), SPEC_TCP, 0, false, &error) == NULL);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(access(below("", "dead.sock"), F_OK), 0);
	struct host_socket *socket = open_at(below("unix:", "dead.sock"), SPEC_TCP, 0, false, &error);
	assert_non_null(socket);
	host_socket_release(socket);
}

/* P1: a tunnel never reaches a socket of the daemon itself. */
static void a_socket_of_its_own_is_not_dialled(void **state)
{
	int error;
	(void)state;
	struct host_socket *socket = open_at(below("unix:", "own.sock"), SPEC_TCP, 0, false, &error);
	int file = socket_path_open(&roots, below("", "own.sock"));
	assert_true(file >= 0);
	assert_int_equal(host_socket_dial_unix(file), -1);
	assert_int_equal(errno, EACCES);
	host_socket_release(socket);
	assert_int_equal(host_socket_dial_unix(file), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(file);
	int ends[2];
	char byte;
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		socket = open_at(below("unix:", "other.sock"), SPEC_TCP, 0, false, &error);
		ssize_t told = write(ends[1], "x", 1);
		(void)told;
		alarm(20);
		pause();
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	file = socket_path_open(&roots, below("", "other.sock"));
	int dialed = host_socket_dial_unix(file);
	assert_true(dialed >= 0);
	close(dialed);
	close(file);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ends[0]);
	close(ends[1]);
}

static union wireguard_endpoint at(const char *host, uint16_t port)
{
	union wireguard_endpoint endpoint = { .v4 = { .sin_family = AF_INET, .sin_port = htons(port) } };
	if (inet_pton(AF_INET, host, &endpoint.v4.sin_addr) == 1)
		return endpoint;
	endpoint = (union wireguard_endpoint){ .v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
	assert_int_equal(inet_pton(AF_INET6, host, &endpoint.v6.sin6_addr), 1);
	return endpoint;
}

static void which_addresses_are_this_hosts(void **state)
{
	static const struct {
		const char *host;
		bool is_local;
	} rows[] = { { "127.0.0.1", true }, { "127.1.2.3", true },  { "::1", true },         { "0.0.0.0", true },
		     { "::", true },        { "192.0.2.1", false }, { "2001:db8::1", false } };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		union wireguard_endpoint address = at(rows[i].host, 9);
		if (host_socket_is_local(&address) != rows[i].is_local)
			fail_msg("%s", rows[i].host);
	}
}

static void a_relay_has_a_port_of_its_own(void **state)
{
	(void)state;
	union wireguard_endpoint local = at("127.0.0.1", 80), bound;
	socklen_t length = sizeof(bound);
	int relay = host_socket_relay(&local);
	assert_true(relay >= 0);
	assert_int_equal(getsockname(relay, &bound.any, &length), 0);
	assert_true(endpoint_same_host(&bound, &local) && endpoint_port(&bound) != 80 && endpoint_port(&bound) != 0);
	int dialed = host_socket_dial(&bound, SPEC_UDP);
	assert_true(dialed >= 0);
	assert_int_equal(send(dialed, "x", 1, 0), 1);
	close(dialed);
	close(relay);
	local = at("192.0.2.1", 0);
	assert_int_equal(host_socket_relay(&local), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
}

/* Whatever is opened, what is missing is said, and nothing stays half open. */
static void descriptors_that_are_missing_are_told(void **state)
{
	static const char *const places[] = { "127.0.0.1:0", "[::1]:0", "[::]:0" };
	const union wireguard_endpoint loopback = at("127.0.0.1", 9);
	struct rlimit limit, none;
	int error;
	(void)state;
	int file = open(root, O_PATH | O_CLOEXEC);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		assert_null(open_at(places[i], SPEC_TCP, 0, false, &error));
		assert_int_equal(error, EMFILE);
		assert_null(open_at(places[i], SPEC_UDP, 0, false, &error));
		assert_int_equal(error, EMFILE);
	}
	assert_null(host_socket_open_wireguard(0, 0, false, false, &error));
	assert_int_equal(error, EMFILE);
	assert_int_equal(host_socket_relay(&loopback), -1);
	assert_int_equal(host_socket_dial(&loopback, SPEC_TCP), -1);
	assert_int_equal(host_socket_dial_unix(file), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(socket_path_open(&roots, below("", "any.sock")), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(a_port_that_was_chosen_is_asked_for_again),
		TEST(what_cannot_be_bound_says_why),
		TEST(a_port_is_shared_for_the_moment_of_a_change),
		TEST(what_is_accepted_inherits_its_options),
		TEST(which_places_it_serves),
		TEST(which_places_it_is_in_the_way_of),
		TEST(a_unix_socket_has_a_file_of_its_own),
		TEST(the_file_of_a_dead_process_is_replaced),
		TEST(a_socket_of_its_own_is_not_dialled),
		TEST(which_addresses_are_this_hosts),
		TEST(a_relay_has_a_port_of_its_own),
		TEST(descriptors_that_are_missing_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
