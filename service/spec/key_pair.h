/* X25519 keys of tunnels (RFC 7748), the only WireGuard function that the control process needs. */
#ifndef WARREN_SERVICE_SPEC_KEY_PAIR_H
#define WARREN_SERVICE_SPEC_KEY_PAIR_H

#include <stdbool.h>

#include "ipc/key.h"

void key_pair_generate(struct wireguard_key *private_key);
bool key_pair_public(struct wireguard_key *public_key, const struct wireguard_key *private_key);

#endif
