#include "service/socket/socket_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(int descriptor, int error)
{
	if (descriptor >= 0)
		close(descriptor);
	errno = error;
	return -1;
}

/* The next component, cut off `path`; NULL at the end. */
static const char *next_component(char **path)
{
	char *component;
	do
		component = strsep(path, "/");
	while (component != NULL && component[0] == '\0');
	return component;
}

/* What was resolved a moment ago and cannot be opened now was replaced, unless the host lacks something. */
static int refuse(void)
{
	return fail(-1, errno == EMFILE || errno == ENFILE || errno == ENOMEM ? errno : EACCES);
}

/* Walks from `directory`, which it closes; -1 as open() returned it. */
static int walk(int directory, char *path)
{
	for (const char *component = next_component(&path); component != NULL && directory >= 0; component = next_component(&path)) {
		int next = strcmp(component, "..") == 0 ? -1 : openat(directory, component, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(directory);
		directory = next;
	}
	return directory < 0 ? refuse() : directory;
}

/* The rest of the resolved path below a root, or NULL. */
static char *below(const char *root, char *parent)
{
	size_t length = strlen(root);
	bool is_below = strncmp(parent, root, length) == 0 && (parent[length] == '/' || parent[length] == '\0');
	return is_below ? parent + length : NULL;
}

int socket_path_directory(const struct socket_roots *roots, const char *path, const char **name)
{
	char copy[SOCKET_PATH_SIZE], parent[PATH_MAX], root[PATH_MAX];
	const char *slash = strrchr(path, '/');
	if (slash == NULL || strlen(path) >= sizeof(copy))
		return fail(-1, EACCES);
	*name = slash + 1;
	if ((*name)[0] == '\0' || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0)
		return fail(-1, EACCES);
	snprintf(copy, sizeof(copy), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	/* Existing links are resolved now; later ones are not followed. */
	if (realpath(copy, parent) == NULL)
		return -1;
	for (size_t i = 0; i < roots->count; i++) {
		char *rest = realpath(roots->list[i], root) == NULL ? NULL : below(root, parent);
		if (rest != NULL)
			return walk(open(root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rest);
	}
	return fail(-1, EACCES);
}

int socket_path_open(const struct socket_roots *roots, const char *path)
{
	const char *name;
	struct stat info;
	int directory = socket_path_directory(roots, path, &name);
	if (directory < 0)
		return -1;
	int descriptor = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int error = errno;
	close(directory);
	if (descriptor < 0)
		return fail(-1, error);
	if (fstat(descriptor, &info) != 0 || !S_ISSOCK(info.st_mode))
		return fail(descriptor, ECONNREFUSED);
	return descriptor;
}

bool socket_path_address(int descriptor, const char *name, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	int length = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d%s%s", descriptor, name == NULL ? "" : "/",
	                      name == NULL ? "" : name);
	return length > 0 && (size_t)length < sizeof(address->sun_path);
}
