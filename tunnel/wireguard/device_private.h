/* The structs of a device and a peer, and the functions shared by the files that implement the device: device.c, peer.c, handshake.c, send.c
 * and receive.c. */
#ifndef WARREN_TUNNEL_WIREGUARD_DEVICE_PRIVATE_H
#define WARREN_TUNNEL_WIREGUARD_DEVICE_PRIVATE_H

#include "tunnel/wireguard/allowed_ips.h"
#include "tunnel/wireguard/arena.h"
#include "tunnel/wireguard/cookie.h"
#include "tunnel/wireguard/device.h"
#include "tunnel/wireguard/indices.h"
#include "tunnel/wireguard/load.h"
#include "tunnel/wireguard/noise.h"
#include "tunnel/wireguard/obfuscator.h"
#include "tunnel/wireguard/session.h"
#include "tunnel/wireguard/staged.h"
#include "tunnel/wireguard/tai64n.h"
#include "tunnel/wireguard/timers.h"

/* A device's slots of the arena. */
enum {
	WIREGUARD_DEVICE_KEYS,
	WIREGUARD_DEVICE_SCRATCH, /* a handshake being read, not yet authenticated */
	WIREGUARD_DEVICE_SLOTS,
};

/* A peer's. */
enum {
	WIREGUARD_PEER_KEYS,
	WIREGUARD_PEER_HANDSHAKE,
	WIREGUARD_PEER_SESSIONS, /* three of them */
	WIREGUARD_PEER_SLOTS = WIREGUARD_PEER_SESSIONS + 3,
};

struct wireguard_device {
	struct wireguard_env env;
	union wireguard_secrets *slots[WIREGUARD_DEVICE_SLOTS];
	struct wireguard_key public_key;
	struct wireguard_noise_local local; /* points into the two members above */
	struct wireguard_cookie_checker checker;
	struct wireguard_load load;
	struct wireguard_indices indices;
	struct wireguard_allowed_ips allowed_ips;
	struct wireguard_schedule schedule;
	struct wireguard_timings timings;
	struct wireguard_peer *first; /* all peers, in order of creation */
	struct wireguard_peer *last;
	struct wireguard_peer **chains; /* and by public key */
	struct wireguard_peer **places; /* and those with an endpoint by it; as many chains */
	size_t peer_count;
	size_t chain_count; /* a power of two, at least peer_count */
	uint8_t chain_key[16];
	struct wireguard_tai64n last_timestamp; /* of the last initiation sent to anyone */
	uint16_t mtu;
	struct wireguard_obfuscator *obfuscator; /* NULL: datagrams are messages */
	uint32_t dropped[WIREGUARD_DROP_COUNT];  /* since they were taken; publish.c takes them every second */
	uint64_t strangers_from;                 /* data of unknown sessions is examined from then on */
};

/* Data of one unknown session that comes from a peer's address, while no data of our sessions does. */
struct wireguard_stranger {
	uint64_t since, counter;
	uint32_t index;
	unsigned count;
};

struct wireguard_peer {
	struct wireguard_device *device;
	void *tag;
	struct wireguard_update_item *pending; /* the prepared update, or NULL */
	struct wireguard_peer *next, *before, *chained, *beside, **place;
	struct wireguard_key public_key;
	union wireguard_endpoint endpoint; /* changed by wireguard_peer_set_endpoint alone */
	struct wireguard_allowed_owner allowed;
	union wireguard_secrets *slots[WIREGUARD_PEER_SLOTS];
	bool has_static_shared; /* false: a low-order public key, with which no handshake is possible */
	struct wireguard_timers timers;
	struct wireguard_sessions sessions;
	struct wireguard_staged staged;
	struct wireguard_cookie_maker cookies;
	/* Our own initiation. Its index is listed while it waits for a response. The other side's initiations are answered at once
	 * and never wait, so that two handshakes that cross both succeed (W21). */
	struct wireguard_noise handshake;
	struct wireguard_index handshake_index;
	bool wants_initiation;        /* the env had no room for it */
	uint16_t announced;           /* how much of what precedes the next initiation was sent */
	uint64_t last_sent_handshake; /* time of the last initiation or response, WIREGUARD_NEVER: none */
	uint64_t initiated_at;        /* time of the initiation that the handshake is of */
	bool is_urgent;               /* the next initiation does not wait for REKEY_TIMEOUT */
	/* The other side's accepted initiations. */
	struct wireguard_tai64n latest_timestamp;
	uint64_t latest_initiation;        /* WIREGUARD_NEVER: none */
	struct wireguard_peer_stats stats; /* except can_send */
	struct wireguard_stranger stranger;
	bool is_robbed; /* suspected, since data of ours was not answered */
	uint8_t reserved[3];
	uint16_t window; /* the largest data datagram from its endpoint, for trailers */
};

static inline struct wireguard_peer *wireguard_peer_of_owner(struct wireguard_allowed_owner *owner)
{
	return (struct wireguard_peer *)((char *)owner - offsetof(struct wireguard_peer, allowed));
}

static inline struct wireguard_peer *wireguard_peer_of_timers(struct wireguard_timers *timers)
{
	return (struct wireguard_peer *)((char *)timers - offsetof(struct wireguard_peer, timers));
}

