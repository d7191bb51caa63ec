/* A file layer for SQLite that fails on request: the Nth call, or all writes, as on a full disk. */
#ifndef WARREN_TESTS_SERVICE_FAILING_VFS_H
#define WARREN_TESTS_SERVICE_FAILING_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum failing_call { FAILING_WRITE, FAILING_SYNC, FAILING_TRUNCATE, FAILING_READ, FAILING_OPEN, FAILING_CALLS };

/* Registers it; the name is for store_open. */
const char *failing_vfs_register(void);
void failing_vfs_make_default(void); /* for stores that name none */
/* The Nth call from now (1 is the next) of that kind fails with SQLite's code, once; 0 switches it off. */
void failing_vfs_fail(enum failing_call call, int nth, int code);
/* A write stores half of its data before it fails. */
void failing_vfs_short_writes(bool on);
void failing_vfs_full(bool on);
bool failing_vfs_has_failed(void); /* since failing_vfs_fail */
/* Called after each write, truncation (to `offset`) and flush that succeeded, from the thread that did it; NULL: not any more. `name` is
 * the file's without its folder. */
typedef void failing_vfs_watcher(const char *name, enum failing_call call, int64_t offset, const void *bytes, int length);
void failing_vfs_watch(failing_vfs_watcher *watcher);

#endif
