/* Reload: what the daemon was started with is read again, on SIGHUP or a request: configuration and certificate (by the daemon), the access log, the
 * tunnels directory. What is wrong keeps its old value and is told. Service's thread. */
#ifndef WARREN_SERVICE_RELOADER_H
#define WARREN_SERVICE_RELOADER_H

#include "service/change/mutation.h"

struct folder;
struct line_writer;
struct reloader;
struct supervisor;

/* Borrowed. */
struct reloader_means {
	struct supervisor *supervisor;
	struct folder *folder;             /* or NULL */
	struct line_writer *access_writer; /* or NULL */
	/* Reads options and certificate; see service_options. Or NULL */
	void (*reload)(void *owner, struct problem *problem, json_t *reloaded, json_t *restart_needed);
	void *owner;
};

struct reloader *reloader_create(const struct reloader_means *means); /* NULL when out of memory */
void reloader_free(struct reloader *reloader);
/* For mutation_means, whose owner is the reloader: one after the other. */
void reloader_run(void *owner, struct mutation *mutation, void (*done)(void *mutation));

#endif
