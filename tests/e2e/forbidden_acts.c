/* Linked into `warrend_hooked`, which is warrend plus this file: on the real-time signal SIGRTMIN + n the process tries act n and reports the
 * result. So a test can make a real worker, and the control process, try what they must not be able to do. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/control_sandbox.h"
#include "service/inheritance.h"

static long do_nothing(void)
{
	return 0;
}

static long open_folder(void)
{
	return open("/home", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A file of the test's choice. */
static long open_given(void)
{
	const char *path = getenv("WARREN_GIVEN_FILE");
	return open(path == NULL ? "/home" : path, O_RDONLY | O_CLOEXEC);
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
	return connect(STDERR_FILENO, (const struct sockaddr *)&discard, sizeof(discard));
}

static long bind_socket(void)
{
	return bind(STDERR_FILENO, (const struct sockaddr *)&discard, sizeof(discard));
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

/* It connects a listener that was shut down. */
static long send_fast_open(void)
{
	struct msghdr message = { .msg_name = (void *)(uintptr_t)&discard, .msg_namelen = sizeof(discard) };
	return sendmsg(STDERR_FILENO, &message, MSG_FASTOPEN);
}

static long send_out_of_band(void)
{
	struct msghdr message = { .msg_namelen = 0 };
	return sendmsg(STDERR_FILENO, &message, MSG_OOB);
}

static long set_option(int level, int name)
{
	int on = 1;
	return setsockopt(STDERR_FILENO, level, name, &on, sizeof(on));
}

static long set_fast_open(void)
{
	return set_option(IPPROTO_TCP, TCP_FASTOPEN_CONNECT);
}

static long attach_filter(void)
{
	return set_option(SOL_SOCKET, SO_ATTACH_BPF);
}

static long type_in_terminal(void)
{
	return ioctl(STDERR_FILENO, TIOCSTI, "x");
}

static long signal_parent(void)
{
	return tgkill(getppid(), getppid(), 0);
}

static long give_signals_to_parent(void)
{
	return fcntl(STDERR_FILENO, F_SETOWN, getppid());
}

static long choose_signal(void)
{
	return fcntl(STDERR_FILENO, F_SETSIG, SIGKILL);
}

static long limit_parent(void)
{
	const struct rlimit none = { 0, 0 };
	return prlimit(getppid(), RLIMIT_FSIZE, &none, NULL);
}

/* A program that no file system holds, for which Landlock has no rule. */
static long make_program_in_memory(void)
{
	return memfd_create("program", MFD_CLOEXEC);
}

static long start_in_namespace(void)
{
	long child = syscall(SYS_clone, (unsigned long)CLONE_NEWUSER | SIGCHLD, 0ul, 0ul, 0ul, 0ul);
	if (child == 0)
		_exit(0);
	return child;
}

static long allow_debugger(void)
{
	return prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
}

static const struct {
	const char *name;
	long (*attempt)(void);
} acts[] = {
	{ "do_nothing", do_nothing },
	{ "open_folder", open_folder },
	{ "open_given", open_given },
	{ "create_file", create_file },
	{ "make_socket", make_socket },
	{ "make_raw_socket", make_raw_socket },
	{ "connect_socket", connect_socket },
	{ "bind_socket", bind_socket },
	{ "execute", execute },
	{ "start_process", start_process },
	{ "make_code", make_code },
	{ "kill_parent", kill_parent },
	{ "trace_parent", trace_parent },
	{ "leave_namespace", leave_namespace },
	{ "send_fast_open", send_fast_open },
	{ "send_out_of_band", send_out_of_band },
	{ "set_fast_open", set_fast_open },
	{ "attach_filter", attach_filter },
	{ "type_in_terminal", type_in_terminal },
	{ "signal_parent", signal_parent },
	{ "give_signals_to_parent", give_signals_to_parent },
	{ "choose_signal", choose_signal },
	{ "limit_parent", limit_parent },
	{ "make_program_in_memory", make_program_in_memory },
	{ "start_in_namespace", start_in_namespace },
	{ "allow_debugger", allow_debugger },
};
#define ACT_COUNT (int)(sizeof(acts) / sizeof(acts[0]))

static void on_signal(int number)
{
	int before = errno, act = number - SIGRTMIN;
	errno = 0;
	long result = acts[act].attempt();
	char line[128];
	int length = snprintf(line, sizeof(line), "act %s of %d: %s\n", acts[act].name, (int)getpid(), result < 0 ? strerrorname_np(errno) : "done");
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

bool __real_inheritance_load(const struct inheritance_means *means, struct handover *handover);
bool __wrap_inheritance_load(const struct inheritance_means *means, struct handover *handover);

static void die_at(const char *moment)
{
	const char *chosen = getenv("WARREND_IS_KILLED");
	if (chosen != NULL && strcmp(chosen, moment) == 0)
		kill(getpid(), SIGKILL);
}

/* A program that its check finds good, and that then cannot take over. */
bool __wrap_inheritance_load(const struct inheritance_means *means, struct handover *handover)
{
	die_at("after");
	return getenv("WARREND_CANNOT_TAKE_OVER") == NULL && __real_inheritance_load(means, handover);
}

int __real_handover_seal(struct handover *handover);
int __wrap_handover_seal(struct handover *handover);

/* A stop at the last moment before the program is replaced. */
int __wrap_handover_seal(struct handover *handover)
{
	die_at("before");
	if (getenv("WARREND_IS_STOPPED_LATE") != NULL)
		kill(getpid(), SIGTERM);
	return __real_handover_seal(handover);
}

void __real_sandbox_control_rules(char text[SANDBOX_RULES_SIZE]);
void __wrap_sandbox_control_rules(char text[SANDBOX_RULES_SIZE]);

/* A version whose sandbox lacks a rule that every other one has. */
void __wrap_sandbox_control_rules(char text[SANDBOX_RULES_SIZE])
{
	__real_sandbox_control_rules(text);
	if (getenv("WARREND_LACKS_A_RULE") != NULL)
		text[strlen(text) - 8] = '\0';
}
