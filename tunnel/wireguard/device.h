/* A WireGuard device: keys, peers and sessions, without I/O.
 * Inputs are datagrams, inner packets and `now`; outputs go to the env's functions; the caller asks for the next deadline.
 * A device belongs to one thread. `now` is in nanoseconds of a monotonic clock that includes suspend (CLOCK_BOOTTIME). */
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
#include "ipc/obfuscation.h"

#define WIREGUARD_NEVER UINT64_MAX
#define WIREGUARD_OVERHEAD 32 /* transport header 16 and tag 16 (WireGuard paper, 5.4.6) */

struct wireguard_device;
struct wireguard_peer;
struct wireguard_update;

enum wireguard_error {
	WIREGUARD_OK = 0,
	WIREGUARD_OUT_OF_MEMORY = -1,
	WIREGUARD_OWN_KEY = -2,     /* a peer with the device's own public key */
	WIREGUARD_DUPLICATE = -3,   /* a peer that exists already */
	WIREGUARD_CRYPTO = -4,      /* a primitive failed, or secure memory could not be locked */
	WIREGUARD_NO_PEER = -5,     /* no allowed IP covers the packet's destination */
	WIREGUARD_NO_ENDPOINT = -6, /* the peer's endpoint is not known */
	WIREGUARD_STAGED = -7,      /* no session: the packet waits for the handshake (with 128 waiting, the oldest is dropped) */
	WIREGUARD_BUSY = -8,        /* the env had no room for the datagram: back pressure, the packet was not taken */
	WIREGUARD_BAD_PACKET = -9,  /* not an IP packet */
	WIREGUARD_BAD_STATE = -10,  /* a peer's state from another device that cannot be (transfer.h) */
};

enum wireguard_event {
	WIREGUARD_INITIATION_SENT,     /* a first attempt or a retry */
	WIREGUARD_HANDSHAKE_COMPLETED, /* a session can be used for sending */
	WIREGUARD_HANDSHAKE_GAVE_UP,   /* REKEY_ATTEMPT_TIME passed (paper, 6.4); staged packets were dropped */
	WIREGUARD_ENDPOINT_MOVED,      /* an authenticated packet came from elsewhere (paper, 6.5) */
	WIREGUARD_PEER_QUIET,          /* data was sent and nothing came back for 3 s, or longer if that is normal for the peer (timers.h) */
	WIREGUARD_PEER_SILENT,         /* data was sent and nothing came back for 15 s: a handshake follows (paper, 6.2) */
	WIREGUARD_PEER_RETURNED,       /* it was heard again after at least two initiations */
	WIREGUARD_INITIATION_TAKEN,    /* the peer's initiation was answered; wireguard_peer_latest_timestamp has its label */
	WIREGUARD_SESSION_TAKEN,       /* the peer sends data of a session that another machine with our key has */
	WIREGUARD_SESSION_EXPIRED,     /* no session that could send is left */
};

/* The device's environment. All functions get `owner`. None may call back into the device, except `deliver`, which may call
 * wireguard_device_send. */
struct wireguard_env {
	void *owner;
	void (*random)(void *owner, void *bytes, size_t length);
	void (*wall_clock)(void *owner, struct timespec *now);
	/* Returns room for one outgoing datagram of exactly `length` bytes, or NULL if there is none now. It is written at once; then
	 * `commit` is called with the same length, or the room is abandoned without a call. Before the env shows, sends or drops a datagram,
	 * it calls wireguard_sealing_finish (sealing.h): until then it is not sealed. */
	uint8_t *(*reserve)(void *owner, const union wireguard_endpoint *to, size_t length);
	void (*commit)(void *owner, size_t length);
	/* An authenticated inner packet, decrypted in place in the datagram's buffer, whose source is allowed for the peer. */
	void (*deliver)(void *owner, struct wireguard_peer *peer, uint8_t *packet, size_t length);
	void (*notify)(void *owner, struct wireguard_peer *peer, enum wireguard_event event);
};

/* How a handshake begins. */
enum wireguard_beginning {
	WIREGUARD_BEGIN,                 /* as wireguard_peer_initiate */
	WIREGUARD_BEGIN_RESTARTED,       /* as wireguard_peer_restart */
	WIREGUARD_BEGIN_WITHOUT_SESSION, /* as wireguard_peer_reconnect */
};

struct wireguard_datagram {
	uint8_t *bytes;
	size_t length;
	const union wireguard_endpoint *from;
};

struct wireguard_peer_config {
	struct wireguard_key public_key;
	struct wireguard_key preshared_key;          /* all zeros if there is none (paper, 5.2) */
	union wireguard_endpoint endpoint;           /* sa_family AF_UNSPEC when not known */
	const struct wireguard_network *allowed_ips; /* copied */
	size_t allowed_ip_count;
	uint16_t persistent_keepalive;      /* seconds, 0 is off */
	uint16_t persistent_keepalive_most; /* if not 0, each time a number of seconds up to this is drawn */
	uint8_t reserved[3];                /* bytes 1 to 3 of every message to it */
};

