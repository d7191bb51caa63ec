/* A worker's sandbox: no system call that opens a file, creates a socket, connects or executes. */
#ifndef WARREN_SANDBOX_WORKER_SANDBOX_H
#define WARREN_SANDBOX_WORKER_SANDBOX_H

#include <stdbool.h>

/* No core file, no debugger, no new privileges, no terminal; the process ends with its parent `parent`. False if the parent is already gone. */
bool sandbox_tie_to_parent(int parent);
/* Drops all capabilities, installs the system call filter (call_filter.h), and, independently of it, forbids files and connections (landlock.h).
 * Returns NULL, or what the kernel lacks: the caller logs that in one line and continues. */
const char *sandbox_enter_worker(void);
/* Words for that line; NULL if the kernel lacks nothing. */
const char *sandbox_lacks(bool has_seccomp, bool has_landlock);

#endif
