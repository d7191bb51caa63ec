/* Inside netstack/: a stack, and how its parts reach lwIP and the tunnel. */
#ifndef WARREN_NETSTACK_STACK_H
#define WARREN_NETSTACK_STACK_H

#include <string.h>
#include <sys/socket.h>

#include "netstack/budget.h"
#include "netstack/fragments.h"
#include "netstack/netstack.h"
#include "netstack/packet.h"
#include "netstack/retired.h"
#include "netstack/timers.h"

struct ping;
struct stack_held;
struct stack_lwip;

struct stack_streams {
	struct netstack_stream **buckets; /* by addresses and ports, NULL while there is none */
	size_t mask;
	size_t count;
	struct netstack_stream *latest; /* the one that was found last */
};

struct stack_queue {
	struct netstack_stream *first;
	struct netstack_stream *last;
};

struct netstack {
	struct stack_lwip *lwip; /* NULL until lwIP is needed: an idle stack has none */
	struct netstack_env env;
	struct netstack_config config;
	uint64_t now;        /* of the last call */
	unsigned depth;      /* calls that run, callbacks included */
	bool is_blocked;     /* env.output refused, and netstack_writable has not come */
	bool is_muted;       /* what lwIP sends is thrown away */
	uint16_t path_limit; /* the path drops larger packets, as far as is known; 0: never seen */
	uint64_t path_limit_until;
	struct timers timers;
	struct timer lwip_timer;
	struct timer fragment_timer;
	struct fragments *fragments;
	struct stack_streams streams;
	struct netstack_stream *all_streams;
	struct stack_queue dirty;   /* have something to do at the end of the batch */
	struct stack_queue waiting; /* for room in env.output */
	struct stack_queue noted;   /* lwIP told something about them */
	struct netstack_stream *graveyard;
	bool is_showing;         /* netstack_input runs: the only time at which bytes are shown to owners */
	struct budget budget;    /* its part of the process\'s */
	struct retired retired;  /* what was shown and is done with */
	struct stack_held *held; /* packets of lwIP's that wait for room */
	size_t held_count;
	struct netstack_listener *listeners;
	struct netstack_flow *flows;
	struct ping *pings;
	struct netstack_resolver *resolvers;
};

/* Around every public function: remembers the time; buries what died when the last one returns. */
void stack_begin(struct netstack *stack, uint64_t now);
void stack_end(struct netstack *stack);

/* Makes lwIP's part of the stack, before it is entered for the first time. False when out of memory. */
bool stack_start(struct netstack *stack);
/* Around every use of lwIP: puts the stack's state in place. Entering is cheap when it is there already. Not for a second stack
 * while the first is inside. */
void stack_enter(struct netstack *stack);
void stack_leave(struct netstack *stack);
/* The one that is entered; for lwIP's callbacks. */
struct netstack *stack_current(void);

/* What lwIP announces as the largest segment follows from the interface's MTU: before it may send a SYN. */
void stack_limit(struct netstack *stack, uint8_t family);

/* To the tunnel. false: no room now. */
bool stack_output(struct netstack *stack, const struct iovec *parts, size_t count, size_t length);
/* A sound packet, or one we made up, for lwIP. It is copied. */
void stack_feed(struct netstack *stack, const uint8_t *packet, size_t length);

/* The inner address from which to talk to `to`; NULL: none of its family. */
const struct netstack_endpoint *stack_source_for(const struct netstack *stack, const struct netstack_endpoint *to);
bool stack_owns(const struct netstack *stack, uint8_t family, const uint8_t *address);
static inline size_t stack_address_size(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}

#endif
