/* The members of one pool: the tunnels that its selection or one of its rules has, as they are now. The service's thread changes it; the owner's lock
 * is held meanwhile, for readers of other threads. */
#ifndef WARREN_SERVICE_POOL_MEMBER_LIST_H
#define WARREN_SERVICE_POOL_MEMBER_LIST_H

#include "ipc/pool_message.h"
#include "service/registry/snapshot.h"

struct member {
	struct snapshot *snapshot; /* of the tunnel, referenced */
	uint32_t number;           /* of no other member, before or after it */
	uint32_t order;            /* its place among those that are named; UINT32_MAX: it is not */
	bool is_own;               /* the pool's selection has it, and not only a rule's */
	uint32_t open;             /* connections, as its home has told */
	/* What it is now. */
	enum tunnel_state state;
	enum pool_health health;
	uint32_t rtt_us; /* 0: not known */
};

struct member_name {
	const char *id; /* of the spec */
	uint32_t order;
	bool is_own;
};

struct member_list {
	struct member *list; /* sorted by id */
	size_t count, capacity;
	uint32_t next_number;
	struct member_name *names; /* that the spec names, sorted by id */
	size_t name_count;
	uint32_t unnamed; /* the order of the first that has no name */
};

enum member_change {
	MEMBER_UNCHANGED,
	MEMBER_CHANGED, /* one of the members */
	MEMBER_LIST_CHANGED,
	MEMBER_NO_MEMORY, /* the list is as it was */
};

void member_list_clear(struct member_list *members);
/* Takes the names of the spec, which is borrowed from then on. False when out of memory. */
bool member_list_set_names(struct member_list *members, const struct spec_pool *pool);
/* The tunnel was made or changed: it comes into the list, changes in it, or leaves it. */
enum member_change member_list_put(struct member_list *members, const struct spec_pool *pool, struct snapshot *tunnel);
enum member_change member_list_remove(struct member_list *members, const char *id);
/* Reads state and health anew. */
enum member_change member_read(struct member *member);
struct member *member_list_find(struct member_list *members, const char *id); /* or NULL */
struct member *member_list_at(struct member_list *members, uint32_t number);  /* of that number, or NULL */
/* Whether it gets new connections. */
bool member_is_up(const struct member *member);
/* The value of the label warren.weight; 1 when it has none, or one that is no weight. */
uint32_t member_weight(const struct snapshot *tunnel);
/* How the workers are told; the labels are borrowed. `index` is its place in the list. */
void member_describe(const struct member_list *members, size_t index, struct pool_member *message);

#endif
