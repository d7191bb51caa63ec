/* A WireGuard device: keys, peers and sessions, without any I/O.
 * Inputs are datagrams, inner packets and `now`; outputs go to the env's functions; the caller asks for the next deadline.
 * One device belongs to one thread. `now` is nanoseconds of a clock that never steps back and runs on in suspend (CLOCK_BOOTTIME). */
#ifndef WARREN_TUNNEL_WIREGUARD_DEVICE_H
#define WARREN_TUNNEL_WIREGUARD_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <time.h>

#include "ipc/drop.h"
#include "ipc/endpoint.h"
#include "ipc/key.h"
#include "ipc/network.h"

#define WIREGUARD_NEVER UINT64_MAX
#define WIREGUARD_OVERHEAD 32 /* transport header 16 and tag 16 (WireGuard paper, 5.4.6) */

struct wireguard_device;
struct wireguard_peer;
struct wireguard_update;

enum wireguard_error {
	WIREGUARD_OK = 0,
	WIREGUARD_OUT_OF_MEMORY = -1,
	WIREGUARD_OWN_KEY = -2,     /* a peer with the device's own public key */
	WIREGUARD_DUPLICATE = -3,   /* a peer that is there already */
	WIREGUARD_CRYPTO = -4,      /* a primitive failed, or secure memory could not be locked */
	WIREGUARD_NO_PEER = -5,     /* no allowed IP covers the packet's destination */
	WIREGUARD_NO_ENDPOINT = -6, /* the peer's endpoint is not known */
	WIREGUARD_STAGED = -7,      /* no session: the packet waits for the handshake (the oldest one goes when 128 wait) */
	WIREGUARD_BUSY = -8,        /* the env had no room for the datagram: back pressure, nothing was consumed */
	WIREGUARD_BAD_PACKET = -9,  /* not an IP packet */
};

enum wireguard_event {
	WIREGUARD_INITIATION_SENT,     /* a first attempt or a retry */
	WIREGUARD_HANDSHAKE_COMPLETED, /* a session can be used for sending */
	WIREGUARD_HANDSHAKE_GAVE_UP,   /* REKEY_ATTEMPT_TIME passed (paper, 6.4); staged packets were dropped */
	WIREGUARD_ENDPOINT_MOVED,      /* an authenticated packet came from elsewhere (paper, 6.5) */
	WIREGUARD_PEER_QUIET,          /* data was sent and nothing came back for 3 s, or longer where that was no sign (timers.h) */
	WIREGUARD_PEER_SILENT,         /* data was sent and nothing came back for 15 s: a handshake follows (paper, 6.2) */
	WIREGUARD_PEER_RETURNED,       /* it was heard again after two initiations or more */
	WIREGUARD_INITIATION_TAKEN,    /* the peer's was answered; wireguard_peer_latest_timestamp has its label */
	WIREGUARD_SESSION_TAKEN,       /* the peer's data comes here for a session that somebody else with our key has */
	WIREGUARD_SESSION_EXPIRED,     /* no session is left that could send */
};

/* What the device needs from its surroundings. All functions get `owner`. None may call back into the device, but for
 * `deliver`, which may call wireguard_device_send. */
struct wireguard_env {
	void *owner;
	void (*random)(void *owner, void *bytes, size_t length);
	void (*wall_clock)(void *owner, struct timespec *now);
	/* Room for one outgoing datagram of exactly `length` bytes, or NULL when there is none now. It is written at once,
	 * then `commit` is called with the same length, or nothing (the room is given up). */
	uint8_t *(*reserve)(void *owner, const union wireguard_endpoint *to, size_t length);
	void (*commit)(void *owner, size_t length);
	/* An authenticated inner packet, decrypted in place in the datagram's buffer, whose source is allowed for the peer. */
	void (*deliver)(void *owner, struct wireguard_peer *peer, uint8_t *packet, size_t length);
	void (*notify)(void *owner, struct wireguard_peer *peer, enum wireguard_event event);
};

struct wireguard_peer_config {
	struct wireguard_key public_key;
	struct wireguard_key preshared_key;          /* all zero when there is none (paper, 5.2) */
	union wireguard_endpoint endpoint;           /* sa_family AF_UNSPEC when not known */
	const struct wireguard_network *allowed_ips; /* copied */
	size_t allowed_ip_count;
	uint16_t persistent_keepalive; /* seconds, 0 is off */
};

