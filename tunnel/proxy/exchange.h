/* Absolute-form HTTP through a tunnel: forwards the requests of one client one by one, each to its origin server in origin-form. Framing is
 * checked in both directions. Supports keep-alive and pipelining towards the client, and reuses the server's connection. */
#ifndef WARREN_TUNNEL_PROXY_EXCHANGE_H
#define WARREN_TUNNEL_PROXY_EXCHANGE_H

#include "tunnel/connection.h"
#include "tunnel/http/http_request.h"
#include "tunnel/io/block_pool.h"

struct exchange;

struct exchange_events {
	/* The client's connection is closed; the exchange is freed. */
	void (*ended)(void *owner);
	/* The next request is CONNECT, or one of the two below: the poller and the unread bytes (from its head's first byte on) go back to the owner;
	 * the exchange is freed. */
	void (*handed_back)(void *owner, struct poller *client, struct block *in);
	/* Through a pool; else NULL. Whether this request goes through the connection's tunnel and its password is right; if not, it is handed back.
	 */
	bool (*stays)(void *owner, const struct http_request *request);
	/* The request failed before a byte of an answer, and can be repeated: whether it is to be handed back. */
	bool (*fails)(void *owner, const struct http_fault *fault);
};

/* Takes the poller and `in`, whose bytes from `start` on begin with a request's first byte. Credentials are checked for every request.
 * `connection` is the owner's, for counting. NULL when out of memory; everything taken is then freed. No event is sent from within this call. */
struct exchange *exchange_create(struct connection *connection, struct poller *client, struct block *in, const struct exchange_events *events,
                                 void *owner);
/* The tunnel is known to be down: a request that can be repeated does not wait for its answer. Events follow later. */
void exchange_tunnel_is_down(struct exchange *exchange);
void exchange_abort(struct exchange *exchange); /* no event follows */

#endif
