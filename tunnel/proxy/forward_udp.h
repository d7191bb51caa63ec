/* UDP forwards: sessions between addresses on the host and addresses behind the tunnel, each ended after a minute of silence. The
 * functions for an outbound one's host socket are in forward.h. */
#ifndef WARREN_TUNNEL_PROXY_FORWARD_UDP_H
#define WARREN_TUNNEL_PROXY_FORWARD_UDP_H

#include "tunnel/proxy/forward.h"

struct forward_inner;

/* Opens the inner port of an inbound forward, on the tunnel's current or future stack. Each source gets a connected host socket from the control
 * process. 0 and the handle, or a netstack_error. Datagrams are dropped until it is started. */
int forward_inner_create(struct tunnel *tunnel, struct netstack *stack, const struct netstack_endpoint *at, struct forward_inner **inner)
    __attribute__((warn_unused_result));
/* It is for the spec's forward `index` from now on, and for no session of another one. Cannot fail. */
void forward_inner_start(struct forward_inner *inner, uint16_t index);
void forward_inner_set_index(struct forward_inner *inner, uint16_t index); /* in spec.forwards */
void forward_inner_close(struct forward_inner *inner);
/* The spec may have changed: sessions with another target than the spec's end. */
void forward_udp_apply(struct forward_udp *udp);

#endif
