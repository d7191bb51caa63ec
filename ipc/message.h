/* Messages between the control process and a worker: their contents (the enums and structs) and their encoding.
 * The control process trusts no message of a worker: every decoder checks bounds and reports a sticky error. */
#ifndef WARREN_IPC_MESSAGE_H
#define WARREN_IPC_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/endpoint.h"
#include "ipc/key.h"
#include "ipc/network.h"
#include "ipc/spec.h"

#define MESSAGE_SIZE_MAX (16u << 20)
#define MESSAGE_DESCRIPTORS_MAX 250 /* under SCM_MAX_FD */
#define MESSAGE_WANTS_MOST 64u      /* WANT_UDP, _DIAL and _RELAY of one slot that a worker may have unanswered */

/* The sender of a request chooses `request`, and the reply repeats it. `slot` is the tunnel's place in the shared counters and identifies it in
 * every message. `generation` identifies late messages about an old runtime, which are dropped. */
enum message_type {
	/* control process to worker */
	MESSAGE_PREPARE = 1, /* message_prepare + descriptors: build a runtime (or a change), inactive */
	MESSAGE_COMMIT,      /* message_ack: make the prepared one active, retire the old one */
	MESSAGE_ABORT,       /* message_ack: forget the prepared one */
	MESSAGE_REMOVE,      /* message_ack: end the tunnel; replied when its sockets are closed and its keys wiped */
	MESSAGE_RESOLVED,    /* message_resolved: addresses of a peer's endpoint */
	MESSAGE_RECONNECT,   /* message_ack */
	MESSAGE_PROBE,       /* message_probe */
	MESSAGE_GRANTED,     /* message_ack (+ 0 or 1 descriptor): the answer to a WANT_ */
	MESSAGE_SHUTDOWN,    /* empty: end everything and exit 0 */
	/* worker to control process */
	MESSAGE_READY = 64,   /* empty: the worker is sandboxed and listens */
	MESSAGE_PREPARED,     /* message_prepared: reply to PREPARE */
	MESSAGE_DONE,         /* message_ack: reply to COMMIT, ABORT, REMOVE, RECONNECT */
	MESSAGE_PROBED,       /* message_probed: reply to PROBE (request != 0), or the periodic probe's result (request 0) */
	MESSAGE_STATE,        /* message_state */
	MESSAGE_HANDSHAKE,    /* message_handshake: completed, or given up */
	MESSAGE_ENDPOINT,     /* message_endpoint: a peer moved */
	MESSAGE_WANT_RESOLVE, /* message_want_resolve: the peer's endpoint name, again */
	MESSAGE_WANT_UDP,     /* message_want: a fresh UDP socket to heal the tunnel */
	MESSAGE_WANT_DIAL,    /* message_want: a connection to the target of inbound forward `index` */
	MESSAGE_WANT_RELAY,   /* message_want: a UDP socket for a SOCKS5 association beside listener `index` (+ local address) */
	MESSAGE_LIMIT,        /* message_state's slot and generation: total_bytes is used up */
	MESSAGE_CONDITION,    /* message_condition */
};

/* Conditions that an operator should know besides the tunnel's state, which they do not change. */
enum message_condition_type {
	MESSAGE_CONDITION_MTU, /* the path drops large packets; the value is the size that passes, from bit 16 on the size that does not */
	MESSAGE_CONDITION_KEY, /* another machine or tunnel uses the same private key with the same peer; the value is 1 */
	MESSAGE_CONDITIONS
};
const char *message_condition_name(enum message_condition_type type);
/* A sentence for the operator, with advice. */
void message_condition_detail(enum message_condition_type type, uint64_t value, char detail[160]);

/* Remedies, in their order. */
enum message_healing {
	MESSAGE_HEALING_NONE,
	MESSAGE_HEALING_HANDSHAKE,
	MESSAGE_HEALING_RESOLVE,
	MESSAGE_HEALING_FAMILY,
	MESSAGE_HEALING_SOCKET,
	MESSAGE_HEALINGS
};
const char *message_healing_name(enum message_healing healing);