struct wireguard_peer_stats {
	uint64_t bytes_sent; /* UDP payload of all messages, handshakes included */
	uint64_t bytes_received;
	uint64_t last_handshake;     /* `now` of the last completed handshake, 0 when there was none */
	uint64_t handshakes;         /* completed */
	uint64_t handshake_failures; /* initiations that were never answered */
	unsigned unanswered;         /* initiations sent since the last authenticated message came in */
	uint64_t last_received;      /* `now` of the last authenticated datagram, 0: never */
	bool can_send;               /* there is a session to send with at this time */
};

/* Handshakes that wait to be read, as load.h counts them. All zero is an empty queue. */
struct wireguard_load_queue {
	uint64_t busy_until; /* when it will be empty */
	uint64_t high_until; /* until then it was long enough to be load */
};

/* Library-wide start: picks the AEAD code for this CPU, makes the guarded arena for `slots` sessions and handshakes and checks
 * that it is locked (`require_lock` false: goes on without). WIREGUARD_CRYPTO or WIREGUARD_OUT_OF_MEMORY on failure. */
int wireguard_start(size_t slots, bool require_lock) __attribute__((warn_unused_result));
void wireguard_stop(void);

/* Fresh keys; they are clamped (RFC 7748, 5). */
int wireguard_key_generate(struct wireguard_key *private_key) __attribute__((warn_unused_result));
int wireguard_key_public(struct wireguard_key *public_key, const struct wireguard_key *private_key) __attribute__((warn_unused_result));

/* The env is copied. `timestamp_floor` is the TAI64N label (12 bytes, big endian) of the last initiation that any earlier device
 * with this key sent, or all zero: every timestamp sent is greater (W8). */
int wireguard_device_create(struct wireguard_device **device, const struct wireguard_key *private_key, const uint8_t timestamp_floor[12],
                            const struct wireguard_env *env) __attribute__((warn_unused_result));
void wireguard_device_free(struct wireguard_device *device);
void wireguard_device_set_env(struct wireguard_device *device, const struct wireguard_env *env);
/* All devices that are given the same queue read no more initiations together than one queue allows. Borrowed; NULL: none. */
void wireguard_device_share_load(struct wireguard_device *device, struct wireguard_load_queue *shared);
/* Sessions of the old key end and handshakes start anew (W33). */
int wireguard_device_set_private_key(struct wireguard_device *device, const struct wireguard_key *private_key, uint64_t now)
    __attribute__((warn_unused_result));
const struct wireguard_key *wireguard_device_public_key(const struct wireguard_device *device);
/* The largest datagram payload that a padded packet may have is `mtu` + WIREGUARD_OVERHEAD: padding stops at the inner MTU (paper, 5.4.6). */
void wireguard_device_set_mtu(struct wireguard_device *device, uint16_t mtu);
void wireguard_device_last_timestamp(const struct wireguard_device *device, uint8_t tai64n[12]);
/* What was dropped since the last take, [WIREGUARD_DROP_COUNT]. */
const uint64_t *wireguard_device_drops(const struct wireguard_device *device);
void wireguard_device_take_drops(struct wireguard_device *device, uint64_t drops[WIREGUARD_DROP_COUNT]);

/* One datagram as it came in; it is opened in place. Never fails: what is wrong is dropped and counted. */
void wireguard_device_receive(struct wireguard_device *device, uint8_t *datagram, size_t length, const union wireguard_endpoint *from, uint64_t now);
/* One inner IP packet, gathered from `parts`, is routed by allowed IPs, padded, sealed and handed to the env.
 * WIREGUARD_OK, NO_PEER, NO_ENDPOINT, STAGED (the device took a copy), BUSY or BAD_PACKET. */
int wireguard_device_send(struct wireguard_device *device, const struct iovec *parts, size_t count, size_t length, uint64_t now)
    __attribute__((warn_unused_result));
/* The peer that wireguard_device_send would send to for this destination of 4 or 16 bytes, or NULL. */
struct wireguard_peer *wireguard_device_route(const struct wireguard_device *device, uint8_t family, const uint8_t *address);
/* The time at which wireguard_device_tick has something to do. */
uint64_t wireguard_device_deadline(const struct wireguard_device *device);
void wireguard_device_tick(struct wireguard_device *device, uint64_t now);