struct wireguard_peer_stats {
	uint64_t bytes_sent; /* UDP payload of all messages, handshakes included */
	uint64_t bytes_received;
	uint64_t last_handshake;     /* `now` of the last completed handshake, 0: never */
	uint64_t round_trip;         /* from the last initiation that was answered to its response, 0: none was */
	uint64_t handshakes;         /* completed */
	uint64_t handshake_failures; /* initiations that were never answered */
	unsigned unanswered;         /* initiations sent since the last authenticated message was received */
	uint64_t last_received;      /* `now` of the last authenticated datagram, 0: never */
	bool can_send;               /* there is a session to send with now */
};

/* The virtual queue of handshakes of load.h. Starts as all zeros. */
struct wireguard_load_queue {
	uint64_t busy_until; /* when it will be empty */
	uint64_t high_until; /* until then it counts as load */
};

/* Starts the library: picks the AEAD code for this CPU and creates the guarded arena for `slots` sessions and handshakes. The arena must be
 * locked unless `require_lock` is false. WIREGUARD_CRYPTO or WIREGUARD_OUT_OF_MEMORY on failure. */
int wireguard_start(size_t slots, bool require_lock) __attribute__((warn_unused_result));
void wireguard_stop(void);

/* The public key of any 32 bytes (RFC 7748, 5). 0 or WIREGUARD_CRYPTO. */
int wireguard_key_public(struct wireguard_key *public_key, const struct wireguard_key *private_key) __attribute__((warn_unused_result));

/* The env is copied. `timestamp_floor` is the TAI64N label (12 bytes, big endian) of the last initiation that any earlier device with this key
 * sent, or all zeros: every timestamp that is sent is greater (W8). */
int wireguard_device_create(struct wireguard_device **device, const struct wireguard_key *private_key, const uint8_t timestamp_floor[12],
                            const struct wireguard_env *env) __attribute__((warn_unused_result));
void wireguard_device_free(struct wireguard_device *device);
/* Devices with the same queue together process only as many initiations as that queue allows. Borrowed; NULL: none. */
void wireguard_device_share_load(struct wireguard_device *device, struct wireguard_load_queue *shared);
/* The largest datagram payload that a padded packet may have is `mtu` + WIREGUARD_OVERHEAD: padding stops at the inner MTU (paper, 5.4.6). */
void wireguard_device_set_mtu(struct wireguard_device *device, uint16_t mtu);
void wireguard_device_last_timestamp(const struct wireguard_device *device, uint8_t tai64n[12]);
/* Copies what was dropped since the last call, and starts again at 0. */
void wireguard_device_take_drops(struct wireguard_device *device, uint64_t drops[WIREGUARD_DROP_COUNT]);

/* Processes received datagrams in their order, each in place; neighbours of one session are opened together. Never fails: invalid ones are dropped
 * and counted. */
void wireguard_device_receive(struct wireguard_device *device, const struct wireguard_datagram *datagrams, size_t count, uint64_t now);
/* Sends one inner IP packet, gathered from `parts`: routes it by allowed IPs, pads and seals it, and passes it to the env.
 * WIREGUARD_OK, NO_PEER, NO_ENDPOINT, STAGED (the device made a copy), BUSY or BAD_PACKET. */
int wireguard_device_send(struct wireguard_device *device, const struct iovec *parts, size_t count, size_t length, uint64_t now)
    __attribute__((warn_unused_result));
/* The peer that wireguard_device_send would send to for this destination of 4 or 16 bytes, or NULL. */
struct wireguard_peer *wireguard_device_route(const struct wireguard_device *device, uint8_t family, const uint8_t *address);
/* The time at which wireguard_device_tick has something to do. A tick that leaves some of it for the next, so as not to hold the caller for long,
 * leaves this in the past. */
uint64_t wireguard_device_deadline(const struct wireguard_device *device);
void wireguard_device_tick(struct wireguard_device *device, uint64_t now);

/* Replaces the private key and the peers in two steps, of which the second cannot fail. Preparing does not affect the running device. A device has
 * one update at a time, and its peers must not change otherwise meanwhile. OK, OUT_OF_MEMORY, CRYPTO, OWN_KEY or DUPLICATE. */
int wireguard_update_create(struct wireguard_update **update, struct wireguard_device *device, const struct wireguard_key *private_key, size_t most)
    __attribute__((warn_unused_result));
/* How datagrams are disguised from the commit on; without this call the disguise is kept. `config` is borrowed as long as the device has it; NULL:
 * none. `has_reserved`: some peers have reserved bytes. OK or OUT_OF_MEMORY. */
int wireguard_update_obfuscation(struct wireguard_update *update, const struct obfuscation *config, bool has_reserved)
    __attribute__((warn_unused_result));
