/* Forwards: a host port that leads to a place behind the tunnel (outbound), or a port on the tunnel's inner address that leads to a
 * place on the host (inbound), whose connection the control process dials. */
#ifndef WARREN_TUNNEL_PROXY_FORWARD_H
#define WARREN_TUNNEL_PROXY_FORWARD_H

#include "tunnel/connection.h"
#include "tunnel/proxy/listener.h"

struct forward;

/* The inbound forwards of `spec` that are not open on `stack` yet, to `fresh`: their inner ports are opened, or will be taken over from one
 * that goes, and refuse what comes until the commit. One whose port cannot be had is logged and left out. False when out of memory. */
bool forward_prepare(struct tunnel *tunnel, const struct spec *spec, struct netstack *stack, struct forward **fresh);
/* After tunnel->spec has become that spec. Those that are no longer in it (by name, and equal in all members) are closed; connections of
 * those that stay go on. tunnel->forwards is the list. Takes `fresh`; cannot fail. */
void forward_commit(struct tunnel *tunnel, struct forward *fresh);
void forward_discard(struct forward *fresh); /* instead of the commit */
void forward_close_all(struct tunnel *tunnel);
/* A client of an outbound TCP or unix forward; takes the descriptor. */
void forward_accept(struct listener *listener, int descriptor);
/* The host socket of an outbound UDP forward; takes the descriptor. NULL when out of memory. Nothing is read before it is started. */
struct forward_udp *forward_udp_create(struct listener *listener, int descriptor);
void forward_udp_start(struct forward_udp *udp);
void forward_udp_free(struct forward_udp *udp);

#endif