/* Another private key and other peers in two steps, so that one of them cannot fail. What is prepared touches nothing that runs; one at a
 * time is prepared for a device, whose peers do not change otherwise meanwhile. OK, OUT_OF_MEMORY, CRYPTO, OWN_KEY or DUPLICATE. */
int wireguard_update_create(struct wireguard_update **update, struct wireguard_device *device, const struct wireguard_key *private_key, size_t most)
    __attribute__((warn_unused_result));
/* One of the peers that are to be, `most` at most: one of this key that there is gets another configuration and keeps its tag; else it is made.
 * An endpoint AF_UNSPEC: it stays where it is. */
int wireguard_update_peer(struct wireguard_update *update, const struct wireguard_peer_config *config, void *tag, struct wireguard_peer **peer)
    __attribute__((warn_unused_result));
/* Cannot fail, allocates nothing, and frees the update. The peers that are not in it have been removed before. Sessions go on, but for
 * those of another private key, which end and begin anew (W33). */
void wireguard_update_commit(struct wireguard_update *update, uint64_t now);
void wireguard_update_free(struct wireguard_update *update); /* instead of the commit */

/* Peers. A change keeps sessions, unless the preshared key differs, which counts from the next handshake on (W33). */
int wireguard_peer_add(struct wireguard_device *device, const struct wireguard_peer_config *config, void *tag, struct wireguard_peer **peer,
                       uint64_t now) __attribute__((warn_unused_result));
int wireguard_peer_change(struct wireguard_peer *peer, const struct wireguard_peer_config *config, uint64_t now) __attribute__((warn_unused_result));
void wireguard_peer_remove(struct wireguard_peer *peer);
struct wireguard_peer *wireguard_peer_find(struct wireguard_device *device, const struct wireguard_key *public_key);
struct wireguard_peer *wireguard_peer_next(struct wireguard_device *device, struct wireguard_peer *after); /* NULL starts and ends */
void *wireguard_peer_tag(const struct wireguard_peer *peer);
const struct wireguard_key *wireguard_peer_public_key(const struct wireguard_peer *peer);
const union wireguard_endpoint *wireguard_peer_endpoint(const struct wireguard_peer *peer);
/* The TAI64N label of the newest initiation of the peer that was answered, all zero: none. None that is not after it will be (paper, 5.1):
 * a device that takes the place of another sets what that one had. */
void wireguard_peer_latest_timestamp(const struct wireguard_peer *peer, uint8_t tai64n[12]);
void wireguard_peer_set_latest_timestamp(struct wireguard_peer *peer, const uint8_t tai64n[12]);
/* True when one of the peers is there. Takes no longer with many. */
bool wireguard_device_has_endpoint(const struct wireguard_device *device, const union wireguard_endpoint *endpoint);
void wireguard_peer_set_endpoint(struct wireguard_peer *peer, const union wireguard_endpoint *endpoint);
void wireguard_peer_stats(const struct wireguard_peer *peer, struct wireguard_peer_stats *stats, uint64_t now);
/* Starts a handshake as if there were a packet to send; nothing when one was sent in the last REKEY_TIMEOUT. */
void wireguard_peer_initiate(struct wireguard_peer *peer, uint64_t now);
/* The same beside a session whose peer is quiet, and REKEY_TIMEOUT after the last one if that is later. */
void wireguard_peer_ask(struct wireguard_peer *peer, uint64_t now);
/* Forgets the sessions and starts anew, 25 ms after the last initiation at the earliest: a peer takes fifty a second (W6). */
void wireguard_peer_reconnect(struct wireguard_peer *peer, uint64_t now);
/* A handshake at once, as if none had been tried, beside the sessions: the endpoint or the preshared key is another one. */
void wireguard_peer_restart(struct wireguard_peer *peer, uint64_t now);
/* The one or the other (`restarts`) for one of many: `begun` counts them from 0. The first few are sent at once, the others after gaps, since
 * each costs some exchanges of keys. */
void wireguard_peer_begin(struct wireguard_peer *peer, bool restarts, size_t *begun, uint64_t now);
/* After WIREGUARD_HANDSHAKE_GAVE_UP: one more initiation, and giving up again when it stays unanswered, unless there is something to send. */
void wireguard_peer_retry(struct wireguard_peer *peer, uint64_t now);
/* Wipes sessions and handshake, drops what is staged; as if the peer had just been added. */
void wireguard_peer_stop(struct wireguard_peer *peer);

#endif
