/* The effect of one change on one tunnel or pool: its state before and after, and the resources acquired so far. */
#ifndef WARREN_SERVICE_CHANGE_DELTA_H
#define WARREN_SERVICE_CHANGE_DELTA_H

#include "service/change/mutation.h"
#include "service/change/policy.h"
#include "service/registry/registry.h"
#include "service/spec/candidate.h"
#include "service/worker/worker_request.h"

struct mutation;

struct delta {
	struct mutation *mutation; /* while it waits for a worker's reply */
	char key[OBJECT_KEY_SIZE];
	struct entry *entry;     /* the tunnel, or a new one that is not visible yet; NULL: there is none and none is created */
	bool is_new;             /* the entry is not in the registry */
	struct snapshot *before; /* referenced, or NULL */
	struct snapshot *after;  /* referenced; NULL: it is deleted. Equal to `before`: nothing changes */
	bool is_created;         /* an operation made it anew */
	bool makes_way;          /* an operation says what the tunnel goes through (chain.h) */
	bool is_stamped;         /* `after` has the revision of the fleet's record */
	bool binds_again;        /* an operation asked for the same spec, and the file of a unix socket is not there */
	uint64_t ts_floor;       /* ms: handshakes of a new entry are to be later; 0: of any time */
	char pointer[64];        /* of the tunnel within the request */
	struct socket_list sockets;
	struct message_addresses *addresses;
	struct worker_request request;
	bool is_prepared;     /* the worker holds a candidate to commit or abort */
	unsigned incarnation; /* of the worker's process that holds it */
	uint8_t applied;      /* enum message_applied, from the worker */
};

void delta_clear(struct delta *delta); /* frees an entry that is new */
bool delta_changes(const struct delta *delta);
size_t delta_peers(const struct delta *delta); /* how large it is: those before or those after, whichever are more */
/* Makes the tunnel that a POST, a PUT, a PATCH or a change of a peer asks for; the id is known, except for a POST. `now`, which may be NULL, is used
 * to complete it and to compare it ahead of the turn. Any thread; on the service's thread only if another change came first. */
void delta_read(const struct operation *operation, struct candidate *candidate, const struct snapshot *now);
/* One operation on top of what the delta has; everything wrong goes to operation->problem. `candidate` is what delta_read has made;
 * with a DELETE it may be NULL. */
void delta_apply(struct delta *delta, const struct policy *policy, struct operation *operation, struct candidate *candidate, unsigned scope);

#endif
