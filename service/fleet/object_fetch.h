/* Fetches a tunnel or a pool of the fleet by its id: its id's record says of which class it is, and so where its own record is. Both reads are
 * linearizable. Service's thread. */
#ifndef WARREN_SERVICE_FLEET_OBJECT_FETCH_H
#define WARREN_SERVICE_FLEET_OBJECT_FETCH_H

#include "fleet/etcd/etcd_store.h"
#include "service/fleet/object_plan.h"

/* Embedded in what asks; all zeros but for its first members before it begins. */
struct object_fetch {
	struct etcd_store *store; /* borrowed */
	const struct fleet_keyring *ring;
	/* From the loop; not after object_fetch_cancel. */
	void (*done)(void *owner, enum etcd_error error);
	void *owner;
	struct fleet_key key; /* of its record, once its class is known */
	bool is_known;        /* its class is */
	/* The answer */
	struct snapshot *found; /* referenced; NULL: there is none */
	int error;              /* enum object_record_error: why what is there cannot be read */
	struct etcd_job *asked; /* private */
	bool is_second;         /* private */
};

/* The id is valid. False when out of memory, and then nothing is told. */
bool object_fetch_begin(struct object_fetch *fetch, enum spec_kind kind, const char *id);
/* Whether or not it is under way. What was found and not taken is released. */
void object_fetch_cancel(struct object_fetch *fetch);

#endif
