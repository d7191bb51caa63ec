#include "sandbox/worker_sandbox.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/call_filter.h"
#include "sandbox/capabilities.h"
#include "sandbox/landlock.h"

bool sandbox_tie_to_parent(int parent)
{
	struct rlimit no_core = { 0, 0 };
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Detaches from the operator's terminal. */
	setsid();
	/* The parent may have died before the line above. */
	return getppid() == parent;
}

/* The data path's calls, then those of the allocator and of abort. Descriptors arrive only by recvmsg and accept4. qsort calls sysinfo once, for
 * the amount of memory. pread reads the one file that is open, /proc/self/statm (usage.h). */
static const int allowed[] = {
	SCMP_SYS(read),       SCMP_SYS(write),        SCMP_SYS(readv),           SCMP_SYS(writev),        SCMP_SYS(accept4),
	SCMP_SYS(shutdown),   SCMP_SYS(close),        SCMP_SYS(getsockname),     SCMP_SYS(getpeername),   SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),  SCMP_SYS(timerfd_settime), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom),  SCMP_SYS(munmap),       SCMP_SYS(mremap),          SCMP_SYS(madvise),       SCMP_SYS(brk),
	SCMP_SYS(mlock),      SCMP_SYS(mlock2),       SCMP_SYS(munlock),         SCMP_SYS(futex),         SCMP_SYS(getpid),
	SCMP_SYS(gettid),     SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),  SCMP_SYS(rt_sigreturn),  SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),       SCMP_SYS(exit_group),   SCMP_SYS(sysinfo),         SCMP_SYS(pread64),
};

static scmp_filter_ctx add_rules(scmp_filter_ctx filter)
{
	const struct call_rule rules[] = {
		/* Memory never becomes executable, and no file is mapped. */
		{ SCMP_SYS(mprotect), 1, { CALL_LACKS(2, PROT_EXEC) } },
		{ SCMP_SYS(mmap), 2, { CALL_LACKS(2, PROT_EXEC), CALL_HAS(3, MAP_ANONYMOUS) } },
		/* MSG_FASTOPEN would connect a listener that was shut down, to any address. Only sendmsg may carry an address, on a UDP socket. */
		{ SCMP_SYS(sendmsg), 1, { CALL_HAS_ONLY(2, MSG_NOSIGNAL | MSG_DONTWAIT) } },
		{ SCMP_SYS(sendto), 2, { CALL_HAS_ONLY(3, MSG_NOSIGNAL | MSG_DONTWAIT), { 4, SCMP_CMP_EQ, 0, 0 } } },
		{ SCMP_SYS(recvmsg), 1, { CALL_HAS_ONLY(2, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) } },
		{ SCMP_SYS(recvfrom), 1, { CALL_HAS_ONLY(3, MSG_DONTWAIT) } },
		CALL_OPTION(setsockopt, SOL_SOCKET, SO_LINGER),
		CALL_OPTION(setsockopt, IPPROTO_IP, IP_MTU_DISCOVER),
		CALL_OPTION(setsockopt, IPPROTO_IPV6, IPV6_MTU_DISCOVER),
		CALL_OPTION(setsockopt, SOL_UDP, UDP_GRO),
		CALL_OPTION(getsockopt, SOL_SOCKET, SO_DOMAIN),
		CALL_OPTION(getsockopt, SOL_SOCKET, SO_TYPE),
		CALL_OPTION(getsockopt, SOL_SOCKET, SO_PROTOCOL),
		CALL_OPTION(getsockopt, SOL_SOCKET, SO_ACCEPTCONN),
		/* For abort: a signal to this process only. */
		{ SCMP_SYS(tgkill), 1, { CALL_IS(0, getpid()) } },
	};
	return call_filter_add(filter, rules, sizeof(rules) / sizeof(rules[0]));
}

const char *sandbox_enter_worker(void)
{
#ifdef WARREN_SANITIZED
	bool has_landlock = true; /* their reports and counts are files */
#else
	bool has_landlock = landlock_enter(landlock_create(false));
#endif
	capabilities_keep(0);
	scmp_filter_ctx filter = add_rules(call_filter_create(allowed, sizeof(allowed) / sizeof(allowed[0])));
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
