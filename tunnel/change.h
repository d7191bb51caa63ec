/* How a tunnel comes to be and changes: what can fail is done in tunnel_prepare, the rest at tunnel_commit (ARCHITECTURE.md, «A change»). */
#ifndef WARREN_TUNNEL_CHANGE_H
#define WARREN_TUNNEL_CHANGE_H

#include "tunnel/tunnel.h"

/* Frees tunnel->candidate with its descriptors. */
void change_forget(struct tunnel *tunnel);

/* tunnel.c's, for change.c. */
extern const struct wireguard_env tunnel_device_env; /* its owner is to be set */
struct netstack_env tunnel_stack_env(struct tunnel *tunnel);
void tunnel_settle(void *owner);
void tunnel_due(void *owner);
void tunnel_end_connections(struct tunnel *tunnel);
void tunnel_free_peer(struct tunnel_peer *peer);

#endif
