/* Decides whether a device is under load and so demands a cookie from sources before it does any DH for them (paper, 5.3).
 *
 * The kernel module is under load when its queue of handshakes is at least an eighth full. Here handshakes are processed as they arrive, so
 * the queue is virtual: each one that passes its MAC1 takes a place and frees it 2 ms after the previous one. So 500 handshakes a second can be
 * sustained (at 150 us each, 8 % of a core). With 64 places taken the device is under load, and for a second after that. With 512 taken no
 * more are accepted, whatever cookies they show. This bounds the work of any flood on one device.
 * Devices of one thread may share a second queue of this kind for initiations, twice as fast and as long as a device's own. So a flood on
 * many costs little more than a flood on one, and a flood on one leaves room for the others. Responses are not counted there: each answers a
 * pending initiation, and many tunnels that start together must not delay each other. */
#ifndef WARREN_TUNNEL_WIREGUARD_LOAD_H
#define WARREN_TUNNEL_WIREGUARD_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "tunnel/wireguard/limiter.h"

enum {
	WIREGUARD_LOAD_PER_SECOND = 500,
	WIREGUARD_LOAD_QUEUE = 512,
	WIREGUARD_LOAD_HIGH = WIREGUARD_LOAD_QUEUE / 8,
	WIREGUARD_LOAD_SHARED = 2, /* the shared queue has these three values times this */
};

/* Embedded in the device. */
struct wireguard_load {
	struct wireguard_load_queue queue;
	struct wireguard_load_queue *shared; /* borrowed, or NULL */
	uint64_t sweep_at;                   /* WIREGUARD_NEVER: there is no limiter */
	struct wireguard_limiter *limiter;   /* allocated on first use, freed when it is empty */
	uint8_t limiter_key[16];
};

void wireguard_load_init(struct wireguard_load *load, const struct wireguard_env *env);
void wireguard_load_clear(struct wireguard_load *load);
/* For an initiation the shared queue counts, too. */
bool wireguard_load_is_high(struct wireguard_load *load, bool is_initiation, uint64_t now);
/* Whether the source, which has shown a valid cookie, is within its limit. */
bool wireguard_load_allow(struct wireguard_load *load, const union wireguard_endpoint *from, uint64_t now) __attribute__((warn_unused_result));
/* Takes a place in the queue, if there is one; an initiation needs a place in both. */
bool wireguard_load_enter(struct wireguard_load *load, bool is_initiation, uint64_t now) __attribute__((warn_unused_result));
/* To be called at sweep_at. */
void wireguard_load_sweep(struct wireguard_load *load, uint64_t now);

#endif
