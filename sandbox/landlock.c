#include "sandbox/landlock.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Missing in the oldest linux/landlock.h with which this must build. */
#define FS_REFER (1ULL << 13)
#define FS_TRUNCATE (1ULL << 14)
#define FS_IOCTL_DEV (1ULL << 15)
#define NET_ALL 3ULL        /* bind and connect TCP */
#define SCOPE_ABSTRACT 1ULL /* abstract unix sockets of processes outside */
#define SCOPE_SIGNAL 2ULL   /* signals to them */

struct rights {
	uint64_t files, net, scope;
};

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_SOCKETS (LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define FS_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE | FS_TRUNCATE | FS_IOCTL_DEV)

static const uint64_t rights_of[] = {
	[LANDLOCK_FILES] = LANDLOCK_ACCESS_FS_READ_FILE,
	[LANDLOCK_READ] = FS_READ,
	[LANDLOCK_EXECUTE] = FS_READ | LANDLOCK_ACCESS_FS_EXECUTE,
	[LANDLOCK_DEVICE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
	[LANDLOCK_SOCKETS] = FS_SOCKETS,
	[LANDLOCK_LOG] = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG,
	[LANDLOCK_STATE] = FS_READ | FS_SOCKETS | FS_TRUNCATE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
	                   LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR,
};
static_assert(sizeof(rights_of) / sizeof(rights_of[0]) == LANDLOCK_USE_COUNT, "each use has its rights");

/* The version of the kernel's Landlock; below 1 if it has none. */
static long version(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static uint64_t known_files(long kernel)
{
	uint64_t known = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1;
	if (kernel >= 2)
		known |= FS_REFER;
	if (kernel >= 3)
		known |= FS_TRUNCATE;
	if (kernel >= 5)
		known |= FS_IOCTL_DEV;
	return known;
}

int landlock_create(bool connects)
{
	long kernel = version();
	if (kernel < 1)
		return -1;
	struct rights refused = { .files = known_files(kernel) };
	size_t size = sizeof(refused.files);
	if (!connects && kernel >= 4) {
		refused.net = NET_ALL;
		size += sizeof(refused.net);
	}
	/* The size of the scope's field implies the one before it, which may be empty. */
	if (kernel >= 6) {
		refused.scope = connects ? SCOPE_SIGNAL : SCOPE_SIGNAL | SCOPE_ABSTRACT;
		size = sizeof(refused);
	}
	return (int)syscall(SYS_landlock_create_ruleset, &refused, size, 0);
}

void landlock_allow(int rules, const char *path, enum landlock_use use)
{
	struct stat info;
	int place = open(path, O_PATH | O_CLOEXEC);
	if (place < 0 || fstat(place, &info) != 0) {
		if (place >= 0)
			close(place);
		return;
	}
	struct landlock_path_beneath_attr rule = { .parent_fd = place, .allowed_access = rights_of[use] & known_files(version()) };
	if (!S_ISDIR(info.st_mode))
		rule.allowed_access &= FS_FILE;
	/* If this fails, the path stays forbidden, which becomes visible. */
	(void)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(place);
}

bool landlock_enter(int rules)
{
	if (rules < 0)
		return false;
	bool entered = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
	close(rules);
	return entered;
}
