#include "sandbox/path_rights.h"

#include <dirent.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/landlock.h"

#define LINKS_MAX 40 /* as the kernel follows (path_resolution(7)) */

/* The directory that contains `path`, with its links resolved; false if there is none, or it is the root directory. */
static bool folder_of(const char *path, char folder[PATH_MAX])
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	return realpath(dirname(copy), folder) != NULL && strcmp(folder, "/") != 0;
}

static void allow_folder_around(int rules, const char *path, enum landlock_use use)
{
	char folder[PATH_MAX];

	if (folder_of(path, folder))
		landlock_allow(rules, folder, use);
}

/* The target's directory and the one that contains it, where a renewal may make another one (archive/1, archive/2). Not one of the few at the
 * top, which contain more than one program's files. */
static void allow_folders_of_target(int rules, const char *target)
{
	char folder[PATH_MAX];

	if (!folder_of(target, folder))
		return;
	landlock_allow(rules, folder, LANDLOCK_FILES);
	const char *parent = dirname(folder);
	if (strchr(parent + 1, '/') != NULL)
		landlock_allow(rules, parent, LANDLOCK_FILES);
}

/* The target of the link `path`, as a path from here; false if it is not a link. */
static bool read_link(const char *path, char target[PATH_MAX])
{
	char text[PATH_MAX], copy[PATH_MAX];
	ssize_t length = readlink(path, text, sizeof(text) - 1);

	if (length <= 0)
		return false;
	text[length] = '\0';
	snprintf(copy, sizeof(copy), "%s", path);
	int written = text[0] == '/' ? snprintf(target, PATH_MAX, "%s", text) : snprintf(target, PATH_MAX, "%s/%s", dirname(copy), text);
	return written < PATH_MAX;
}

/* Each component of the path may be a link, and each component of its target. */
static void follow_links(int rules, const char *path, unsigned *left)
{
	char part[PATH_MAX], target[PATH_MAX];

	for (const char *end = path; end != NULL;) {
		end = strchr(end + 1, '/');
		size_t length = end == NULL ? strlen(path) : (size_t)(end - path);
		snprintf(part, sizeof(part), "%.*s", (int)length, path);
		if (!read_link(part, target) || *left == 0)
			continue;
		(*left)--;
		allow_folders_of_target(rules, target);
		follow_links(rules, target, left);
	}
}

void path_rights_renewed_file(int rules, const char *path)
{
	unsigned left = LINKS_MAX;

	landlock_allow(rules, path, LANDLOCK_READ);
	allow_folder_around(rules, path, LANDLOCK_FILES);
	follow_links(rules, path, &left);
}

/* Not one of the few at the top, which contain more than one program's files. */
static void allow_listing(int rules, const char *folder)
{
	if (folder[0] == '/' && strchr(folder + 1, '/') != NULL)
		landlock_allow(rules, folder, LANDLOCK_READ);
}

static void allow_listing_around(int rules, const char *path)
{
	char folder[PATH_MAX];
	if (folder_of(path, folder))
		allow_listing(rules, folder);
}

/* The files that are links, and where they lead. */
static void follow_entries(int rules, const char *path)
{
	DIR *stream = opendir(path);
	const struct dirent *entry;
	while (stream != NULL && (entry = readdir(stream)) != NULL) {
		char file[PATH_MAX], target[PATH_MAX];
		unsigned left = LINKS_MAX;
		int length = snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		if (length < PATH_MAX && read_link(file, target))
			follow_links(rules, file, &left);
	}
	if (stream != NULL)
		closedir(stream);
}

void path_rights_tunnels(int rules, const char *path)
{
	char resolved[PATH_MAX];
	landlock_allow(rules, path, LANDLOCK_READ);
	allow_listing_around(rules, path);
	if (realpath(path, resolved) != NULL)
		allow_listing_around(rules, resolved);
	follow_entries(rules, path);
}

void path_rights_log(int rules, const char *path)
{
	char resolved[PATH_MAX];
	struct stat info;
	bool exists = stat(path, &info) == 0;

	landlock_allow(rules, path, LANDLOCK_LOG);
	if (exists && S_ISCHR(info.st_mode))
		return;
	allow_folder_around(rules, path, LANDLOCK_LOG);
	if (exists && realpath(path, resolved) != NULL)
		allow_folder_around(rules, resolved, LANDLOCK_LOG);
}

void path_rights_socket_folder(int rules, const char *path)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	char *place = copy;
	while (access(place, F_OK) != 0 && strcmp(place, "/") != 0 && strcmp(place, ".") != 0)
		place = dirname(place);
	landlock_allow(rules, place, LANDLOCK_SOCKETS);
	if (strcmp(place, path) == 0)
		allow_folder_around(rules, path, LANDLOCK_SOCKETS);
}
