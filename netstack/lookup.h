/* One question to the servers of a resolver: over UDP from a port of its own with an id of its own, server after server, by TCP when
 * an answer is cut short. Everybody who asks the same meanwhile waits for the same lookup. */
#ifndef WARREN_NETSTACK_LOOKUP_H
#define WARREN_NETSTACK_LOOKUP_H

#include "netstack/dns.h"
#include "netstack/stack.h"

#define LOOKUP_SERVERS_MAX 8

struct lookup;

struct lookup_env {
	void *owner;
	struct netstack *stack;
	struct netstack_endpoint *const *servers; /* looked at with each attempt */
	const size_t *server_count;
	/* The end; the lookup is gone when it returns. NETSTACK_NAME_OK, _NOT_FOUND, _FAILED, _TIMED_OUT, _NO_SERVER. */
	void (*ended)(void *owner, struct lookup *lookup, enum netstack_name_error error, const struct dns_answer *answer, uint64_t now);
};

/* NULL: out of memory. */
struct lookup *lookup_create(const struct lookup_env *env, const char *name, uint8_t family);
/* Asks; may end at once. */
void lookup_start(struct lookup *lookup, uint64_t now);
bool lookup_is_for(const struct lookup *lookup, const char *name, uint8_t family);
uint8_t lookup_family(const struct lookup *lookup);
const char *lookup_name(const struct lookup *lookup);
/* Ends without a call. */
void lookup_free(struct lookup *lookup);

#endif
