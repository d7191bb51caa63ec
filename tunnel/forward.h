/* Forwards: a host port that leads to a place behind the tunnel (outbound), or a port on the tunnel's inner address that leads to a
 * place on the host (inbound), whose connection the control process dials. */
#ifndef WARREN_TUNNEL_FORWARD_H
#define WARREN_TUNNEL_FORWARD_H

#include "tunnel/connection.h"
#include "tunnel/listener.h"

struct forward;

/* Opens the inner side of every inbound forward of the spec that is not open yet and closes those that are no longer in it (by name, and equal in all
 * members); connections of those that stay go on. tunnel->forwards is its list. Failures are logged. */
void forward_apply(struct tunnel *tunnel);
void forward_close_all(struct tunnel *tunnel);
/* A client of an outbound TCP or unix forward; takes the descriptor. */
void forward_accept(struct listener *listener, int descriptor);
/* The host socket of an outbound UDP forward; takes the descriptor. NULL when out of memory. */
struct forward_udp *forward_udp_create(struct listener *listener, int descriptor);
void forward_udp_free(struct forward_udp *udp);

#endif