/* Adds a peer to the update, at most `most` of them. An existing peer with this key gets the new configuration and keeps its tag; otherwise it is
 * created. With an endpoint AF_UNSPEC the endpoint is kept. */
int wireguard_update_peer(struct wireguard_update *update, const struct wireguard_peer_config *config, void *tag, struct wireguard_peer **peer)
    __attribute__((warn_unused_result));
/* More allowed IPs of the peer that was added last. OK or OUT_OF_MEMORY. */
int wireguard_update_allow(struct wireguard_update *update, const struct wireguard_network *networks, size_t count)
    __attribute__((warn_unused_result));
/* Cannot fail, and allocates nothing. Peers that are not in it must have left before. The update then has what was replaced. Sessions continue,
 * unless the private key changed: then they end, and new handshakes start. A new preshared key takes effect with the next handshake (W33). */
void wireguard_update_commit(struct wireguard_update *update, uint64_t now);
/* Frees up to `most` pieces of what was replaced. True: there are more. */
bool wireguard_update_sweep(struct wireguard_update *update, size_t most);
void wireguard_update_free(struct wireguard_update *update); /* instead of the commit, or after it */

void wireguard_peer_remove(struct wireguard_peer *peer);
/* The same in two steps, for a peer that is missing in an update: it leaves the device just before the commit, which replaces all allowed IPs,
 * without taking its own out. Its sessions end here; the rest of its keys is wiped when it is freed. */
void wireguard_peer_leave(struct wireguard_peer *peer);
void wireguard_peer_free(struct wireguard_peer *peer);
struct wireguard_peer *wireguard_peer_find(struct wireguard_device *device, const struct wireguard_key *public_key);
void *wireguard_peer_tag(const struct wireguard_peer *peer);
const struct wireguard_key *wireguard_peer_public_key(const struct wireguard_peer *peer);
const union wireguard_endpoint *wireguard_peer_endpoint(const struct wireguard_peer *peer);
bool wireguard_peer_has_endpoint(const struct wireguard_peer *peer); /* it was configured, or the peer was heard */
/* The TAI64N label of the peer's newest initiation that was answered, all zeros: none. Only later ones will be answered (paper, 5.1). A device
 * that replaces another sets the other's label. */
void wireguard_peer_latest_timestamp(const struct wireguard_peer *peer, uint8_t tai64n[12]);
void wireguard_peer_set_latest_timestamp(struct wireguard_peer *peer, const uint8_t tai64n[12]);
/* True when one of the peers is there. Takes no longer with many. */
bool wireguard_device_has_endpoint(const struct wireguard_device *device, const union wireguard_endpoint *endpoint);
/* Whether a datagram can be a cookie reply of this device, which goes to an address that need not be a peer's (paper, 5.4.7). */
bool wireguard_device_may_answer(const struct wireguard_device *device, const union wireguard_endpoint *to, const uint8_t *datagram, size_t length);
/* The peers that are there, one after the other, from NULL to NULL. Takes no longer with many elsewhere. */
struct wireguard_peer *wireguard_device_next_at(const struct wireguard_device *device, const union wireguard_endpoint *endpoint,
                                                const struct wireguard_peer *last);
void wireguard_peer_set_endpoint(struct wireguard_peer *peer, const union wireguard_endpoint *endpoint);
void wireguard_peer_stats(const struct wireguard_peer *peer, struct wireguard_peer_stats *stats, uint64_t now);
/* Starts a handshake as if there were a packet to send; does nothing if one was sent in the last REKEY_TIMEOUT. */
void wireguard_peer_initiate(struct wireguard_peer *peer, uint64_t now);
/* The same while there is a session whose peer is quiet; waits until REKEY_TIMEOUT after the last one. */
void wireguard_peer_ask(struct wireguard_peer *peer, uint64_t now);
/* Drops the sessions and starts a handshake, at the earliest 25 ms after the last initiation: a peer accepts fifty a second (W6). */
void wireguard_peer_reconnect(struct wireguard_peer *peer, uint64_t now);
/* Starts a handshake at once and keeps the sessions, because the endpoint or the preshared key has changed. */
void wireguard_peer_restart(struct wireguard_peer *peer, uint64_t now);
/* One of these for one of many peers; `begun` counts those with an endpoint, from 0. The first few are sent at once and the others with gaps,
 * since each costs several key exchanges. */
void wireguard_peer_begin(struct wireguard_peer *peer, enum wireguard_beginning how, size_t *begun, uint64_t now);
/* After WIREGUARD_HANDSHAKE_GAVE_UP: sends one more initiation, and gives up again if it is not answered and there is nothing to send. */
void wireguard_peer_retry(struct wireguard_peer *peer, uint64_t now);
/* Wipes sessions and handshake and drops staged packets, as if the peer had just been added. */
void wireguard_peer_stop(struct wireguard_peer *peer);

#endif
