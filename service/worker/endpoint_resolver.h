/* Names of endpoints and of inbound targets to addresses, on the main loop: each name a query of its own, with a deadline. */
#ifndef WARREN_SERVICE_WORKER_ENDPOINT_RESOLVER_H
#define WARREN_SERVICE_WORKER_ENDPOINT_RESOLVER_H

#include <uv.h>

#include "ipc/message.h"

#define ENDPOINT_RESOLVER_DEADLINE_MS 10000 /* three servers of which two are dead, and the third is slow */

struct endpoint_resolver;
struct endpoint_resolver_query;

struct endpoint_resolver *endpoint_resolver_create(uv_loop_t *loop);
/* No callback follows. The handles are closed in the loop's next turns. */
void endpoint_resolver_free(struct endpoint_resolver *resolver);
/* `done` is called, never from within this function, with the addresses (port included). It is called soon after one family has answered
 * with some (`more` is true), and a last time (`more` is false) when both have or the deadline passed, with all there are, or none. The
 * families alternate; addresses without a route come last. NULL when out of memory. */
struct endpoint_resolver_query *endpoint_resolver_ask(struct endpoint_resolver *resolver, const char *name, uint16_t port,
                                                      void (*done)(void *owner, const struct message_addresses *addresses, bool more), void *owner);
/* `done` will not be called. */
void endpoint_resolver_cancel(struct endpoint_resolver_query *query);

#endif
