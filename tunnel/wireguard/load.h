/* Whether a device is under load, and so asks sources for a cookie before it does any DH for them (paper, 5.3).
 *
 * The rule is the kernel module's, whose queue of handshakes is at least an eighth full, with a queue that exists in thought only,
 * because handshakes are processed as they come in: each one that passes its MAC1 takes a place and frees it 2 ms after the one before.
 * So 500 handshakes a second go on for ever (at 150 us each that is 8 % of a core); 64 that wait are load, for a second from the last
 * time it was so; and of 512 that wait no more are taken, whatever cookies they show. That bounds the work of any flood of one device.
 *
 * Devices of one thread may share a second queue of the same kind for initiations, twice as fast and as long as a device's own, so that
 * a flood of many costs little more than a flood of one, and a flood of one leaves room for the others. Responses are not counted there:
 * each answers an initiation that waits, and many tunnels that start together must not hold each other up. */
#ifndef WARREN_TUNNEL_WIREGUARD_LOAD_H
#define WARREN_TUNNEL_WIREGUARD_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "tunnel/wireguard/limiter.h"

enum {
	WIREGUARD_LOAD_PER_SECOND = 500,
	WIREGUARD_LOAD_QUEUE = 512,
	WIREGUARD_LOAD_HIGH = WIREGUARD_LOAD_QUEUE / 8,
	WIREGUARD_LOAD_SHARED = 2, /* times these three: the shared queue */
};

/* Embedded in the device. */
struct wireguard_load {
	struct wireguard_load_queue queue;
	struct wireguard_load_queue *shared; /* borrowed, or NULL */
	uint64_t sweep_at;                   /* WIREGUARD_NEVER: there is no limiter */
	struct wireguard_limiter *limiter;   /* made when it is first needed, freed when it is empty */
	uint8_t limiter_key[16];
};

void wireguard_load_init(struct wireguard_load *load, const struct wireguard_env *env);
void wireguard_load_clear(struct wireguard_load *load);
/* For an initiation the shared queue counts too. */
bool wireguard_load_is_high(struct wireguard_load *load, bool is_initiation, uint64_t now);
/* Whether the source, which has shown a valid cookie, is within its limit. */
bool wireguard_load_allow(struct wireguard_load *load, const union wireguard_endpoint *from, uint64_t now) __attribute__((warn_unused_result));
/* Takes a place in the queue, if there is one; for an initiation in both. */
bool wireguard_load_enter(struct wireguard_load *load, bool is_initiation, uint64_t now) __attribute__((warn_unused_result));
/* To be called at sweep_at. */
void wireguard_load_sweep(struct wireguard_load *load, uint64_t now);

#endif
