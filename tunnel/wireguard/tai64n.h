/* TAI64N labels (paper, 5.4.2): when an initiation was made, so that an older one can be told from a newer one. */
#ifndef WARREN_TUNNEL_WIREGUARD_TAI64N_H
#define WARREN_TUNNEL_WIREGUARD_TAI64N_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "tunnel/wireguard/message.h"

/* Big endian seconds since 2^62 + 10 before 1970, then nanoseconds. As bytes they sort as they do in time. */
struct wireguard_tai64n {
	uint8_t bytes[WIREGUARD_TIMESTAMP_LENGTH];
};

bool wireguard_tai64n_is_after(const struct wireguard_tai64n *label, const struct wireguard_tai64n *other);
/* The label of `wall`, or the next one after `last` when that is not later: a clock set back stops no handshake (W8). */
struct wireguard_tai64n wireguard_tai64n_next(const struct wireguard_tai64n *last, const struct timespec *wall);

#endif
