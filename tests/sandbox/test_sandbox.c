/* The kernel refuses what a worker must never do (P1): each forbidden call is made in a child that has entered the sandbox. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/control_sandbox.h"
#include "sandbox/worker_sandbox.h"

static int spare; /* a stream socket made before the sandbox */

static int try_open(void)
{
	return open("/etc/hosts", O_RDONLY | O_CLOEXEC);
}

static int try_create(void)
{
	return open("/tmp/warren-sandbox", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int try_connect(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	return connect(spare, (struct sockaddr *)&to, sizeof(to));
}

static int try_bind(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	return bind(spare, (struct sockaddr *)&at, sizeof(at));
}

static int try_execute(void)
{
	char *const arguments[] = { (char *)(uintptr_t) "true", NULL };
	return execv("/bin/true", arguments);
}

static int try_fork(void)
{
	return fork();
}

static int try_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static struct sockaddr_in victim; /* who listens there is to be connected to by nobody */

/* A listener that was shut down is an unconnected socket again, which MSG_FASTOPEN connects. */
static int try_fast_open(void)
{
	char byte = 0;
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_name = &victim, .msg_namelen = sizeof(victim), .msg_iov = &part, .msg_iovlen = 1 };
	shutdown(spare, SHUT_RDWR);
	return (int)sendmsg(spare, &message, MSG_FASTOPEN | MSG_DONTWAIT);
}

static int try_fast_open_option(void)
{
	int on = 1;
	return setsockopt(spare, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on));
}

static int try_terminal(void)
{
	return ioctl(STDERR_FILENO, TIOCSTI, "x");
}

static int try_parent(void)
{
	return tgkill(getppid(), getppid(), 0);
}

static int try_owner(void)
{
	return fcntl(spare, F_SETOWN, getppid());
}

static int in_sandbox(int (*attempt)(void))
{
	pid_t child = fork();
	if (child == 0) {
		if (!sandbox_tie_to_parent(getppid()) || sandbox_enter_worker() != NULL)
			_exit(2);
		errno = 0;
		int result = attempt();
		_exit(result == -1 && errno == EPERM ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_forbidden_calls_fail(void **state)
{
	(void)state;
#ifdef WARREN_SANITIZED
	print_message("skipped: under sanitizers the filter only logs\n");
	skip();
#endif
	spare = socket(AF_INET, SOCK_STREAM, 0);
	int (*const attempts[])(void) = { try_open, try_create, try_socket, try_connect, try_bind, try_execute, try_fork, try_code };
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		assert_int_equal(in_sandbox(attempts[i]), 0);
	close(spare);
}

static int listen_on_loopback(struct sockaddr_in *at)
{
	socklen_t length = sizeof(*at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	assert_int_equal(bind(listener, (struct sockaddr *)at, sizeof(*at)), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)at, &length), 0);
	return listener;
}

/* What a worker needs with other arguments, and must not do with these (P1). */
static void test_forbidden_arguments_fail(void **state)
{
	(void)state;
#ifdef WARREN_SANITIZED
	print_message("skipped: under sanitizers the filter only logs\n");
	skip();
#endif
	struct sockaddr_in own;
	spare = listen_on_loopback(&own);
	int listener = listen_on_loopback(&victim);
	int (*const attempts[])(void) = { try_fast_open, try_fast_open_option, try_terminal, try_parent, try_owner };
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		assert_int_equal(in_sandbox(attempts[i]), 0);
	struct pollfd wait = { .fd = listener, .events = POLLIN };
	assert_int_equal(poll(&wait, 1, 0), 0);
	close(listener);
	close(spare);
}

static int use_what_is_allowed(void)
{
	int pair[2] = { spare, spare };
	void *memory = malloc(1 << 20);
	bool fine = memory != NULL && write(pair[0], "x", 1) == 1;
	free(memory);
	errno = EPERM;
	return fine ? -1 : 0;
}

static void test_the_data_path_goes_on(void **state)
{
	(void)state;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	spare = pair[0];
	assert_int_equal(in_sandbox(use_what_is_allowed), 0);
	close(pair[0]);
	close(pair[1]);
}

static void test_a_worker_whose_parent_is_gone_does_not_start(void **state)
{
	(void)state;
	pid_t child = fork();
	if (child == 0)
		_exit(sandbox_tie_to_parent(1) ? 1 : 0);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* An older kernel is one that knows not the call. */
static void on_older_kernel(int missing, const char *lack)
{
	pid_t child = fork();
	if (child == 0) {
		scmp_filter_ctx older = seccomp_init(SCMP_ACT_ALLOW);
		bool is_older = seccomp_rule_add(older, SCMP_ACT_ERRNO(ENOSYS), missing, 0) == 0 &&
		                seccomp_rule_add(older, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP, 0)) == 0 &&
		                seccomp_load(older) == 0;
		const char *told = is_older ? sandbox_enter_worker() : NULL;
		_exit(told != NULL && strcmp(told, lack) == 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_an_older_kernel_is_told(void **state)
{
	(void)state;
#ifndef WARREN_SANITIZED
	on_older_kernel(SCMP_SYS(landlock_create_ruleset), "Landlock");
#endif
	on_older_kernel(SCMP_SYS(seccomp), "seccomp");
	assert_null(sandbox_lacks(true, true));
	assert_string_equal(sandbox_lacks(false, false), "seccomp and no Landlock");
}

static void test_the_rules_of_another_version_are_compared(void **state)
{
	(void)state;
	char text[SANDBOX_RULES_SIZE], less[SANDBOX_RULES_SIZE], more[SANDBOX_RULES_SIZE + 8];
	sandbox_control_rules(text);
	assert_int_equal(sandbox_control_lacks(text), 0);
	/* A call less, and one that this version does not know. */
	size_t length = strlen(text);
	memcpy(less, text, 16);
	memcpy(less + 16, text + 24, length - 24 + 1);
	assert_int_equal(sandbox_control_lacks(less), 1);
	snprintf(more, sizeof(more), "%s%s", text, "01234567");
	assert_int_equal(sandbox_control_lacks(more), 0);
	/* Other rules for files; nothing; and half a number. */
	memcpy(less, text, length + 1);
	less[7]++;
	assert_int_equal(sandbox_control_lacks(less), 1);
	assert_int_equal(sandbox_control_lacks(""), length / 8);
	assert_int_equal(sandbox_control_lacks("0123"), length / 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forbidden_calls_fail),    cmocka_unit_test(test_forbidden_arguments_fail),
		cmocka_unit_test(test_an_older_kernel_is_told), cmocka_unit_test(test_the_rules_of_another_version_are_compared),
		cmocka_unit_test(test_the_data_path_goes_on),   cmocka_unit_test(test_a_worker_whose_parent_is_gone_does_not_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
