/* The tunnels directory (--tunnels-dir): each file in it is a tunnel or a pool, from the start on and as it changes. Service's thread, unless a
 * function says otherwise. */
#ifndef WARREN_SERVICE_FILES_FOLDER_H
#define WARREN_SERVICE_FILES_FOLDER_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

struct folder;
struct mutations;
struct registry;

/* Borrowed. */
struct folder_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct mutations *mutations;
	const char *path;
	const char *credentials; /* of the service manager, or NULL */
};

struct folder *folder_create(const struct folder_means *means); /* NULL when out of memory */
void folder_free(struct folder *folder);                        /* when its handles are closed */
/* The stored tunnels are there: goes over the files, and watches them from then on. */
void folder_start(struct folder *folder);
/* Goes over the files again, and calls `done` when that is over. One at a time; false if another waits. */
bool folder_reload(struct folder *folder, void (*done)(void *owner), void *owner);
void folder_stop(struct folder *folder);
bool folder_is_done(const struct folder *folder); /* the first pass is over. Any thread */
/* What is wrong with files: [{"file", "detail", "at"}], a new reference; NULL when out of memory. Any thread. */
json_t *folder_faults(struct folder *folder);
size_t folder_fault_count(struct folder *folder);

#endif
