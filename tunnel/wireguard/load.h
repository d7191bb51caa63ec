/* Whether a device is under load, and so asks sources for a cookie before it does any DH for them (paper, 5.3).
 *
 * The rule is the kernel module's, whose queue of handshakes is at least an eighth full, with a queue that exists in thought only,
 * because handshakes are processed as they come in: each one that passes its MAC1 takes a place and frees it 2 ms after the one before.
 * So 500 handshakes a second go on for ever (at 150 us each that is 8 % of a core); 64 that wait are load, for a second from the last
 * time it was so; and of 512 that wait no more are taken, whatever cookies they show. That bounds the work of any flood. */
#ifndef WARREN_TUNNEL_WIREGUARD_LOAD_H
#define WARREN_TUNNEL_WIREGUARD_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "tunnel/wireguard/limiter.h"

enum {
	WIREGUARD_LOAD_PER_SECOND = 500,
	WIREGUARD_LOAD_QUEUE = 512,
	WIREGUARD_LOAD_HIGH = WIREGUARD_LOAD_QUEUE / 8,
};

/* Embedded in the device. */
struct wireguard_load {
	uint64_t busy_until; /* when the queue will be empty */
	uint64_t high_until;
	uint64_t sweep_at;                 /* WIREGUARD_NEVER: there is no limiter */
	struct wireguard_limiter *limiter; /* made when it is first needed, freed when it is empty */
	uint8_t limiter_key[16];
};

void wireguard_load_init(struct wireguard_load *load, const struct wireguard_env *env);
void wireguard_load_clear(struct wireguard_load *load);
bool wireguard_load_is_high(struct wireguard_load *load, uint64_t now);
/* Whether the source, which has shown a valid cookie, is within its limit. */
bool wireguard_load_allow(struct wireguard_load *load, const union wireguard_endpoint *from, uint64_t now) __attribute__((warn_unused_result));
/* Takes a place in the queue, if there is one. */
bool wireguard_load_enter(struct wireguard_load *load, uint64_t now) __attribute__((warn_unused_result));
/* To be called at sweep_at. */
void wireguard_load_sweep(struct wireguard_load *load, uint64_t now);

#endif
