/* The workers that must know one pool: its home, and those that have members or had some. What each of them was told, and the messages. Service's
 * thread only. */
#ifndef WARREN_SERVICE_POOL_AUDIENCE_H
#define WARREN_SERVICE_POOL_AUDIENCE_H

#include "service/pool/member_list.h"
#include "service/registry/registry.h"
#include "service/store/session_store.h"
#include "service/worker/supervisor.h"

struct audience {
	struct listener {
		unsigned incarnation; /* of the process that was told */
		bool knows_pool;      /* as one whose home is elsewhere, until it ends: the connections of a member that left go on */
		bool has_spec, has_list;
	} * listeners; /* one for each worker */
	unsigned count;
	unsigned provisionings;    /* of the entry, when its home was told */
	unsigned home;             /* the incarnation of its process */
	uint64_t listed_at;        /* uv_now of the last list */
	bool is_inherited;         /* from the program before: any worker may know it */
	bool has_sessions;         /* its home was given those that are stored … */
	char after[POOL_KEY_SIZE]; /* … up to this key */
};

bool audience_init(struct audience *audience, unsigned workers); /* false when out of memory */
void audience_clear(struct audience *audience);
/* All are to be told anew. */
void audience_spec_changed(struct audience *audience);
void audience_list_changed(struct audience *audience);
/* Sends what is missing, a list of a thousand members at most each tenth of a second; false if something is left for later. `home` is the pool's
 * entry. */
bool audience_serve(struct audience *audience, struct supervisor *supervisor, const struct entry *home, const struct member_list *members,
                    uint64_t now);
/* Sends its home a part of the sessions that are stored, once for each provisioning and after the list; false if there are more. */
bool audience_send_sessions(struct audience *audience, const struct entry *home, struct session_store *sessions);
/* Sends one member that has changed to those that have the list. */
void audience_tell(struct audience *audience, struct supervisor *supervisor, const struct entry *home, const struct member_list *members,
                   size_t index);
/* The pool is no more: its home has been told by a REMOVE. */
void audience_end(struct audience *audience, struct supervisor *supervisor, const struct entry *home);

#endif
