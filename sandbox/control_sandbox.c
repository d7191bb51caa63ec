#include "sandbox/control_sandbox.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <link.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "ipc/counters.h"
#include "ipc/log.h"
#include "sandbox/call_filter.h"
#include "sandbox/capabilities.h"
#include "sandbox/landlock.h"
#include "sandbox/path_rights.h"
#include "sandbox/worker_sandbox.h"

#define SOCKET_TYPE_MASK 0xf /* the rest are flags */
/* Not CLONE_NEWTIME, whose bit belongs to clone's signal: only unshare and clone3 know it. */
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

#ifndef WARREN_SANITIZED
static void allow_folder_of(int rules, const char *path, enum landlock_use use)
{
	char copy[PATH_MAX], resolved[PATH_MAX];
	snprintf(copy, sizeof(copy), "%s", path);
	landlock_allow(rules, dirname(copy), use);
	if (realpath(path, resolved) != NULL)
		landlock_allow(rules, dirname(resolved), use);
}

/* A worker runs this program: its libraries are read from the same places as ours, and the loader is executed, too. */
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

static void allow_program_folder(int rules, const char *program)
{
	char copy[PATH_MAX];
	snprintf(copy, sizeof(copy), "%s", program);
	landlock_allow(rules, dirname(copy), LANDLOCK_EXECUTE);
}

static bool confine_files(const struct control_paths *paths)
{
	int rules = landlock_create(true);
	if (rules < 0)
		return false;
	landlock_allow(rules, "/proc/self/exe", LANDLOCK_EXECUTE);
	/* The next version, which is another file with the same name. */
	if (paths->program != NULL)
		allow_program_folder(rules, paths->program);
	dl_iterate_phdr(allow_object, &rules);
	landlock_allow(rules, "/proc", LANDLOCK_READ);
	landlock_allow(rules, "/sys/devices/system/cpu", LANDLOCK_READ);
	landlock_allow(rules, "/dev/null", LANDLOCK_DEVICE);
	landlock_allow(rules, "/dev/urandom", LANDLOCK_READ);
	/* resolv.conf, hosts and TLS settings. The first is often a link to a file of the network manager, in a directory below /run
	 * that may be created or replaced later, while a rule needs an existing directory. */
	landlock_allow(rules, "/etc", LANDLOCK_READ);
	landlock_allow(rules, "/run", LANDLOCK_FILES);
	allow_folder_of(rules, "/etc/resolv.conf", LANDLOCK_READ);
	if (paths->config != NULL)
		path_rights_renewed_file(rules, paths->config);
	if (paths->tls_cert != NULL) {
		path_rights_renewed_file(rules, paths->tls_cert);
		path_rights_renewed_file(rules, paths->tls_key);
	}
	for (size_t i = 0; paths->read_files != NULL && paths->read_files[i] != NULL; i++)
		path_rights_renewed_file(rules, paths->read_files[i]);
	landlock_allow(rules, paths->state_dir, LANDLOCK_STATE);
	if (paths->api_socket != NULL)
		allow_folder_of(rules, paths->api_socket, LANDLOCK_SOCKETS);
	if (paths->tunnels_dir != NULL)
		path_rights_tunnels(rules, paths->tunnels_dir);
	if (paths->tunnels_dir != NULL && paths->credentials_dir != NULL)
		landlock_allow(rules, paths->credentials_dir, LANDLOCK_READ);
	if (paths->access_log != NULL && strcmp(paths->access_log, "-") != 0)
		path_rights_log(rules, paths->access_log);
	for (size_t i = 0; i < paths->allow_socket_count; i++)
		path_rights_socket_folder(rules, paths->allow_socket[i]);
	return landlock_enter(rules);
}
#else
static bool confine_files(const struct control_paths *paths)
{
	(void)paths;
	return true; /* their reports and counts are files */
}
#endif

