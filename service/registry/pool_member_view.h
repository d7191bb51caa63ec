/* A member of a pool, as clients of the API see it. */
#ifndef WARREN_SERVICE_REGISTRY_POOL_MEMBER_VIEW_H
#define WARREN_SERVICE_REGISTRY_POOL_MEMBER_VIEW_H

#include "ipc/pool_message.h"

struct pool_member_view {
	char tunnel[64];
	enum tunnel_state state;
	enum pool_health health;
	uint32_t rtt_us; /* 0: not known */
	uint32_t open;   /* connections of this pool */
	uint32_t weight;
	bool is_up;  /* it gets new connections */
	bool is_own; /* of the pool, and not only of a rule */
};

#endif
