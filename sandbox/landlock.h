/* Landlock: restricts which files a process may open, create, remove or execute, forbids TCP connections, and limits signals to itself and
 * processes that it starts. Every right that the kernel knows and no rule grants is denied. */
#ifndef WARREN_SANDBOX_LANDLOCK_H
#define WARREN_SANDBOX_LANDLOCK_H

#include <stdbool.h>

enum landlock_use {
	LANDLOCK_FILES,   /* files whose names are known */
	LANDLOCK_READ,    /* files, and listing directories */
	LANDLOCK_EXECUTE, /* read and execute */
	LANDLOCK_DEVICE,  /* read and write existing files */
	LANDLOCK_SOCKETS, /* create and remove unix sockets */
	LANDLOCK_LOG,     /* create and write files */
	LANDLOCK_STATE,   /* everything but execution */
	LANDLOCK_USE_COUNT
};

/* Creates an empty set of rules; `connects` permits TCP and abstract unix sockets. -1 if the kernel has no Landlock. */
int landlock_create(bool connects);
/* Grants rights to everything at or below `path`; does nothing if it does not exist. */
void landlock_allow(int rules, const char *path, enum landlock_use use);
/* Takes the set, which then applies to this thread and everything it starts; sets no-new-privileges. */
bool landlock_enter(int rules);

#endif