/* Grouped by purpose. Includes the calls that start a worker: its loader runs before its own list applies. */
static const int allowed[] = {
	/* files: the store, the state directory, resolver and TLS */
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
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
	SCMP_SYS(fchownat),
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
	SCMP_SYS(inotify_add_watch),
	SCMP_SYS(inotify_rm_watch),
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
	SCMP_SYS(getrandom),
	/* threads, workers, signals */
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(execve),
	SCMP_SYS(wait4),
	SCMP_SYS(waitid),
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
	SCMP_SYS(getgroups),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(close_range),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	/* a worker's own sandbox */
	SCMP_SYS(setsid),
	SCMP_SYS(capget),
	SCMP_SYS(capset),
	SCMP_SYS(seccomp),
	SCMP_SYS(landlock_create_ruleset),
	SCMP_SYS(landlock_add_rule),
	SCMP_SYS(landlock_restrict_self),
};

#define ARGUMENT(call, n, value)                                                                                                                     \
	{                                                                                                                                            \
		SCMP_SYS(call), 1,                                                                                                                   \
		{                                                                                                                                    \
			CALL_IS(n, value)                                                                                                            \
		}                                                                                                                                    \
	}

/* Sockets of the API, of tunnels and of the resolvers. */
static const struct call_rule socket_rules[] = {
	{ SCMP_SYS(socket), 2, { CALL_IS(0, AF_UNIX), CALL_MASKED(1, SOCKET_TYPE_MASK, SOCK_STREAM) } },
	{ SCMP_SYS(socket), 2, { CALL_IS(0, AF_UNIX), CALL_MASKED(1, SOCKET_TYPE_MASK, SOCK_DGRAM) } },
	{ SCMP_SYS(socket), 2, { CALL_IS(0, AF_INET), CALL_MASKED(1, SOCKET_TYPE_MASK, SOCK_STREAM) } },
	{ SCMP_SYS(socket), 2, { CALL_IS(0, AF_INET), CALL_MASKED(1, SOCKET_TYPE_MASK, SOCK_DGRAM) } },
	{ SCMP_SYS(socket), 2, { CALL_IS(0, AF_INET6), CALL_MASKED(1, SOCKET_TYPE_MASK, SOCK_STREAM) } },
	{ SCMP_SYS(socket), 2, { CALL_IS(0, AF_INET6), CALL_MASKED(1, SOCKET_TYPE_MASK, SOCK_DGRAM) } },
	CALL_OPTION(setsockopt, SOL_SOCKET, SO_REUSEADDR),
	CALL_OPTION(setsockopt, SOL_SOCKET, SO_REUSEPORT),
	CALL_OPTION(setsockopt, SOL_SOCKET, SO_SNDBUF),
	CALL_OPTION(setsockopt, SOL_SOCKET, SO_RCVBUF),
	CALL_OPTION(setsockopt, SOL_SOCKET, SO_SNDBUFFORCE),
	CALL_OPTION(setsockopt, SOL_SOCKET, SO_RCVBUFFORCE),
	CALL_OPTION(setsockopt, SOL_SOCKET, SO_LINGER),
	CALL_OPTION(setsockopt, SOL_SOCKET, SO_KEEPALIVE),
	CALL_OPTION(setsockopt, SOL_SOCKET, SO_RXQ_OVFL),
	CALL_OPTION(setsockopt, IPPROTO_TCP, TCP_NODELAY),
	CALL_OPTION(setsockopt, IPPROTO_TCP, TCP_CORK),
	CALL_OPTION(setsockopt, IPPROTO_TCP, TCP_NOTSENT_LOWAT),
	CALL_OPTION(setsockopt, IPPROTO_TCP, TCP_KEEPIDLE),
	CALL_OPTION(setsockopt, IPPROTO_TCP, TCP_KEEPINTVL),
	CALL_OPTION(setsockopt, IPPROTO_TCP, TCP_KEEPCNT),
	CALL_OPTION(setsockopt, IPPROTO_IP, IP_RECVERR),
	CALL_OPTION(setsockopt, IPPROTO_IPV6, IPV6_RECVERR),
	CALL_OPTION(setsockopt, IPPROTO_IPV6, IPV6_V6ONLY),
	/* used by workers, to which this list applies, too */
	CALL_OPTION(setsockopt, IPPROTO_IP, IP_MTU_DISCOVER),
	CALL_OPTION(setsockopt, IPPROTO_IPV6, IPV6_MTU_DISCOVER),
	CALL_OPTION(setsockopt, SOL_UDP, UDP_GRO),
	/* Others are forbidden, among them input into a terminal (TIOCSTI). */
	ARGUMENT(ioctl, 1, FIONBIO),
	ARGUMENT(ioctl, 1, FIOCLEX),
	ARGUMENT(ioctl, 1, FIONREAD),
	ARGUMENT(ioctl, 1, TCGETS),
	/* Others are forbidden, among them setting the owner of signals (F_SETOWN). */
	ARGUMENT(fcntl, 1, F_DUPFD),
	ARGUMENT(fcntl, 1, F_DUPFD_CLOEXEC),
	ARGUMENT(fcntl, 1, F_GETFD),
	ARGUMENT(fcntl, 1, F_SETFD),
	ARGUMENT(fcntl, 1, F_GETFL),
	ARGUMENT(fcntl, 1, F_SETFL),
	ARGUMENT(fcntl, 1, F_GETLK),
	ARGUMENT(fcntl, 1, F_SETLK),
	ARGUMENT(fcntl, 1, F_SETLKW),
	ARGUMENT(fcntl, 1, F_ADD_SEALS),
};

