/* The times of a device's timers: WireGuard's own (paper, 6.1), or ranges that AmneziaWG draws from. */
#ifndef WARREN_TUNNEL_WIREGUARD_TIMINGS_H
#define WARREN_TUNNEL_WIREGUARD_TIMINGS_H

#include <stdint.h>

#include "ipc/obfuscation.h"

#define WIREGUARD_SECOND UINT64_C(1000000000)

/* In seconds, none of them 0 to 0; and the number of times that an initiation is repeated. */
struct wireguard_timings {
	struct obfuscation_range rekey_after, rekey_timeout, reject_after, keepalive_timeout, attempts;
};

extern const struct wireguard_timings wireguard_timings_default;

/* What `config` (or NULL) leaves at 0 is WireGuard's. */
struct wireguard_timings wireguard_timings_of(const struct obfuscation *config);

#endif
