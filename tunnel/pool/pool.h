/* The pools that a worker knows. A pool's home is the worker that has its listeners: there a member is chosen for each client. Elsewhere a pool is
 * only what the control process tells of it, and by that a client is judged that another worker hands over. */
#ifndef WARREN_TUNNEL_POOL_POOL_H
#define WARREN_TUNNEL_POOL_POOL_H

#include "ipc/pool_message.h"
#include "tunnel/io/loop.h"
#include "tunnel/pool/chooser.h"
#include "tunnel/pool/link.h"
#include "tunnel/pool/rule_set.h"
#include "tunnel/pool/sticky.h"
#include "tunnel/tunnel.h"

#define POOL_SESSIONS_MOST 100000 /* sticky keys of a pool */

struct pool_visit;

/* What is made of a spec. */
struct pool_parts {
	struct rule_set *rules;
	struct chooser *chooser;
};

struct pool {
	struct pools *pools;
	struct pool *next;
	uint64_t number;
	struct tunnel *front;        /* at home, once committed: what has the listeners; else NULL */
	uint32_t home;               /* elsewhere: the worker */
	struct spec told_spec;       /* elsewhere; its kind is SPEC_POOL when there is one */
	struct pool_parts parts;     /* at home, empty before the first commit */
	struct pool_parts *prepared; /* of a change; hears of members, too */
	struct sticky *sticky;       /* at home */
	struct pool_visit *visits;   /* connections through it that this worker chose a member for, or has */
	size_t visit_count;
	bool is_listed;  /* all members are told */
	bool is_open;    /* at home: the sessions that were stored, too, so that a client is not given another member than it had */
	bool has_opened; /* the members' open connections have changed since they were reported */
};

struct pools_means {
	struct context *context;
	uint32_t worker; /* this one */
	/* The tunnel in a slot, or NULL. */
	struct tunnel *(*find)(struct context *context, uint32_t slot);
	link_arrived *arrived;
	void (*opened)(struct tunnel *front); /* members and sessions are known, for the first time */
};

/* NULL when out of memory. */
struct pools *pools_create(const struct pools_means *means);
void pools_free(struct pools *pools); /* when its pools and their connections have ended. NULL is allowed */
const struct pools_means *pools_means(const struct pools *pools);
struct pool *pools_find(const struct pools *pools, uint64_t number);
/* The link to a worker, or NULL. */
struct link *pools_link(struct pools *pools, uint32_t worker);
/* The tunnel of a member, if this worker has it; else NULL. */
struct tunnel *pools_member_tunnel(const struct pools *pools, const struct pool_member *member);
/* The other end is closed, or has broken the protocol: the link is freed, and in the second case the control process is told. */
void pools_link_ended(struct pools *pools, struct link *link, bool is_broken);
/* A keyed hash. */
uint64_t pools_hash(const struct pools *pools, const void *bytes, size_t length);

/* At home. A pool is made with its first change, and front->pool is set. One that was known as elsewhere becomes this one with the commit, and the
 * connections that it has here go on. False when out of memory: then nothing has changed. */
bool pool_prepare(struct pools *pools, struct tunnel *front, uint64_t number, const struct spec *spec);
void pool_abort(struct pool *pool);
/* Once front->spec is the new one. Cannot fail. */
void pool_commit(struct pool *pool, struct tunnel *front);
/* Ends front->pool, if there is one, and its connections wherever they are. */
void pool_end_home(struct tunnel *front);

/* Before the end of a home whose successor is another worker: what it has not reported yet of its sessions. Does nothing for a tunnel. */
void pool_hand_over(struct tunnel *front);

const struct spec *pool_spec(const struct pool *pool);

/* Messages of the control process. Sessions are taken only of members that are known. */
void pools_take_link(struct pools *pools, const struct peer_link *message, int descriptor); /* takes the descriptor */
void pools_take_elsewhere(struct pools *pools, struct pool_elsewhere *message);             /* takes the contents */
void pools_take_end(struct pools *pools, uint64_t number);
void pools_take_members(struct pools *pools, struct pool_members *message, bool is_whole_list); /* takes the contents */
void pools_take_sessions(struct pools *pools, const struct pool_sessions *message);
/* How many sessions of a pool were deleted. */
uint32_t pool_forget_sessions(struct pool *pool, const struct pool_forget *message);
/* At home: fills in the counts. */
void pool_count_sessions(const struct pool *pool, const struct pool_count *message, struct pool_counted *reply);

#endif
