#include "sandbox/call_filter.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "ipc/log.h"

#define TOLD_MAX 16 /* lines per process, so that a compromised one cannot fill the disk */

#if defined(WARREN_SANITIZED)
#define REFUSAL SCMP_ACT_LOG
#elif defined(__x86_64__)
#define REFUSAL SCMP_ACT_TRAP
#define RESULT(context) (context)->uc_mcontext.gregs[REG_RAX]
#elif defined(__aarch64__)
#define REFUSAL SCMP_ACT_TRAP
#define RESULT(context) (context)->uc_mcontext.regs[0]
#else
#define REFUSAL SCMP_ACT_ERRNO(EPERM)
#endif

scmp_filter_ctx call_filter_create(const int *allowed, size_t count)
{
	scmp_filter_ctx filter = seccomp_init(REFUSAL);
	for (size_t i = 0; filter != NULL && i < count; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0) != 0) {
			seccomp_release(filter);
			filter = NULL;
		}
	return filter;
}

scmp_filter_ctx call_filter_add(scmp_filter_ctx filter, const struct call_rule *rules, size_t count)
{
	for (size_t i = 0; filter != NULL && i < count; i++)
		if (seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].count, rules[i].conditions) != 0) {
			seccomp_release(filter);
			filter = NULL;
		}
	return filter;
}

#ifdef RESULT
#define CALLS 512 /* more than there are of one architecture */

/* Made before the filter applies, because a signal handler cannot allocate. NULL: no call has this number. */
static char *names[CALLS];

static void read_names(void)
{
	for (int i = 0; i < CALLS; i++)
		names[i] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
}

static const char *name_of(int call)
{
	return call < 0 || call >= CALLS || names[call] == NULL ? "unknown" : names[call];
}

/* Runs in place of the call, whose caller may hold any lock: log_line takes none. */
static void on_refused(int signal, siginfo_t *info, void *context)
{
	static atomic_uint told;
	(void)signal;
	if (atomic_fetch_add(&told, 1) < TOLD_MAX)
		log_line(LOG_ERROR, NULL, "the sandbox refused the system call %s (%d)", name_of(info->si_syscall), info->si_syscall);
	RESULT((ucontext_t *)context) = -EPERM;
}

void call_filter_watch(void)
{
	read_names();
	struct sigaction action = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_NODEFER };
	sigaction(SIGSYS, &action, NULL);
}
#else
void call_filter_watch(void)
{
}
#endif

bool call_filter_enter(scmp_filter_ctx filter)
{
	call_filter_watch();
	bool entered = filter != NULL && seccomp_load(filter) == 0;
	if (filter != NULL)
		seccomp_release(filter);
	return entered;
}
