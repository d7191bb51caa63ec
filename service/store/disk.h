/* The file system that holds the state directory: where it is mounted, and whether it is full. */
#ifndef WARREN_SERVICE_STORE_DISK_H
#define WARREN_SERVICE_STORE_DISK_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct disk {
	char directory[PATH_MAX], mount[PATH_MAX];
	atomic_bool is_full; /* any thread may read it */
};

void disk_init(struct disk *disk, const char *directory);
/* Notes what the store met; a change is logged. */
void disk_note(struct disk *disk, bool is_full);
/* What a user is told: the directory, and the file system on which to make room. */
void disk_explain(const struct disk *disk, char *text, size_t size);

#endif