/* Memory, threads and workers. */
static const struct call_rule process_rules[] = {
	/* Memory is executable only if mapped from a file, as the loader does. */
	{ SCMP_SYS(mmap), 1, { CALL_LACKS(2, PROT_EXEC) } },
	{ SCMP_SYS(mmap), 1, { CALL_LACKS(3, MAP_ANONYMOUS) } },
	{ SCMP_SYS(mprotect), 1, { CALL_LACKS(2, PROT_EXEC) } },
	{ SCMP_SYS(clone), 1, { CALL_LACKS(0, NAMESPACES) } },
	/* For abort, in this process or in a worker whose own list does not apply yet. */
	ARGUMENT(tgkill, 2, SIGABRT),
	ARGUMENT(kill, 1, 0),
	ARGUMENT(kill, 1, SIGKILL),
	ARGUMENT(kill, 1, SIGTERM),
	ARGUMENT(prlimit64, 0, 0),
	ARGUMENT(prctl, 0, PR_SET_NAME),
	ARGUMENT(prctl, 0, PR_SET_DUMPABLE),
	ARGUMENT(prctl, 0, PR_SET_NO_NEW_PRIVS),
	ARGUMENT(prctl, 0, PR_SET_PDEATHSIG),
	ARGUMENT(prctl, 0, PR_SET_SECCOMP),
	ARGUMENT(prctl, 0, PR_GET_SECCOMP),
	ARGUMENT(prctl, 0, PR_CAPBSET_READ),
	ARGUMENT(prctl, 0, PR_CAPBSET_DROP),
	ARGUMENT(prctl, 0, PR_CAP_AMBIENT),
};

/* What depends on the kernel, and what libraries try and can do without. */
static scmp_filter_ctx add_own_rules(scmp_filter_ctx filter)
{
	/* Landlock does not cover execution of memory files, so they must be created non-executable (Linux 6.3). */
	const struct call_rule memory = { SCMP_SYS(memfd_create), 1, { CALL_HAS(1, counters_memory_flags()) } };
	filter = call_filter_add(filter, &memory, 1);
	const struct scmp_arg_cmp netlink = { .arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_NETLINK };
	/* Its flags are in memory, which filters cannot see; on ENOSYS the library uses clone. */
	if (filter != NULL && (seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) != 0 ||
	                       /* getaddrinfo asks which families have addresses, and takes both when it cannot. */
	                       seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, netlink) != 0)) {
		seccomp_release(filter);
		return NULL;
	}
	return filter;
}

