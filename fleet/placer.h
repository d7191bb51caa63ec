/* The placer: whichever valid node holds `p/leader` gives shards to nodes (fleet_placement.h) and takes them away. No I/O, no clock: it reads a
 * node's view and asks for transactions. One thread.
 *
 * Every move is a transaction that compares the placer's key, the shard's epoch and, if the owner is dead, the revision of that node's last
 * heartbeat. So a placer that is no longer one changes nothing, nobody moves a shard that has moved, and a node that has written once more keeps its
 * shards.
 *
 * - Nodes: one is dead when it said `bye`, or was silent for ttl + margin; never because its lease or key has vanished. Silent for less, or not known
 * to hear, it keeps its shards and gets no more.
 * - A dead owner's shards are given away at once, in batches.
 * - A living owner first has to let go: {n: "", f: owner}. The shard is given away when that node's `a` has reached this revision, or after
 *   ttl + margin: by then it has applied the release, or is not valid. One such move is under way at a time, and its end is that the new owner serves
 *   (its `a` has reached the epoch): a drained node's shards leave one after the other.
 * - ts_floor: the new owner's handshakes must be later than every one of the old owner's, whatever the clocks, or peers drop them. So it is at least
 *   the old owner's last known time of day, and the floor that it had itself, plus the time that it may have served after that. */
#ifndef WARREN_FLEET_PLACER_H
#define WARREN_FLEET_PLACER_H

#include "fleet/node.h"

struct fleet_placer;

/* Borrows the node, which must outlive it. `seed` is random. NULL when out of memory. */
struct fleet_placer *fleet_placer_create(const struct fleet_node *node, const struct fleet_rule *rule, uint64_t seed);
void fleet_placer_free(struct fleet_placer *placer); /* NULL is allowed */
/* The next request (LEAD or PLACE). To be called after every event of the node and at fleet_placer_wake; `wall` is the time of day in ms. */
bool fleet_placer_next(struct fleet_placer *placer, struct fleet_request *request, uint64_t wall, uint64_t now);
uint64_t fleet_placer_wake(const struct fleet_placer *placer, uint64_t now);
void fleet_placer_reply(struct fleet_placer *placer, const struct fleet_reply *reply, uint64_t now);

#endif
