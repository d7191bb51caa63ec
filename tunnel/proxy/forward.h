/* Forwards: a host port that leads to a target behind the tunnel (outbound), or a port on the tunnel's inner address that leads to a target on
 * the host (inbound), which the control process dials. */
#ifndef WARREN_TUNNEL_PROXY_FORWARD_H
#define WARREN_TUNNEL_PROXY_FORWARD_H

#include "tunnel/connection.h"
#include "tunnel/proxy/listener.h"

struct forward;

/* Creates the inbound forwards of `spec` that are not yet open on `stack`, in `fresh`. Their inner ports are opened, or will be taken over from a
 * forward that is removed; they refuse connections until the commit. One whose port cannot be opened is logged and omitted. False when out
 * of memory. */
bool forward_prepare(struct tunnel *tunnel, const struct spec *spec, struct netstack *stack, struct forward **fresh);
/* After tunnel->spec has become that spec: closes forwards that are no longer in it (compared by name and all members). Connections of the others
 * continue. tunnel->forwards is the list. Takes `fresh`; cannot fail. */
void forward_commit(struct tunnel *tunnel, struct forward *fresh);
void forward_discard(struct forward *fresh); /* instead of the commit */
void forward_close_all(struct tunnel *tunnel);
/* Serves a client of an outbound TCP or unix forward; takes the descriptor. `from` is the client's address, of any family. */
void forward_accept(struct listener *listener, int descriptor, const union wireguard_endpoint *from);
/* Creates an outbound UDP forward from its host socket; takes the descriptor. NULL when out of memory. Nothing is read before it is started. */
struct forward_udp *forward_udp_create(struct listener *listener, int descriptor);
void forward_udp_start(struct forward_udp *udp);
void forward_udp_free(struct forward_udp *udp);

#endif
