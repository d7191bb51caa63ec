/* Unix sockets in directories of other users (P1): whatever they link and rename at any moment, nothing outside is reached, removed or created,
 * and never one of the daemon's own sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/socket/host_socket.h"
#include "service/socket/socket_path.h"
#include "service/worker/protection.h"
#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

#define ROUNDS 5000

static char folder[64], target[96], own[96], elsewhere[96];
static char *root_list[] = { folder };
static const struct socket_roots roots = { .list = root_list, .count = 1 };
static int own_listener;
static pid_t server;

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 128), 0);
	return listener;
}

/* The target's server is a separate process, as in production. */
static pid_t serve(const char *path)
{
	int ready[2];
	char byte;
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		int listener = listen_at(path);
		fcntl(listener, F_SETFL, 0);
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			close(accept(listener, NULL, NULL));
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return child;
}

static struct lock_queue *locks;
static struct registry *registry;
static struct protection *protection; /* as the service has one */

static int set_up(void **state)
{
	bench_set_up(state);
	snprintf(folder, sizeof(folder), "%s", "/tmp/warren-path-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(target, sizeof(target), "%s/target", folder);
	snprintf(own, sizeof(own), "%s.own", folder);
	snprintf(elsewhere, sizeof(elsewhere), "%s.elsewhere", folder);
	own_listener = listen_at(own);
	service_protect_path(own_bench.service, own);
	locks = lock_queue_create();
	registry = registry_create(locks);
	protection = protection_create(registry);
	protection_add_path(protection, own);
	server = serve(target);
	return 0;
}

static int tear_down(void **state)
{
	char command[320];
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	close(own_listener);
	protection_free(protection);
	registry_free(registry);
	lock_queue_free(locks);
	snprintf(command, sizeof(command), "rm -rf %s %s %s", folder, own, elsewhere);
	assert_int_equal(system(command), 0);
	return bench_tear_down(state);
}

static _Atomic bool ends;

/* The name is the server's socket, a link to the daemon's, and the daemon's by a hard link, in turn and as fast as it goes. */
static void *swap(void *argument)
{
	char kept[128], link_name[128], hard_name[128];
	(void)argument;
	snprintf(kept, sizeof(kept), "%s/kept", folder);
	snprintf(link_name, sizeof(link_name), "%s/link", folder);
	snprintf(hard_name, sizeof(hard_name), "%s/hard", folder);
	if (link(target, kept) != 0)
		return NULL;
	while (!ends) {
		(void)!symlink(own, link_name);
		rename(link_name, target);
		(void)!link(own, hard_name);
		rename(hard_name, target);
		(void)!link(kept, hard_name);
		rename(hard_name, target);
	}
	return NULL;
}

static bool is_called(int listener)
{
	struct pollfd wait = { .fd = listener, .events = POLLIN };
	return poll(&wait, 1, 0) != 0;
}

static void a_target_that_is_swapped_never_leads_to_the_api(void **state)
{
	pthread_t thread;
	unsigned reached = 0, refused = 0;
	(void)state;
	ends = false;
	assert_int_equal(pthread_create(&thread, NULL, swap, NULL), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		int file = socket_path_open(&roots, target);
		int descriptor = file < 0 || protection_has_file(protection, file) ? -1 : host_socket_dial_unix(file);
		refused += descriptor < 0;
		reached += descriptor >= 0;
		if (descriptor >= 0)
			close(descriptor);
		if (file >= 0)
			close(file);
		assert_false(is_called(own_listener));
	}
	ends = true;
	pthread_join(thread, NULL);
	/* The race took place. */
	assert_true(reached > 0 && refused > 0);
}

/* The second line of defence: the socket found is the daemon's, by whatever path. */
static void a_socket_of_this_process_is_not_dialled(void **state)
{
	(void)state;
	int file = open(own, O_PATH | O_CLOEXEC);
	assert_int_equal(host_socket_dial_unix(file), -1);
	assert_int_equal(errno, EACCES);
	close(file);
	file = socket_path_open(&roots, target);
	int descriptor = host_socket_dial_unix(file);
	assert_true(descriptor >= 0);
	close(descriptor);
	close(file);
}

static void links_and_dots_are_not_followed(void **state)
{
	char path[160], link_name[128];
	const char *name;
	(void)state;
	snprintf(link_name, sizeof(link_name), "%s/last", folder);
	assert_int_equal(symlink(target, link_name), 0);
	assert_int_equal(socket_path_open(&roots, link_name), -1);
	assert_int_equal(errno, ECONNREFUSED);
	static const char *const refused[] = { "/etc/hosts", "/", "x", "" };
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_int_equal(socket_path_directory(&roots, refused[i], &name), -1);
	static const char *const endings[] = { "/", "/.", "/..", "/../x", "/nowhere/x" };
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", folder, endings[i]);
		assert_int_equal(socket_path_directory(&roots, path, &name), -1);
	}
	/* A directory with the same prefix is a different one. */
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	snprintf(path, sizeof(path), "%s/x", elsewhere);
	assert_int_equal(socket_path_directory(&roots, path, &name), -1);
}

/* What was bound is removed by what it is, and nothing else under that name, here or where a link leads (P9). */
static void a_listener_leaves_the_files_of_others(void **state)
{
	char place_path[160], inner[128], foreign[160], left[160], moved[128];
	struct stat info;
	int error = 0;
	(void)state;
	snprintf(inner, sizeof(inner), "%s/inner", folder);
	snprintf(moved, sizeof(moved), "%s/moved", folder);
	snprintf(place_path, sizeof(place_path), "%s/s", inner);
	assert_int_equal(mkdir(inner, 0700), 0);
	const struct spec_place place = { .kind = SPEC_PLACE_UNIX, .host = place_path };
	struct host_socket *socket = host_socket_open(&roots, &place, SPEC_TCP, 0, false, false, false, &error);
	assert_non_null(socket);
	assert_int_equal(stat(place_path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	/* The directory is moved away, and its name leads to another one with a file of that name. */
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	snprintf(foreign, sizeof(foreign), "%s/s", elsewhere);
	int stranger = listen_at(foreign);
	assert_int_equal(rename(inner, moved), 0);
	assert_int_equal(symlink(elsewhere, inner), 0);
	host_socket_release(socket);
	assert_int_equal(lstat(foreign, &info), 0);
	snprintf(left, sizeof(left), "%s/s", moved);
	assert_int_equal(lstat(left, &info), -1);
	/* And none is made there. */
	assert_null(host_socket_open(&roots, &place, SPEC_TCP, 0, false, false, false, &error));
	assert_int_equal(error, EACCES);
	close(stranger);
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_target_that_is_swapped_never_leads_to_the_api, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_socket_of_this_process_is_not_dialled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_and_dots_are_not_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_listener_leaves_the_files_of_others, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
