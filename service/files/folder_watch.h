/* Tells when something in a directory has changed, or another directory has taken its place. Service's thread. */
#ifndef WARREN_SERVICE_FILES_FOLDER_WATCH_H
#define WARREN_SERVICE_FILES_FOLDER_WATCH_H

#include <stdbool.h>
#include <uv.h>

struct folder_watch {
	uv_fs_event_t inside, around; /* the directory, and the one that contains it */
	uv_timer_t settle;
	const char *path;     /* borrowed */
	char *folder, *name;  /* of what contains it, and its name there */
	uint64_t first_event; /* uv_now of the first since the last report, or 0 */
	void (*changed)(void *owner);
	void *owner;
};

/* Calls `changed` when nothing has happened for 200 ms after an event. Borrows the path. False when out of memory: the loop knows nothing of it
 * then. The handles are closed by who owns the loop. */
bool folder_watch_init(struct folder_watch *watch, uv_loop_t *loop, const char *path, void (*changed)(void *owner), void *owner);
void folder_watch_clear(struct folder_watch *watch); /* when the handles are closed */
/* Watches what is at the path now. To be called before the directory is read. False: nothing will be told. */
bool folder_watch_renew(struct folder_watch *watch);
/* Calls `changed` after that time, if not before. */
void folder_watch_wake(struct folder_watch *watch, uint64_t after_ms);
void folder_watch_stop(struct folder_watch *watch);

#endif
