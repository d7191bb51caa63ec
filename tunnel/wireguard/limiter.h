/* Limits the handshakes of one source (an IPv4 address or an IPv6 /64) while the device is under load: 20 a second, in bursts of 5.
 * Used only for sources that have shown a valid cookie, so a spoofed address never takes a place here. */
#ifndef WARREN_TUNNEL_WIREGUARD_LIMITER_H
#define WARREN_TUNNEL_WIREGUARD_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "tunnel/wireguard/device.h"

enum {
	WIREGUARD_LIMITER_PER_SECOND = 20,
	WIREGUARD_LIMITER_BURST = 5,
	WIREGUARD_LIMITER_CAPACITY = 4096, /* sources; more are refused */
};

struct wireguard_limiter;

/* NULL when out of memory. `key` makes the positions of sources in the table unpredictable. */
struct wireguard_limiter *wireguard_limiter_create(const uint8_t key[16]);
void wireguard_limiter_free(struct wireguard_limiter *limiter);
bool wireguard_limiter_allow(struct wireguard_limiter *limiter, const union wireguard_endpoint *from, uint64_t now)
    __attribute__((warn_unused_result));
/* Removes sources that were silent for a second, whose buckets are full again. Returns whether any is left. To be called every second. */
bool wireguard_limiter_sweep(struct wireguard_limiter *limiter, uint64_t now);

#endif
