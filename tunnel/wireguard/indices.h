/* A device's table of receiver indices: maps the number in a message to its handshake or session. Numbers are random and unique in the device,
 * so that they reveal nothing about how many there are. */
#ifndef WARREN_TUNNEL_WIREGUARD_INDICES_H
#define WARREN_TUNNEL_WIREGUARD_INDICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/wireguard/device.h"

/* A peer holds at most one handshake and three sessions (W28). */
enum { WIREGUARD_INDICES_PER_PEER = 4 };

/* Embedded in the handshake or session. `session` is NULL while the index stands for our initiation to the peer. */
struct wireguard_index {
	struct wireguard_index *next;
	struct wireguard_peer *peer;
	struct wireguard_session *session;
	uint32_t number;
	bool is_listed;
};

/* Embedded in the device. */
struct wireguard_indices {
	struct wireguard_index **chains;
	size_t mask; /* number of chains minus one */
	size_t used;
};

void wireguard_indices_clear(struct wireguard_indices *indices);
/* Reserves room for `peers` peers, so that adding an index never fails. 0 or WIREGUARD_OUT_OF_MEMORY. */
int wireguard_indices_reserve(struct wireguard_indices *indices, size_t peers) __attribute__((warn_unused_result));
/* Gives `index`, which is not listed, a fresh number. */
void wireguard_indices_add(struct wireguard_indices *indices, struct wireguard_index *index, const struct wireguard_env *env);
/* Gives it a number that it had in another device; false if that is taken here. */
bool wireguard_indices_put(struct wireguard_indices *indices, struct wireguard_index *index, uint32_t number) __attribute__((warn_unused_result));
void wireguard_indices_remove(struct wireguard_indices *indices, struct wireguard_index *index);
/* `by` takes over the number and the position of `index`: a handshake has become a session. */
void wireguard_indices_replace(struct wireguard_indices *indices, struct wireguard_index *index, struct wireguard_index *by);
struct wireguard_index *wireguard_indices_find(const struct wireguard_indices *indices, uint32_t number);

#endif
