#include "daemon/confine.h"

#include <elf.h>
#include <libgen.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/call_filter.h"
#include "tunnel/landlock.h"
#include "tunnel/log.h"
#include "tunnel/sandbox.h"

#ifndef WARREN_SANITIZED
/* Rights at the nearest folder that is there: what `path` names may be made later. */
static void allow_nearest(int rules, const char *path, enum landlock_use use)
{
	char copy[PATH_MAX];
	snprintf(copy, sizeof copy, "%s", path);
	char *place = copy;
	while (access(place, F_OK) != 0 && strcmp(place, "/") != 0 && strcmp(place, ".") != 0)
		place = dirname(place);
	landlock_allow(rules, place, use);
}

static void allow_folder_of(int rules, const char *path, enum landlock_use use)
{
	char copy[PATH_MAX], resolved[PATH_MAX];
	snprintf(copy, sizeof copy, "%s", path);
	landlock_allow(rules, dirname(copy), use);
	if (realpath(path, resolved) != NULL)
		landlock_allow(rules, dirname(resolved), use);
}

/* A worker is this program again: its libraries are read from where ours are, and their loader is executed beside it. */
static int allow_object(struct dl_phdr_info *object, size_t size, void *owner)
{
	int rules = *(int *)owner;
	(void)size;
	if (object->dlpi_name[0] == '/')
		allow_folder_of(rules, object->dlpi_name, LANDLOCK_READ);
	for (unsigned i = 0; i < object->dlpi_phnum; i++)
		if (object->dlpi_phdr[i].p_type == PT_INTERP)
			landlock_allow(rules, (const char *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr), LANDLOCK_EXECUTE);
	return 0;
}

static bool confine_files(const struct options *options)
{
	int rules = landlock_create(true);
	if (rules < 0)
		return false;
	landlock_allow(rules, "/proc/self/exe", LANDLOCK_EXECUTE);
	dl_iterate_phdr(allow_object, &rules);
	landlock_allow(rules, "/proc", LANDLOCK_READ);
	landlock_allow(rules, "/sys/devices/system/cpu", LANDLOCK_READ);
	landlock_allow(rules, "/dev/null", LANDLOCK_DEVICE);
	landlock_allow(rules, "/dev/urandom", LANDLOCK_READ);
	/* resolv.conf, hosts and the settings of TLS; the first is often a link, and replaced when the network changes. */
	landlock_allow(rules, "/etc", LANDLOCK_READ);
	allow_folder_of(rules, "/etc/resolv.conf", LANDLOCK_READ);
	if (options->tls_cert != NULL) {
		landlock_allow(rules, options->tls_cert, LANDLOCK_READ);
		landlock_allow(rules, options->tls_key, LANDLOCK_READ);
	}
	landlock_allow(rules, options->service.state_dir, LANDLOCK_STATE);
	if (options->api.unix_socket[0] != '\0')
		allow_folder_of(rules, options->api.unix_socket, LANDLOCK_SOCKETS);
	for (size_t i = 0; i < options->allow_socket_count; i++)
		allow_nearest(rules, options->allow_socket[i], LANDLOCK_SOCKETS);
	return landlock_enter(rules);
}
#else
static bool confine_files(const struct options *options)
{
	(void)options;
	return true; /* their reports and counts are files */
}
#endif

/* By what they are for. What starts a worker is here too: its loader runs before its own list holds. */
static const int allowed[] = {
	/* files: the store, the state directory, resolver and TLS */
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(close),
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(fcntl),
	SCMP_SYS(ioctl),
	SCMP_SYS(flock),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(getdents64),
	SCMP_SYS(getcwd),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(chmod),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(fchown),
	SCMP_SYS(umask),
	SCMP_SYS(utimensat),
	/* sockets; socket itself is below */
	SCMP_SYS(socketpair),
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(connect),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(sendto),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(sendfile),
	/* waiting and time */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(pipe2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(inotify_init1),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(mlock),
	SCMP_SYS(mlock2),
	SCMP_SYS(munlock),
	SCMP_SYS(memfd_create),
	SCMP_SYS(getrandom),
	/* threads, workers, signals */
	SCMP_SYS(clone),
	SCMP_SYS(clone3),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(execve),
	SCMP_SYS(wait4),
	SCMP_SYS(waitid),
	SCMP_SYS(kill),
	SCMP_SYS(tgkill),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(membarrier),
	SCMP_SYS(futex),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(prctl),
	SCMP_SYS(prlimit64),
	SCMP_SYS(getrlimit),
	SCMP_SYS(setrlimit),
	SCMP_SYS(getrusage),
	SCMP_SYS(sysinfo),
	SCMP_SYS(uname),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	/* a worker's own sandbox */
	SCMP_SYS(seccomp),
	SCMP_SYS(landlock_create_ruleset),
	SCMP_SYS(landlock_add_rule),
	SCMP_SYS(landlock_restrict_self),
};

static bool add_rules(scmp_filter_ctx filter)
{
	static const unsigned families[] = { AF_UNIX, AF_INET, AF_INET6 };
	for (unsigned i = 0; i < sizeof families / sizeof families[0]; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, families[i], 0)) != 0)
			return false;
	/* Only a file becomes code, as the loader maps it. */
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0 &&
	       seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0)) == 0 &&
	       seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0;
}

void confine_control(const struct options *options)
{
	bool has_landlock = confine_files(options);
	scmp_filter_ctx filter = call_filter_create(allowed, sizeof allowed / sizeof allowed[0]);
	if (filter != NULL && !add_rules(filter)) {
		seccomp_release(filter);
		filter = NULL;
	}
	const char *lack = sandbox_lacks(call_filter_enter(filter), has_landlock);
	if (lack != NULL)
		log_line(LOG_WARN, NULL, "this kernel has no %s: the control process's sandbox is weaker", lack);
}
