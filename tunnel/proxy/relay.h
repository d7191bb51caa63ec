/* Joins a client's socket to a stream of the tunnel: bytes in both directions with back pressure; half-closes and resets are passed on. */
#ifndef WARREN_TUNNEL_PROXY_RELAY_H
#define WARREN_TUNNEL_PROXY_RELAY_H

#include "netstack/netstack.h"
#include "tunnel/proxy/rx_pipe.h"
#include "tunnel/proxy/tx_pipe.h"

struct connection;
struct relay;

/* `ended` is called once, after both sides have ended and never from within relay_create; the relay frees itself. */
typedef void relay_ended(void *owner);

/* Borrows the connection. Takes the poller (its owner changes), the connected stream, and `early`: bytes that the client has already sent (NULL:
 * none). `first` is sent to the client before any byte of the stream ("HTTP/1.1 200 …"); it is copied. NULL when out of memory; everything taken is
 * then freed. */
struct relay *relay_create(struct connection *connection, struct poller *client, struct netstack_stream *stream, struct block *early,
                           const void *first, size_t first_length, uint32_t idle_timeout, relay_ended *ended, void *owner);
/* The same for a connection that has already carried data: takes over its pipes as they are. Takes `begun`'s contents. */
struct relay_begun {
	struct tx_pipe up;
	struct rx_pipe down;
	bool stream_finished;
};
void relay_begin(struct relay_begun *begun, struct connection *connection, struct poller *client);
struct relay *relay_continue(struct relay_begun *begun, struct poller *client, struct netstack_stream *stream, uint32_t idle_timeout,
                             relay_ended *ended, void *owner);
/* Ends both sides by resets; `ended` is not called. */
void relay_abort(struct relay *relay);

#endif
