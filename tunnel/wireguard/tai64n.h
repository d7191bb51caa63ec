/* TAI64N labels (paper, 5.4.2): the time of an initiation, so that older ones can be recognised. */
#ifndef WARREN_TUNNEL_WIREGUARD_TAI64N_H
#define WARREN_TUNNEL_WIREGUARD_TAI64N_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "tunnel/wireguard/wire_message.h"

/* Big endian seconds since 2^62 + 10 before 1970, then nanoseconds. Byte order is time order. */
struct wireguard_tai64n {
	uint8_t bytes[WIREGUARD_TIMESTAMP_LENGTH];
};

bool wireguard_tai64n_is_after(const struct wireguard_tai64n *label, const struct wireguard_tai64n *other);
/* The label of `wall`, or the next one after `last` if `wall` is not later, so that a clock that is set back stops no handshake (W8). */
struct wireguard_tai64n wireguard_tai64n_next(const struct wireguard_tai64n *last, const struct timespec *wall);

#endif
