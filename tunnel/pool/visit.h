/* A connection's way through a pool: at home, the member chosen for it, wherever that is; elsewhere, that it came from the pool's home. */
#ifndef WARREN_TUNNEL_POOL_VISIT_H
#define WARREN_TUNNEL_POOL_VISIT_H

#include "tunnel/connection.h"
#include "tunnel/http/http_error.h"
#include "tunnel/http/target.h"
#include "tunnel/pool/pool.h"

#define POOL_PATIENCE (5 * LOOP_SECOND)             /* for a member, and no longer than connect_timeout */
#define POOL_TRIED_MOST (POOL_SPEC_RETRIES_MAX + 8) /* members in one choice, with those whose worker could not be reached */

struct pool_visit {
	struct pool *pool;
	struct pool_visit *next, **before; /* of the pool */
	struct connection *connection;     /* NULL: another worker has it */
	uint32_t member;                   /* 0: none yet */
	bool is_own;                       /* chosen among the pool's own members, not those of a rule, whose place may change */
	uint64_t identity;                 /* of what decided the choice */
	char *key;                         /* the session as lists show it, owned; NULL: none */
	char *user;                        /* of an association: NAME, owned */
	size_t user_length;
	/* At home. */
	struct sticky_entry *session;
	uint32_t tried[POOL_TRIED_MOST];  /* in vain, for this request … */
	bool is_awaited[POOL_TRIED_MOST]; /* … because its worker did not know it, perhaps not yet */
	size_t tried_count, failures;
	bool is_kept; /* the key had the member before */
	uint64_t patient_until;
	bool is_later; /* the request is not the one that the member was chosen for */
	/* Another worker has the connection (home), or gave it (elsewhere; NULL when it has died since). */
	struct link *link;
	uint32_t place, serial;
	struct pool_visit *link_next, **link_before;
};

/* What a member is chosen by. */
struct pool_ask {
	const char *user; /* as offered; NULL: none */
	const struct target *target;
	const struct connection *connection;
};

/* At home: a new visit without a member. NULL when out of memory. */
struct pool_visit *visit_create(struct pool *pool, struct connection *connection);
/* Chooses a member that was not tried yet. HTTP_ERROR_NONE, or why there is none. A key keeps its member as long as that is not known to be down, and
 * a worker may hear of the pool a little later than its home: the visit has no member if the client is to wait, and to choose again soon
 * (POOL_PATIENCE). */
struct http_fault visit_choose(struct pool_visit *visit, const struct pool_ask *ask);
/* The member's tunnel, if this worker has it. */
struct tunnel *visit_tunnel(const struct pool_visit *visit);
/* The link to the worker that has the member; NULL: there is none, or it is this one. */
struct link *visit_link(const struct pool_visit *visit);
/* The member could not be reached, with `is_bounced` because its worker did not know it: whether the client is to wait, as above. Else the member is
 * skipped. One that was bounced, or is to be on this worker and is not, is chosen again when there is no other. */
bool visit_waits(struct pool_visit *visit, bool is_bounced);
/* The member could not be used. */
void visit_skip(struct pool_visit *visit);
/* The connection through the member failed before a byte of an answer: whether another member may be tried. A key keeps its member as long as
 * that is healthy. */
bool visit_fail(struct pool_visit *visit, enum http_error error);
/* Whether the next request of the connection is served by the same member without asking the home: nothing that decides has changed, and the member
 * takes new connections. */
bool visit_stays(const struct pool_visit *visit, const struct pool_ask *ask);

/* It does, and the request has retries of its own. */
void visit_begin_request(struct pool_visit *visit);

/* Before an association begins, whose member is chosen: keeps the user for visit_lets_pass. False when out of memory. */
bool visit_begin_datagrams(struct pool_visit *visit, const struct pool_ask *ask) __attribute__((warn_unused_result));
/* Whether a datagram of the association may go to this target, by the rules as they are now: through the tunnel that it has, which must be among
 * those of the target's rule. A tunnel that has left the pool keeps the datagrams that no rule matches, if it was one of the pool's own. */
bool visit_lets_pass(const struct pool_visit *visit, const struct target *target);

/* Elsewhere: a visit that another worker hands over. NULL when out of memory. */
struct pool_visit *visit_receive(struct pool *pool, uint32_t member);
/* Whether the member may serve this client, by what the control process has told. */
bool visit_allows(struct pool_visit *visit, const struct pool_ask *ask);

/* Whether the open connections have reached the limit of the pool. At home. */
bool visit_is_over_limit(const struct pool_visit *visit);
/* Ends it and frees it: the key and the member have a connection less. Elsewhere the home is told. NULL is allowed. */
void visit_end(struct pool_visit *visit);

#endif
