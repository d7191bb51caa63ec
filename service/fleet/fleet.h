/* This daemon as a node of a fleet (docs/fleet.md): joins what etcd says of its shards to the tunnels here. Service's thread, unless a function says
 * otherwise. */
#ifndef WARREN_SERVICE_FLEET_FLEET_H
#define WARREN_SERVICE_FLEET_FLEET_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "fleet/fleet_options.h"

struct events;
struct fleet;
struct mutation;
struct mutations;
struct registry;
struct roster;
struct state_dir;
struct store;

/* Borrowed. */
struct fleet_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct mutations *mutations;
	const struct state_dir *state_dir; /* open: its lock says that no other process is this node on this machine */
	/* Workers may send until then for tunnels that stop in isolation: CLOCK_BOOTTIME in ms; 0: not at all. */
	void (*deadline)(void *owner, uint64_t deadline);
	/* After fleet_leave: nothing more is asked of etcd. `has_heirs`: it knows, and other nodes are there that take everything. */
	void (*left)(void *owner, bool has_heirs);
	void *owner;
};

/* Reads what has to be read before the sandbox closes: libcurl, keys, the password. Borrows the options and events. NULL with a line for the user. */
struct fleet *fleet_create(const struct fleet_options *options, struct events *events, char failure[512]);
/* The loop must run once more. NULL is allowed. */
void fleet_free(struct fleet *fleet);
/* Whether the files that the options name can be read. */
bool fleet_check(const struct fleet_options *options, char failure[512]);
/* The stored tunnels are there: joins the fleet. False: it could not, which was told in the log. */
bool fleet_start(struct fleet *fleet, const struct fleet_means *means);
/* Ends what is under way without a word to etcd, as a program does that another one follows in this process. fleet_start begins anew. */
void fleet_pause(struct fleet *fleet);
/* Whether a mutation is about what the fleet has, and goes through fleet_submit. Any thread. */
bool fleet_takes(const struct mutation *mutation);
/* Takes the mutation until `done`, which is called before this returns if the daemon ends. fleet_run starts it. Any thread. */
void fleet_submit(struct fleet *fleet, struct mutation *mutation);
void fleet_run(struct fleet *fleet);
/* Answers all that it has, and takes no more until fleet_start. */
void fleet_end_writes(struct fleet *fleet);
/* Each second. */
void fleet_tick(struct fleet *fleet);
/* Whether its tunnels go to others, one after the other; kept over restarts. */
void fleet_drain(struct fleet *fleet, bool is_draining);
/* What other threads read of the fleet. */
struct roster *fleet_roster(const struct fleet *fleet);
/* Silent at once, whatever comes; nothing is changed here any more. When the workers have ended, fleet_say_bye; then, or when a second has passed
 * without an answer, `left`. */
void fleet_leave(struct fleet *fleet);
void fleet_say_bye(struct fleet *fleet);
/* Others have what this node had: a start would run it here, too, until etcd answers. So it is not kept. */
void fleet_forget(struct registry *registry, struct store *store);

#endif
