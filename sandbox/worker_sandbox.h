/* What a worker may ask of the kernel: nothing that opens a file, makes a socket, connects or executes. */
#ifndef WARREN_SANDBOX_WORKER_SANDBOX_H
#define WARREN_SANDBOX_WORKER_SANDBOX_H

#include <stdbool.h>

/* No core file, no debugger, no new privileges, no terminal; the process ends with its parent `parent`. False when the parent is gone already. */
bool sandbox_tie_to_parent(int parent);
/* From here on no capability is left, a forbidden call or argument fails (call_filter.h), and so would opening a file or a connection without that
 * list (landlock.h). NULL, or what the kernel lacks for it: the caller says so in one line and goes on. */
const char *sandbox_enter_worker(void);
/* What a kernel lacks, in words for that line; NULL when it lacks nothing. */
const char *sandbox_lacks(bool has_seccomp, bool has_landlock);

#endif
