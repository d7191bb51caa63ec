/* One question to a resolver's servers: over UDP from its own port, server after server, each query with a new id, and over TCP when an
 * answer is truncated. All queries stay open until the first valid answer, for ten seconds at most. Callers that ask the same question
 * meanwhile share the lookup. */
#ifndef WARREN_NETSTACK_LOOKUP_H
#define WARREN_NETSTACK_LOOKUP_H

#include "netstack/dns.h"
#include "netstack/stack.h"

#define LOOKUP_SERVERS_MAX 8

struct lookup;

/* What is known about the servers; each fact is kept for ten minutes. */
struct lookup_memory {
	uint64_t plain_until[LOOKUP_SERVERS_MAX]; /* answers only queries without EDNS */
	uint64_t first_until;                     /* `first` is queried first */
	uint8_t first;
};

struct lookup_env {
	void *owner;
	struct netstack *stack;
	struct lookup_memory **memory; /* allocated when there is something to remember */
	/* The result; the lookup is freed when this returns. NETSTACK_NAME_OK, _NOT_FOUND, _FAILED, _TIMED_OUT, _NO_SERVER, _CUT_SHORT. */
	void (*ended)(void *owner, struct lookup *lookup, enum netstack_name_error error, const struct dns_answer *answer, uint64_t now);
};

/* The servers are copied. NULL: out of memory. */
struct lookup *lookup_create(const struct lookup_env *env, const struct netstack_servers *servers, const char *name, uint8_t family);
/* The servers were replaced: do not write to the memory any more. */
void lookup_forget(struct lookup *lookup);
/* Sends the first query; may end at once. */
void lookup_start(struct lookup *lookup, uint64_t now);
bool lookup_is_for(const struct lookup *lookup, const char *name, uint8_t family);
uint8_t lookup_family(const struct lookup *lookup);
const char *lookup_name(const struct lookup *lookup);
/* Cancels; `ended` is not called. */
void lookup_free(struct lookup *lookup);

#endif
