/* What one operation makes of a record of the fleet: checked as a change of this node's own is, by the same readers and rules, and by those of a
 * fleet:
 *
 * - What an object asks of a node may change: it moves to another place in one transaction, and its record names the place that it was in, so that
 *   nobody runs it anew before that one's node has let it go (keeper_has_let_go).
 * - A pool, and a tunnel inside another one, run beside the tunnels that they use. So each names its node.
 *
 * No I/O. The service's thread. */
#ifndef WARREN_SERVICE_FLEET_OBJECT_PLAN_H
#define WARREN_SERVICE_FLEET_OBJECT_PLAN_H

#include "service/change/delta.h"
#include "service/fleet/object_record.h"

struct object_plan {
	struct operation *operation; /* borrowed */
	struct fleet_key place;
	struct fleet_key before; /* of a record that moves: its place until now; kind FLEET_KEY_OTHER: it stays */
	int64_t revision;        /* of the record before; 0: there is none */
	struct delta delta;
	char *value; /* the record after; NULL: it is deleted */
};

/* Borrowed. */
struct object_plan_means {
	const struct policy *policy;
	const struct fleet_keyring *ring;
	/* Whether the nodes of a former class have let it go, as it was at that revision; NULL: it is not known of any. */
	bool (*has_let_go)(void *owner, const char *class, const char *key, int64_t revision);
	void *owner;
};

#define OBJECT_PLAN_FORMER 8 /* classes */

/* The object as a record has it, whose reference is the caller's; NULL with an object_record_error. */
struct snapshot *object_plan_read(const struct fleet_keyring *ring, const struct fleet_kv *kv, int *error);
/* Plans the operation, which has its id, on top of what is there (taken; NULL: nothing). What is wrong goes to the operation's problem; else it has
 * its answer, but for the revision. object_plan_clear, in any case. */
void object_plan_make(struct object_plan *plan, const struct object_plan_means *means, const struct mutation *mutation, struct operation *operation,
                      struct snapshot *before);
void object_plan_clear(struct object_plan *plan);
/* Whether there is something to write. */
bool object_plan_changes(const struct object_plan *plan);
/* By how many the shard has more objects afterwards. */
int object_plan_difference(const struct object_plan *plan);
/* It was written at that revision, which its answer tells. */
void object_plan_written(struct object_plan *plan, int64_t revision);

#endif
