#include "api/socket_group.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 65536 /* NGROUPS_MAX: a process has no more */

static bool find(const char *name, gid_t *group)
{
	const struct group *found = getgrnam(name);
	char *end;
	errno = 0;
	unsigned long number = strtoul(name, &end, 10);
	bool is_number = errno == 0 && *name >= '0' && *name <= '9' && *end == '\0' && number < SOCKET_GROUP_NONE;
	*group = found != NULL ? found->gr_gid : (gid_t)number;
	return found != NULL || is_number;
}

/* The caller's groups and one more, malloc'ed; NULL when out of memory or descriptors. */
static gid_t *own_groups(gid_t more, size_t *count)
{
	int own = getgroups(0, NULL);
	gid_t *groups = own < 0 ? NULL : calloc((size_t)own + 1, sizeof(*groups));
	if (groups == NULL || getgroups(own, groups) != own) {
		free(groups);
		return NULL;
	}
	groups[own] = more;
	*count = (size_t)own + 1;
	return groups;
}

static bool is_member(gid_t group)
{
	size_t count;
	gid_t *groups = own_groups(getegid(), &count);
	bool is_one = false;
	for (size_t i = 0; groups != NULL && i < count; i++)
		is_one |= groups[i] == group;
	free(groups);
	return is_one;
}

static bool join(gid_t group)
{
	size_t count;
	gid_t *groups = own_groups(group, &count);
	bool is_joined = groups != NULL && setgroups(count, groups) == 0;
	free(groups);
	return is_joined;
}

bool api_socket_group_enter(const char *name, gid_t *group, char failure[512])
{
	if (!find(name, group))
		snprintf(failure, 512, "--socket-group %.100s: there is no such group", name);
	else if (!is_member(*group) && (geteuid() != 0 || !join(*group)))
		snprintf(failure, 512, "--socket-group %.100s: the user that runs warrend must be a member of this group", name);
	else
		return true;
	return false;
}

bool api_socket_group_open(const char *path, gid_t group)
{
	return fchownat(AT_FDCWD, path, (uid_t)-1, group, AT_SYMLINK_NOFOLLOW) == 0 && chmod(path, 0660) == 0;
}

bool api_socket_group_has_peer(int descriptor, gid_t group)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	if (group == SOCKET_GROUP_NONE || getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
		return false;
	if (peer.gid == group)
		return true;
	gid_t few[32], *groups = few;
	length = sizeof(few);
	/* ERANGE with the length that is needed (socket(7), SO_PEERGROUPS). */
	int result = getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, few, &length);
	if (result != 0 && errno == ERANGE && length <= GROUPS_MAX * sizeof(gid_t)) {
		groups = malloc(length);
		result = groups == NULL ? -1 : getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, groups, &length);
	}
	bool is_one = false;
	for (size_t i = 0; result == 0 && i < length / sizeof(gid_t); i++)
		is_one |= groups[i] == group;
	if (groups != few)
		free(groups);
	return is_one;
}
