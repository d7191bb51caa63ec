/* All pools' members: which tunnels they are, how each of them is, and that the workers know. A tunnel that is made, changed or deleted, and its
 * state, are followed at once; messages are sent in the loop's next turns. Service's thread only, except for membership_read. */
#ifndef WARREN_SERVICE_POOL_MEMBERSHIP_H
#define WARREN_SERVICE_POOL_MEMBERSHIP_H

#include <uv.h>

#include "service/registry/events.h"
#include "service/registry/pool_member_view.h"
#include "service/registry/registry.h"
#include "service/store/session_store.h"
#include "service/worker/supervisor.h"

struct membership;

/* Borrowed. */
struct membership_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct events *events;
	struct session_store *sessions;
	void (*told)(void *owner, const struct entry *pool); /* its state has changed */
	void *owner;
};

/* Watches the registry. NULL when out of memory. */
struct membership *membership_create(const struct membership_means *means, unsigned workers);
/* From then on it sends. */
void membership_start(struct membership *membership, struct supervisor *supervisor);
/* For the program that takes this one's place: the numbers by which workers know members, after the tunnels and pools were taken over and before
 * membership_start, which tells the workers all members again. False when it cannot be read. */
void membership_save(const struct membership *membership, struct message_writer *writer);
bool membership_load(struct membership *membership, struct message_reader *reader);
void membership_end(struct membership *membership);  /* before the registry goes; nothing follows but membership_free */
void membership_free(struct membership *membership); /* when the loop has run out */
/* The state or the health of the tunnel may have changed. */
void membership_tell(struct membership *membership, const struct entry *tunnel);
void membership_worker_changed(struct membership *membership); /* one is ready, or died: its tunnels' states are others, too */
void membership_tick(struct membership *membership);           /* a tenth of a second has passed */
/* What a pool's home tells of open connections; of a worker that is not its home it is out of date. False: it breaks the protocol. */
bool membership_take_open(struct membership *membership, const struct worker *worker, struct message_reader *body);
bool membership_take_sessions(struct membership *membership, const struct worker *worker, struct message_reader *body); /* likewise, of sessions */

/* The open connections through the pool, but none of a tunnel that has left it, as its home told a second ago. */
size_t membership_open_count(const struct membership *membership, const struct entry *entry);

/* A copy of the pool's members, malloc'ed, the pool's own first in their order; MEMBERSHIP_NONE when there is no such pool or no memory. Any thread.
 */
#define MEMBERSHIP_NONE SIZE_MAX
size_t membership_read(struct membership *membership, const char *id, struct pool_member_view **views);

#endif
