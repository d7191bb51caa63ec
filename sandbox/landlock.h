/* Landlock: which files a process may still open, make, remove or execute, that it opens no TCP connection of its own,
 * and that it signals nobody but itself and what it starts. Each right that
 * the kernel knows and no rule gives is gone. */
#ifndef WARREN_SANDBOX_LANDLOCK_H
#define WARREN_SANDBOX_LANDLOCK_H

#include <stdbool.h>

enum landlock_use {
	LANDLOCK_FILES,   /* files whose names are known */
	LANDLOCK_READ,    /* files, and lists of folders */
	LANDLOCK_EXECUTE, /* read and execute */
	LANDLOCK_DEVICE,  /* read and write what is there */
	LANDLOCK_SOCKETS, /* make and remove unix sockets */
	LANDLOCK_STATE,   /* everything but execution */
	LANDLOCK_USE_COUNT
};

/* A set of rules without a rule; `connects` leaves TCP and abstract unix sockets alone. -1 when the kernel has no Landlock. */
int landlock_create(bool connects);
/* What lies at or below `path`; nothing when there is nothing. */
void landlock_allow(int rules, const char *path, enum landlock_use use);
/* Consumes the set; it holds for this thread and what it starts, which gets no new privileges. */
bool landlock_enter(int rules);

#endif
