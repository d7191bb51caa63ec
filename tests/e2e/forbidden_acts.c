/* Linked into `warrend_hooked`, which is warrend with this file besides: on the real-time signal SIGRTMIN + n the process tries act n and
 * says how it went. So a test asks a real worker, and the control process, for what they must not be able to do. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static long do_nothing(void)
{
	return 0;
}

static long open_folder(void)
{
	return open("/home", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static long create_file(void)
{
	return open("/tmp/warren-forbidden", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long make_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long make_raw_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static const struct sockaddr_in discard = { .sin_family = AF_INET };

/* stderr is no socket: a call that is let through fails too, but otherwise. */
static long connect_socket(void)
{
	return connect(STDERR_FILENO, (const struct sockaddr *)&discard, sizeof discard);
}

static long bind_socket(void)
{
	return bind(STDERR_FILENO, (const struct sockaddr *)&discard, sizeof discard);
}

static long execute(void)
{
	char *const arguments[] = { (char *)(uintptr_t) "true", NULL };
	return execv("/bin/true", arguments);
}

static long start_process(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	return child < 0 ? -1 : waitpid(child, NULL, 0);
}

static long make_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static long kill_parent(void)
{
	return kill(getppid(), 0);
}

static long trace_parent(void)
{
	return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL);
}

static long leave_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static const struct {
	const char *name;
	long (*attempt)(void);
} acts[] = {
	{ "do_nothing", do_nothing },           { "open_folder", open_folder },
	{ "create_file", create_file },         { "make_socket", make_socket },
	{ "make_raw_socket", make_raw_socket }, { "connect_socket", connect_socket },
	{ "bind_socket", bind_socket },         { "execute", execute },
	{ "start_process", start_process },     { "make_code", make_code },
	{ "kill_parent", kill_parent },         { "trace_parent", trace_parent },
	{ "leave_namespace", leave_namespace },
};
#define ACT_COUNT (int)(sizeof acts / sizeof acts[0])

static void on_signal(int number)
{
	int before = errno, act = number - SIGRTMIN;
	errno = 0;
	long result = acts[act].attempt();
	char line[128];
	int length = snprintf(line, sizeof line, "act %s of %d: %s\n", acts[act].name, (int)getpid(), result < 0 ? strerrorname_np(errno) : "done");
	ssize_t written = write(STDERR_FILENO, line, (size_t)length);
	(void)written;
	errno = before;
}

__attribute__((constructor)) static void watch(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	for (int act = 0; act < ACT_COUNT; act++)
		sigaction(SIGRTMIN + act, &action, NULL);
}
