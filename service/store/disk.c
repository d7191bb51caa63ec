#include "service/store/disk.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ipc/log.h"

/* The uppermost directory above `path` with the same device. */
static void find_mount(const char *path, char mount[PATH_MAX])
{
	char above[PATH_MAX];
	struct stat here, there;

	if (realpath(path, mount) == NULL || stat(mount, &here) != 0) {
		snprintf(mount, PATH_MAX, "%s", path);
		return;
	}
	while (strcmp(mount, "/") != 0) {
		memcpy(above, mount, PATH_MAX);
		const char *parent = dirname(above);
		if (stat(parent, &there) != 0 || there.st_dev != here.st_dev)
			return;
		memmove(mount, parent, strlen(parent) + 1);
	}
}

void disk_init(struct disk *disk, const char *directory)
{
	*disk = (struct disk){ .is_full = false };
	snprintf(disk->directory, sizeof(disk->directory), "%s", directory);
	find_mount(directory, disk->mount);
}

void disk_explain(const struct disk *disk, char *text, size_t size)
{
	snprintf(text, size, "the disk is full: the file system mounted at %.300s has no room for %.300s", disk->mount, disk->directory);
}

void disk_note(struct disk *disk, bool is_full)
{
	char text[768];

	if (atomic_exchange(&disk->is_full, is_full) == is_full)
		return;
	disk_explain(disk, text, sizeof(text));
	if (is_full)
		log_line(LOG_ERROR, NULL, "%s; tunnels run on and can be deleted, but nothing can be created or grow", text);
	else
		log_line(LOG_INFO, NULL, "the file system mounted at %.300s has room again", disk->mount);
}
