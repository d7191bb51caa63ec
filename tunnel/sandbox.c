#include "tunnel/sandbox.h"

#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tunnel/call_filter.h"
#include "tunnel/landlock.h"

bool sandbox_tie_to_parent(int parent)
{
	struct rlimit no_core = { 0, 0 };
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The parent may have died before the line above. */
	return getppid() == parent;
}

/* The data path's calls, then what the allocator and an abort need. Descriptors come in by recvmsg and accept4 alone. */
static const int allowed[] = {
	SCMP_SYS(read),           SCMP_SYS(write),        SCMP_SYS(readv),           SCMP_SYS(writev),        SCMP_SYS(recvmsg),
	SCMP_SYS(recvfrom),       SCMP_SYS(sendmsg),      SCMP_SYS(accept4),         SCMP_SYS(shutdown),      SCMP_SYS(close),
	SCMP_SYS(getsockopt),     SCMP_SYS(setsockopt),   SCMP_SYS(getsockname),     SCMP_SYS(getpeername),   SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),     SCMP_SYS(epoll_pwait),  SCMP_SYS(timerfd_settime), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom),      SCMP_SYS(munmap),       SCMP_SYS(mremap),          SCMP_SYS(madvise),       SCMP_SYS(brk),
	SCMP_SYS(mlock),          SCMP_SYS(mlock2),       SCMP_SYS(munlock),         SCMP_SYS(futex),         SCMP_SYS(fcntl),
	SCMP_SYS(ioctl),          SCMP_SYS(getpid),       SCMP_SYS(gettid),          SCMP_SYS(tgkill),        SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit),          SCMP_SYS(exit_group),
};

static bool add_rules(scmp_filter_ctx filter)
{
	/* Memory never becomes executable, and no file is mapped. */
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0 &&
	       seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
	                        SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS)) == 0 &&
	       /* Sending on what is connected; addresses are for sendmsg in udp.c alone. */
	       seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 1, SCMP_A4(SCMP_CMP_EQ, 0, 0)) == 0;
}

const char *sandbox_enter_worker(void)
{
#ifdef WARREN_SANITIZED
	bool has_landlock = true; /* their reports and counts are files */
#else
	bool has_landlock = landlock_enter(landlock_create(false));
#endif
	scmp_filter_ctx filter = call_filter_create(allowed, sizeof allowed / sizeof allowed[0]);
	if (filter != NULL && !add_rules(filter)) {
		seccomp_release(filter);
		filter = NULL;
	}
	return sandbox_lacks(call_filter_enter(filter), has_landlock);
}

const char *sandbox_lacks(bool has_seccomp, bool has_landlock)
{
	if (has_seccomp && has_landlock)
		return NULL;
	if (has_landlock)
		return "seccomp";
	return has_seccomp ? "Landlock" : "seccomp and no Landlock";
}
