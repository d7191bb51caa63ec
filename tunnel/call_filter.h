/* A list of the system calls that a process may make from now on. Any other does nothing: it returns EPERM and is told in the log, which
 * every end-to-end test reads. Under sanitizers and coverage, which need files, it is made and only the kernel logs it. */
#ifndef WARREN_TUNNEL_CALL_FILTER_H
#define WARREN_TUNNEL_CALL_FILTER_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>

/* NULL when memory ran out. */
scmp_filter_ctx call_filter_create(const int *allowed, size_t count);
/* Consumes the filter; it holds for this thread and what it starts. False when the kernel has no seccomp. */
bool call_filter_enter(scmp_filter_ctx filter);

#endif