enum message_status {
	MESSAGE_STATUS_OK = 0,
	MESSAGE_STATUS_NO_MEMORY = 1,
	MESSAGE_STATUS_UNKNOWN = 2, /* no such slot, generation or forward */
	MESSAGE_STATUS_REFUSED = 3, /* policy, or the other side refused */
	MESSAGE_STATUS_UNREACHABLE = 4,
	MESSAGE_STATUS_TIMED_OUT = 5,
	MESSAGE_STATUS_DESCRIPTORS = 6, /* none left */
	MESSAGE_STATUS_INVALID = 7,     /* the spec cannot be run (own key as a peer …) */
};

enum message_applied { MESSAGE_APPLIED_CREATED, MESSAGE_APPLIED_IN_PLACE, MESSAGE_APPLIED_RESTARTED };

/* A host socket of a tunnel. The control process assigns `id`, unique within the tunnel. A PREPARE lists all sockets that the tunnel will have.
 * Those with `fresh` come with a descriptor, in the list's order; the worker holds the others already. At COMMIT it closes those that it holds
 * and that are not listed. */
enum message_socket_kind { MESSAGE_SOCKET_UDP, MESSAGE_SOCKET_PROXY, MESSAGE_SOCKET_FORWARD };
struct message_socket {
	uint32_t id;
	uint8_t kind;
	bool fresh;
	uint16_t index; /* in spec.listen or spec.forwards */
};

#define MESSAGE_ADDRESSES_MAX 8
struct message_addresses {
	union wireguard_endpoint list[MESSAGE_ADDRESSES_MAX];
	size_t count;
};

struct message_prepare {
	uint64_t request;
	uint32_t slot;
	uint64_t generation;
	char id[64];
	uint8_t timestamp_floor[12];
	uint64_t total_bytes_used;           /* of limits.total_bytes, by earlier daemons */
	struct spec spec;                    /* owned */
	struct message_addresses *endpoints; /* spec.peer_count entries; count 0 when not resolved yet. Owned */
	struct message_socket *sockets;      /* owned */
	size_t socket_count;
	uint32_t *peer_slots; /* spec.peer_count entries, owned */
};

struct message_ack {
	uint64_t request;
	uint32_t slot;
	uint64_t generation;
	uint8_t status; /* enum message_status */
};

struct message_prepared {
	struct message_ack ack;
	uint8_t applied;  /* enum message_applied */
	char detail[160]; /* for the operator, when status is not OK */
};

struct message_resolved {
	uint32_t slot;
	uint64_t generation;
	struct wireguard_key peer;
	struct message_addresses addresses; /* count 0: the name has none now */
};

struct message_probe {
	uint64_t request;
	uint32_t slot;
	uint64_t generation;
	uint8_t type; /* enum spec_probe_type */
	char target[256];
	uint32_t count;
	uint32_t timeout_ms; /* each */
};

struct message_probed {
	uint64_t request;
	uint32_t slot;
	uint64_t generation;
	bool ok;
	uint32_t sent, received;
	double rtt_min_ms, rtt_avg_ms, rtt_max_ms;
	char detail[160];
};

/* The states of openapi.yaml, as in the shared counters. */
enum tunnel_state { TUNNEL_DISABLED, TUNNEL_STARTING, TUNNEL_HANDSHAKING, TUNNEL_UP, TUNNEL_STALE, TUNNEL_FAILED, TUNNEL_STATE_COUNT };

struct message_state {
	uint32_t slot;
	uint64_t generation;
	uint8_t state;
	uint8_t healing; /* enum message_healing: the remedy being applied */
	uint32_t count;  /* of it, since it was told last: each of many peers may have its own */
	char reason[160];
};

struct message_handshake {
	uint32_t slot;
	uint64_t generation;
	struct wireguard_key peer;
	bool completed;
	uint32_t count;             /* how many handshakes this one stands for */
	uint8_t last_timestamp[12]; /* TAI64N of the last initiation sent, to be kept for the next start */
};

