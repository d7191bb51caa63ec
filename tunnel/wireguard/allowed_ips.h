/* Which peer an inner address belongs to: longest prefix first (paper, 2). One trie for each family. */
#ifndef WARREN_TUNNEL_WIREGUARD_ALLOWED_IPS_H
#define WARREN_TUNNEL_WIREGUARD_ALLOWED_IPS_H

#include <stddef.h>
#include <stdint.h>

#include "tunnel/wireguard/device.h"

struct wireguard_allowed_node;

/* Who networks belong to; embedded in the peer. All zero is an owner of nothing. */
struct wireguard_allowed_owner {
	struct wireguard_allowed_node *first;
};

struct wireguard_allowed_chunk;

/* Embedded in the device. All zero is empty. `spare` are nodes set aside for the next change. */
struct wireguard_allowed_ips {
	struct wireguard_allowed_node *roots[2]; /* IPv4, IPv6 */
	struct wireguard_allowed_node *spare;
	struct wireguard_allowed_chunk *chunks; /* where all nodes lie */
	size_t nodes;                           /* in the tries */
	size_t spares;
};

/* All owners have been removed already. */
void wireguard_allowed_ips_clear(struct wireguard_allowed_ips *allowed);
/* The owner has these networks and no others from now on; one that was another's moves to it.
 * 0, or WIREGUARD_OUT_OF_MEMORY and nothing has changed. */
int wireguard_allowed_ips_replace(struct wireguard_allowed_ips *allowed, struct wireguard_allowed_owner *owner,
                                  const struct wireguard_network *networks, size_t count) __attribute__((warn_unused_result));
/* For tries that are built beside those of the same owners: the owner has these networks too, and `first` is its list in these tries until
 * it adopts it. One that was another's moves to it. 0, or WIREGUARD_OUT_OF_MEMORY and nothing has changed. */
int wireguard_allowed_ips_add(struct wireguard_allowed_ips *allowed, struct wireguard_allowed_owner *owner, struct wireguard_allowed_node **first,
                              const struct wireguard_network *networks, size_t count) __attribute__((warn_unused_result));
void wireguard_allowed_ips_adopt(struct wireguard_allowed_owner *owner, struct wireguard_allowed_node **first);
/* Frees it although its owners have networks there, which they must not use any more. */
void wireguard_allowed_ips_drop(struct wireguard_allowed_ips *allowed);
void wireguard_allowed_ips_remove(struct wireguard_allowed_ips *allowed, struct wireguard_allowed_owner *owner);
/* `address` has 4 or 16 bytes. NULL when it is nobody's. */
struct wireguard_allowed_owner *wireguard_allowed_ips_find(const struct wireguard_allowed_ips *allowed, uint8_t family, const uint8_t *address);

#endif