static scmp_filter_ctx make_filter(void)
{
	scmp_filter_ctx filter = call_filter_create(allowed, sizeof(allowed) / sizeof(allowed[0]));
	filter = call_filter_add(filter, socket_rules, sizeof(socket_rules) / sizeof(socket_rules[0]));
	filter = call_filter_add(filter, process_rules, sizeof(process_rules) / sizeof(process_rules[0]));
	return add_own_rules(filter);
}

void sandbox_enter_control(const struct control_paths *paths)
{
	bool has_landlock = confine_files(paths);
	/* A daemon started as root keeps low ports and large buffers, and no other capability. */
	capabilities_keep(CAPABILITY(CAP_NET_BIND_SERVICE) | CAPABILITY(CAP_NET_ADMIN));
	const char *lack = sandbox_lacks(call_filter_enter(make_filter()), has_landlock);
	if (lack != NULL)
		log_line(LOG_WARN, NULL, "this kernel has no %s: the control process's sandbox is weaker", lack);
}

/* To be raised with any change of the rules for files, and of add_own_rules. A program with another number takes the place of this one by a restart.
 */
#define OTHER_RULES 2u
#define NUMBER_DIGITS 8

static uint32_t mix(uint32_t hash, const void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 16777619u; /* FNV-1a */
	return hash;
}

static uint32_t number_of(const struct call_rule *rule)
{
	uint32_t hash = mix(2166136261u, &rule->call, sizeof(rule->call));
	for (unsigned k = 0; k < rule->count; k++) {
		const uint64_t condition[] = { rule->conditions[k].arg, rule->conditions[k].op, rule->conditions[k].datum_a,
			                       rule->conditions[k].datum_b };
		hash = mix(hash, condition, sizeof(condition));
	}
	return hash;
}

static char *put_number(char *at, uint32_t number)
{
	return at + snprintf(at, NUMBER_DIGITS + 1, "%08x", number);
}

static char *put_rules(char *at, const struct call_rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++)
		at = put_number(at, number_of(&rules[i]));
	return at;
}

void sandbox_control_rules(char text[SANDBOX_RULES_SIZE])
{
	enum { CALLS = sizeof(allowed) / sizeof(allowed[0]), SOCKETS = sizeof(socket_rules) / sizeof(socket_rules[0]) };
	enum { PROCESSES = sizeof(process_rules) / sizeof(process_rules[0]) };
	static_assert(NUMBER_DIGITS * (1 + CALLS + SOCKETS + PROCESSES) < SANDBOX_RULES_SIZE, "the text has room for all rules");
	char *at = put_number(text, OTHER_RULES);
	for (size_t i = 0; i < CALLS; i++)
		at = put_number(at, number_of(&(struct call_rule){ .call = allowed[i] }));
	at = put_rules(at, socket_rules, SOCKETS);
	(void)put_rules(at, process_rules, PROCESSES);
}

static bool has_number(const char *text, const char *number)
{
	for (; strlen(text) >= NUMBER_DIGITS; text += NUMBER_DIGITS)
		if (memcmp(text, number, NUMBER_DIGITS) == 0)
			return true;
	return false;
}

unsigned sandbox_control_lacks(const char *text)
{
	char own[SANDBOX_RULES_SIZE];
	unsigned lacking = 0;
	sandbox_control_rules(own);
	for (const char *number = own; *number != '\0'; number += NUMBER_DIGITS)
		lacking += !has_number(text, number);
	return lacking;
}

uint64_t sandbox_control_edition(void)
{
	char text[SANDBOX_RULES_SIZE];
	sandbox_control_rules(text);
	uint64_t hash = 14695981039346656037u;
	for (const char *at = text; *at != '\0'; at++)
		hash = (hash ^ (uint8_t)*at) * 1099511628211u; /* FNV-1a */
	return hash;
}

void sandbox_resume_control(void)
{
	call_filter_watch();
}
