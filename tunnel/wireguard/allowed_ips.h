/* Maps an inner address to its peer by the longest prefix (paper, 2). One trie per family. */
#ifndef WARREN_TUNNEL_WIREGUARD_ALLOWED_IPS_H
#define WARREN_TUNNEL_WIREGUARD_ALLOWED_IPS_H

#include <stddef.h>
#include <stdint.h>

#include "tunnel/wireguard/device.h"

struct wireguard_allowed_node;

/* An owner of networks; embedded in the peer. Starts as all zeros. */
struct wireguard_allowed_owner {
	struct wireguard_allowed_node *first;
};

struct wireguard_allowed_chunk;

/* Embedded in the device. Starts as all zeros. `spare` holds nodes reserved for the next change. */
struct wireguard_allowed_ips {
	struct wireguard_allowed_node *roots[2]; /* IPv4, IPv6 */
	struct wireguard_allowed_node *spare;
	struct wireguard_allowed_chunk *chunks; /* where all nodes lie */
	size_t nodes;                           /* in the tries */
	size_t spares;
};

/* All owners must have been removed. */
void wireguard_allowed_ips_clear(struct wireguard_allowed_ips *allowed);
/* For new tries that are built beside the old ones of the same owners: adds these networks. `first` is the owner's list in the new tries until it
 * adopts it. A network that belonged to another owner moves. 0, or WIREGUARD_OUT_OF_MEMORY and nothing has changed. */
int wireguard_allowed_ips_add(struct wireguard_allowed_ips *allowed, struct wireguard_allowed_owner *owner, struct wireguard_allowed_node **first,
                              const struct wireguard_network *networks, size_t count) __attribute__((warn_unused_result));
void wireguard_allowed_ips_adopt(struct wireguard_allowed_owner *owner, struct wireguard_allowed_node **first);
/* Frees the tries although owners still have networks there, which they must not use any more: up to `most` pieces of them, one for each
 * wireguard_allowed_ips_add. True: there are more. */
bool wireguard_allowed_ips_drop(struct wireguard_allowed_ips *allowed, size_t most);
void wireguard_allowed_ips_remove(struct wireguard_allowed_ips *allowed, struct wireguard_allowed_owner *owner);
/* `address` has 4 or 16 bytes. NULL if no network covers it. */
struct wireguard_allowed_owner *wireguard_allowed_ips_find(const struct wireguard_allowed_ips *allowed, uint8_t family, const uint8_t *address);

#endif
