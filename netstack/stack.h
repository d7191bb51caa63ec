/* Inside netstack/: a stack, and the way from its parts to lwIP and the tunnel. */
#ifndef WARREN_NETSTACK_STACK_H
#define WARREN_NETSTACK_STACK_H

#include <string.h>
#include <sys/socket.h>

#include "netstack/packet/budget.h"
#include "netstack/fragments.h"
#include "netstack/netstack.h"
#include "netstack/packet/packet.h"
#include "netstack/packet/retired.h"
#include "netstack/timer_heap.h"

struct ping;
struct stack_held;
struct stack_lwip;
struct stack_paths;

struct stack_streams {
	struct netstack_stream **buckets; /* by addresses and ports, NULL while there is none */
	size_t mask;
	size_t count;
	struct netstack_stream *latest; /* the last one found */
};

struct stack_flows {
	struct netstack_flow *few;      /* all of them, while `buckets` is NULL */
	struct netstack_flow **buckets; /* by their ports */
	size_t mask;
	size_t count;
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
	unsigned depth;      /* of nested calls, callbacks included */
	bool is_blocked;     /* env.output refused, and netstack_writable has not been called since */
	bool is_muted;       /* packets from lwIP are discarded */
	uint16_t path_limit; /* larger packets are known to be dropped by the path; 0: never seen */
	uint64_t path_limit_until;
	struct stack_paths *paths; /* what was found with single far ends, of path.c; NULL: nothing yet */
	struct timer_heap timers;
	struct timer lwip_timer;
	struct timer fragment_timer;
	struct fragments *fragments;
	struct stack_streams streams;
	struct netstack_stream *all_streams;
	struct stack_queue dirty;   /* streams with work at the end of the batch */
	struct stack_queue waiting; /* streams that wait for room in env.output */
	struct stack_queue noted;   /* streams for which lwIP reported an event */
	struct netstack_stream *graveyard;
	bool is_showing;         /* netstack_input is running: `received` is called only then */
	struct budget budget;    /* its part of the process's budget */
	struct retired retired;  /* buffers to free when the stack is settled */
	struct stack_held *held; /* packets from lwIP that wait for room */
	size_t held_count;
	struct netstack_listener *listeners;
	struct stack_flows flows;
	struct ping *pings;
	struct netstack_resolver *resolvers;
};

/* Around every public function: sets the time, and frees closed streams when the outermost call returns. */
void stack_begin(struct netstack *stack, uint64_t now);
void stack_end(struct netstack *stack);

/* Creates lwIP's part of the stack; must be called before stack_enter. false: out of memory. */
bool stack_start(struct netstack *stack);
/* Around every use of lwIP: copies the stack's state into lwIP's variables. Cheap if it is there already. Two stacks must not be entered at the
 * same time. */
void stack_enter(struct netstack *stack);
void stack_leave(struct netstack *stack);
/* The stack that is entered, for lwIP's callbacks. */
struct netstack *stack_current(void);

/* Sets lwIP's interface MTU, from which it derives the MSS option. To be called before lwIP may send a SYN. */
void stack_limit(struct netstack *stack, const struct netstack_endpoint *remote);

/* Sends a packet into the tunnel. false: no room now. */
bool stack_output(struct netstack *stack, const struct iovec *parts, size_t count, size_t length);
/* Passes lwIP a sound packet, or one that we made. It is copied. */
void stack_feed(struct netstack *stack, const uint8_t *packet, size_t length);

/* The inner address to use as source towards `to`; NULL: none of its family. */
const struct netstack_endpoint *stack_source_for(const struct netstack *stack, const struct netstack_endpoint *to);
bool stack_owns(const struct netstack *stack, uint8_t family, const uint8_t *address);
static inline size_t stack_address_size(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}
/* The address alone, without the port. */
static inline bool stack_is_same_host(const struct netstack_endpoint *one, const struct netstack_endpoint *other)
{
	return one->family == other->family && memcmp(one->bytes, other->bytes, stack_address_size(one->family)) == 0;
}

#endif