struct message_endpoint {
	uint32_t slot;
	uint64_t generation;
	struct wireguard_key peer;
	union wireguard_endpoint endpoint;
	uint32_t count; /* how many moves this one stands for */
};

struct message_condition {
	uint32_t slot;
	uint64_t generation;
	uint8_t type;   /* enum message_condition_type */
	uint32_t value; /* 0: no longer */
};

struct message_want_resolve {
	uint32_t slot;
	uint64_t generation;
	struct wireguard_key peer;
};

struct message_want {
	uint64_t request;
	uint32_t slot;
	uint64_t generation;
	uint16_t index;
	union wireguard_endpoint local;  /* WANT_RELAY: the control connection's local address */
	union wireguard_endpoint source; /* WANT_DIAL: the inner client */
};

/* A growing buffer for a message's body; `failed` stays set once memory has run out. */
struct message_writer {
	uint8_t *bytes;
	size_t length, capacity;
	bool failed;
};
void message_writer_init(struct message_writer *writer);
void message_writer_clear(struct message_writer *writer); /* wipes */
void message_put_u8(struct message_writer *writer, uint8_t value);
void message_put_u16(struct message_writer *writer, uint16_t value);
void message_put_u32(struct message_writer *writer, uint32_t value);
void message_put_u64(struct message_writer *writer, uint64_t value);
void message_put_bytes(struct message_writer *writer, const void *bytes, size_t length);
void message_put_string(struct message_writer *writer, const char *string); /* NULL is kept */

/* A cursor; after the first read past the end, `failed` stays set and every read returns zero. */
struct message_reader {
	const uint8_t *bytes;
	size_t left;
	bool failed;
};
uint8_t message_get_u8(struct message_reader *reader);
uint16_t message_get_u16(struct message_reader *reader);
uint32_t message_get_u32(struct message_reader *reader);
uint64_t message_get_u64(struct message_reader *reader);
void message_get_bytes(struct message_reader *reader, void *bytes, size_t length);
char *message_get_string(struct message_reader *reader, size_t longest); /* malloc'ed, or NULL */

/* Encoders append the body. Decoders return false unless the body is exactly one such message within its bounds. */
void message_encode_prepare(struct message_writer *writer, const struct message_prepare *message);
bool message_decode_prepare(struct message_reader *reader, struct message_prepare *message);
void message_prepare_clear(struct message_prepare *message);
void message_encode_ack(struct message_writer *writer, const struct message_ack *message);
bool message_decode_ack(struct message_reader *reader, struct message_ack *message);
void message_encode_prepared(struct message_writer *writer, const struct message_prepared *message);
bool message_decode_prepared(struct message_reader *reader, struct message_prepared *message);
void message_encode_resolved(struct message_writer *writer, const struct message_resolved *message);
bool message_decode_resolved(struct message_reader *reader, struct message_resolved *message);
void message_encode_probe(struct message_writer *writer, const struct message_probe *message);
bool message_decode_probe(struct message_reader *reader, struct message_probe *message);
void message_encode_probed(struct message_writer *writer, const struct message_probed *message);
bool message_decode_probed(struct message_reader *reader, struct message_probed *message);
void message_encode_state(struct message_writer *writer, const struct message_state *message);
bool message_decode_state(struct message_reader *reader, struct message_state *message);
void message_encode_handshake(struct message_writer *writer, const struct message_handshake *message);
bool message_decode_handshake(struct message_reader *reader, struct message_handshake *message);
void message_encode_endpoint(struct message_writer *writer, const struct message_endpoint *message);
bool message_decode_endpoint(struct message_reader *reader, struct message_endpoint *message);
void message_encode_condition(struct message_writer *writer, const struct message_condition *message);
bool message_decode_condition(struct message_reader *reader, struct message_condition *message);
void message_encode_want_resolve(struct message_writer *writer, const struct message_want_resolve *message);
bool message_decode_want_resolve(struct message_reader *reader, struct message_want_resolve *message);
void message_encode_want(struct message_writer *writer, const struct message_want *message);
bool message_decode_want(struct message_reader *reader, struct message_want *message);

#endif
