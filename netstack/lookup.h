/* One question to the servers of a resolver: over UDP from a port of its own, server after server, each time with an id of its own, and
 * by TCP when an answer is cut short. All that was asked stays open until the first valid answer, ten seconds at most. Everybody who asks
 * the same meanwhile waits for the same lookup. */
#ifndef WARREN_NETSTACK_LOOKUP_H
#define WARREN_NETSTACK_LOOKUP_H

#include "netstack/dns.h"
#include "netstack/stack.h"

#define LOOKUP_SERVERS_MAX 8

struct lookup;

/* What was learnt of the servers, for ten minutes each. */
struct lookup_memory {
	uint64_t plain_until[LOOKUP_SERVERS_MAX]; /* answers without EDNS alone */
	uint64_t first_until;                     /* `first` is asked first */
	uint8_t first;
};

struct lookup_env {
	void *owner;
	struct netstack *stack;
	struct lookup_memory **memory; /* made when there is something to remember */
	/* The end; the lookup is gone when it returns. NETSTACK_NAME_OK, _NOT_FOUND, _FAILED, _TIMED_OUT, _NO_SERVER, _CUT_SHORT. */
	void (*ended)(void *owner, struct lookup *lookup, enum netstack_name_error error, const struct dns_answer *answer, uint64_t now);
};

/* The servers are copied. NULL: out of memory. */
struct lookup *lookup_create(const struct lookup_env *env, const struct netstack_servers *servers, const char *name, uint8_t family);
/* The memory is of other servers now. */
void lookup_forget(struct lookup *lookup);
/* Asks; may end at once. */
void lookup_start(struct lookup *lookup, uint64_t now);
bool lookup_is_for(const struct lookup *lookup, const char *name, uint8_t family);
uint8_t lookup_family(const struct lookup *lookup);
const char *lookup_name(const struct lookup *lookup);
/* Ends without a call. */
void lookup_free(struct lookup *lookup);

#endif