static inline void wireguard_device_drop(struct wireguard_device *device, enum wireguard_drop reason)
{
	device->dropped[reason]++;
}

/* outgoing.c, for a device with an obfuscator */

uint8_t *wireguard_outgoing_reserve(const struct wireguard_device *device, const struct wireguard_peer *peer, enum wireguard_message_type type,
                                    const union wireguard_endpoint *to, size_t length);
size_t wireguard_outgoing_commit(const struct wireguard_device *device, size_t length);
/* The length of a data message's payload for a packet of `length` bytes. */
size_t wireguard_outgoing_payload(struct wireguard_peer *peer, size_t length);
/* Sends what precedes an initiation: signature packets and junk. False when room is missing: the next call goes on there. */
bool wireguard_outgoing_announce(struct wireguard_peer *peer);

/* Room for a message, or NULL. `peer` is NULL for a cookie reply. */
static inline uint8_t *wireguard_device_reserve(const struct wireguard_device *device, const struct wireguard_peer *peer,
                                                enum wireguard_message_type type, const union wireguard_endpoint *to, size_t length)
{
	if (device->obfuscator != NULL)
		return wireguard_outgoing_reserve(device, peer, type, to, length);
	return device->env.reserve(device->env.owner, to, length);
}

/* The type of the message that room was reserved for last, as it is on the wire. */
static inline uint32_t wireguard_device_type(const struct wireguard_device *device, enum wireguard_message_type type)
{
	return device->obfuscator != NULL ? device->obfuscator->outgoing.type : type;
}

/* Sends it; returns the length of the datagram. */
static inline size_t wireguard_device_commit(const struct wireguard_device *device, size_t length)
{
	if (device->obfuscator != NULL)
		return wireguard_outgoing_commit(device, length);
	device->env.commit(device->env.owner, length);
	return length;
}

/* peer.c */

void wireguard_peer_notify(struct wireguard_peer *peer, enum wireguard_event event);
struct wireguard_noise_remote wireguard_peer_remote(const struct wireguard_peer *peer);
/* Creates a peer that is not yet in the device, to be linked (which cannot fail) or discarded. Reserves room in the tables for `more` peers besides
 * the device's. NULL when out of memory. */
struct wireguard_peer *wireguard_peer_make(struct wireguard_device *device, const struct wireguard_key *public_key, void *tag, size_t more);
void wireguard_peer_link(struct wireguard_peer *peer);
void wireguard_peer_discard(struct wireguard_peer *peer);
void wireguard_peer_free_all(struct wireguard_device *device);
/* To be called for every authenticated message received or sent; a changed source becomes the peer's new endpoint (paper, 6.5). */
void wireguard_peer_received(struct wireguard_peer *peer, const union wireguard_endpoint *from, size_t length, uint64_t now);
void wireguard_peer_sent(struct wireguard_peer *peer, size_t length, uint64_t now);
/* Data arrived for a session that is not ours. It is not authenticated, so it has an effect only with what is: wireguard_peer_is_robbed. */
void wireguard_peer_heard_stranger(struct wireguard_device *device, const union wireguard_endpoint *from, uint32_t index, uint64_t counter,
                                   uint64_t now);
/* When our initiation is answered, before the answer counts: whether the data before it was answered by a session of somebody else. */
bool wireguard_peer_is_robbed(const struct wireguard_peer *peer);
/* A handshake is complete: there is a session to send with. */
void wireguard_peer_completed(struct wireguard_peer *peer, uint64_t now);
/* The session to send with, or NULL. Ends one that can no longer be used. */
struct wireguard_session *wireguard_peer_session(struct wireguard_peer *peer, uint64_t now);
void wireguard_peer_expire(struct wireguard_peer *peer, uint64_t now);
void wireguard_peer_forget(struct wireguard_peer *peer);
void wireguard_peer_drop_staged(struct wireguard_peer *peer);
void wireguard_peer_tick(struct wireguard_peer *peer, uint64_t now);

/* handshake.c */

/* Whether an initiation may be sent: REKEY_TIMEOUT after the last handshake message, or URGENT_GAP after it. */
bool wireguard_handshake_is_due(const struct wireguard_peer *peer, uint64_t now);
/* Sends an initiation if it is due, and else sees to it that one is sent later, where one is needed. */
void wireguard_handshake_initiate(struct wireguard_peer *peer, bool is_retry, uint64_t now);
/* Abandons the initiation that waits for a response, if any. */
void wireguard_handshake_abandon(struct wireguard_peer *peer);
/* Process messages of the correct length and type. */
void wireguard_handshake_receive_initiation(struct wireguard_device *device, const uint8_t *datagram, const union wireguard_endpoint *from,
                                            uint64_t now);
void wireguard_handshake_receive_response(struct wireguard_device *device, const uint8_t *datagram, const union wireguard_endpoint *from,
                                          uint64_t now);
void wireguard_handshake_receive_cookie(struct wireguard_device *device, const uint8_t *datagram, uint64_t now);

/* send.c */

/* Sends staged packets if there is a session; otherwise starts a handshake. */
void wireguard_send_staged(struct wireguard_peer *peer, uint64_t now);
/* Sends staged packets or, if there are none, a keepalive. */
void wireguard_send_keepalive(struct wireguard_peer *peer, uint64_t now);

#endif
