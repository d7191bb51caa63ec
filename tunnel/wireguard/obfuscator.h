/* The layer between messages and datagrams: reserved bytes, Mullvad's LWO, AmneziaWG. Pure: no I/O, no clock.
 *
 * A datagram of AmneziaWG is padding, message and trailer. The message's type has a value of its own, which MAC1 and MAC2 cover. Header
 * protection XORs the head of the message with ChaCha20 (RFC 8439), whose nonce is the first 12 bytes of the padding. LWO XORs the head with
 * the receiver's public key. A device without a disguise has no obfuscator, and pays for one test of a pointer. */
#ifndef WARREN_TUNNEL_WIREGUARD_OBFUSCATOR_H
#define WARREN_TUNNEL_WIREGUARD_OBFUSCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/endpoint.h"
#include "ipc/key.h"
#include "ipc/obfuscation.h"
#include "tunnel/wireguard/indices.h"
#include "tunnel/wireguard/random_pool.h"
#include "tunnel/wireguard/wire_message.h"

#define WIREGUARD_TRAILER_WINDOW 500 /* the size that trailers fill up to before the peer has sent a larger datagram */

/* A datagram being written: `room` is the env's, the message begins after the padding. */
struct wireguard_outgoing {
	enum obfuscation_message message;
	uint8_t *room;
	size_t padding, length, trailer;
	uint32_t type;
	const uint8_t *receiver; /* public key, for LWO; NULL: not known */
	const uint8_t *reserved; /* three bytes, or NULL */
};

/* Where the message is in a datagram. */
struct wireguard_incoming {
	enum obfuscation_message message;
	size_t offset, length;
};

/* Large packets of one length in a row have one content padding, so that their datagrams are a train. */
struct wireguard_run {
	size_t length;
	uint32_t padding;
	unsigned left;
};

struct wireguard_obfuscator {
	const struct obfuscation *config; /* borrowed */
	bool takes_reserved;              /* a peer has reserved bytes, so those that arrive are zeroed */
	bool protects_headers;            /* there is a key for it, which takes long to ask */
	bool can_be_mistaken;             /* data may look like a handshake to a peer that asks for handshakes first */
	struct wireguard_random_pool random;
	struct wireguard_run run;
	struct wireguard_outgoing outgoing;
	size_t extra;                     /* padding and trailer of the datagram being received */
	union wireguard_endpoint replied; /* where the last cookie reply went */
};

/* `config` is borrowed; NULL: plain WireGuard, for reserved bytes alone. `seed` is random. NULL when out of memory. */
struct wireguard_obfuscator *wireguard_obfuscator_create(const struct obfuscation *config, const uint8_t seed[32]);
void wireguard_obfuscator_free(struct wireguard_obfuscator *obfuscator);

/* The length of a data message's payload for a packet of `length` bytes (0: a keepalive): with the zeroes that hide it, at most `mtu` unless the
 * packet is longer. `window` as below. */
size_t wireguard_obfuscator_payload(struct wireguard_obfuscator *obfuscator, size_t length, size_t mtu, size_t window);
/* Draws what is random in the datagram of a message of `length` bytes; trailers fill up to `window`. Leaves the room to the caller. */
struct wireguard_outgoing wireguard_obfuscator_plan(struct wireguard_obfuscator *obfuscator, enum obfuscation_message message, size_t length,
                                                    size_t window);
/* Whether a data message must be sealed before it is wrapped: LWO covers some of the ciphertext, and padding may be chosen by what it looks like. */
static inline bool wireguard_obfuscator_reads_ciphertext(const struct wireguard_obfuscator *obfuscator)
{
	return obfuscator->can_be_mistaken || obfuscator->config->type == OBFUSCATION_LWO;
}
/* Makes the datagram around the message, which is complete; data need be sealed only if wireguard_obfuscator_reads_ciphertext. */
void wireguard_obfuscator_wrap(struct wireguard_obfuscator *obfuscator, const struct wireguard_outgoing *outgoing);
/* Finds the message in a datagram and uncovers it there. A datagram that can be data of an index in `indices` is data, whatever else it may
 * look like. `own_key` is the device's public key. False: it is not a message of this configuration. */
bool wireguard_obfuscator_unwrap(const struct wireguard_obfuscator *obfuscator, const struct wireguard_indices *indices,
                                 const uint8_t own_key[WIREGUARD_KEY_LENGTH], uint8_t *datagram, size_t length, struct wireguard_incoming *incoming);

#endif
