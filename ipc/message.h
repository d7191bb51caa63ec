/* Messages between the control process and a worker: their contents (the enums and structs) and their encoding.
 * The control process trusts no message of a worker: every decoder checks bounds and reports a sticky error. */
#ifndef WARREN_IPC_MESSAGE_H
#define WARREN_IPC_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/endpoint.h"
#include "ipc/key.h"
#include "ipc/log.h"
#include "ipc/network.h"
#include "ipc/spec.h"

/* Of the messages, the counters and the links between workers. To be raised with any change of them. A control process that takes over workers of a
 * protocol between the oldest and its own talks theirs with them; others it replaces. The oldest is its own, unless the code knows an earlier one. */
#define MESSAGE_PROTOCOL 7u /* earlier workers ignore LOG_LEVEL before 4, and end at a spec with `via` or, before 7, a placement */
#define MESSAGE_PROTOCOL_OLDEST 2u
#define MESSAGE_PROTOCOL_HAND_OVER 3u /* the first that knows HAND_OVER; earlier workers are sent REMOVE instead */
#define MESSAGE_PROTOCOL_IDLE 6u      /* the first that knows HAND_OVER_IDLE; earlier workers are sent HAND_OVER instead */
#define MESSAGE_SIZE_MAX (16u << 20)
#define MESSAGE_DESCRIPTORS_MAX 250 /* under SCM_MAX_FD */
#define MESSAGE_WANTS_MOST 64u      /* WANT_UDP, _DIAL and _RELAY of one slot that a worker may have unanswered */

/* The sender of a request chooses `request`, and the reply repeats it. `slot` is the tunnel's place in the shared counters and identifies it in
 * every message. `generation` identifies late messages about an old runtime, which are dropped.
 * Numbers stay, because workers of an earlier protocol know them: a new type is the last of its direction. */
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
	MESSAGE_QUERY,       /* query.h: lists a piece of what the worker holds, or ends it */
	/* pool_message.h */
	MESSAGE_PEER_LINK,      /* + descriptor: a link to another worker */
	MESSAGE_POOL,           /* a pool whose home is elsewhere and that has or had members here */
	MESSAGE_POOL_END,       /* it is no more: its connections end */
	MESSAGE_POOL_MEMBERS,   /* all its members, a piece */
	MESSAGE_POOL_MEMBER,    /* one that has changed */
	MESSAGE_POOL_FORGET,    /* ends sticky sessions */
	MESSAGE_POOL_COUNT,     /* asks for the open connections of sticky sessions */
	MESSAGE_HAND_OVER,      /* message_ack: as REMOVE; before the reply a TRANSFER tells each peer's sessions */
	MESSAGE_LOG_LEVEL,      /* the level from now on */
	MESSAGE_HAND_OVER_IDLE, /* as HAND_OVER, but REFUSED while it has a connection: then nothing has changed */
	/* worker to control process */
	MESSAGE_READY = 64,   /* empty: the worker is sandboxed and listens */
	MESSAGE_PREPARED,     /* message_prepared: reply to PREPARE */
	MESSAGE_DONE,         /* message_ack: reply to COMMIT, ABORT, REMOVE, RECONNECT, HAND_OVER, HAND_OVER_IDLE */
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
	MESSAGE_HEALTH,       /* message_health: whether the tunnel is healthy has changed */
	MESSAGE_QUERIED,      /* query.h: reply to QUERY */
	MESSAGE_ENDED,        /* query.h: connections that have ended, for the access log */
	/* pool_message.h */
	MESSAGE_POOL_SESSIONS,  /* both ways: sticky sessions to be stored, and those that were */
	MESSAGE_POOL_FORGOTTEN, /* reply to POOL_FORGET */
	MESSAGE_POOL_COUNTED,   /* reply to POOL_COUNT */
	MESSAGE_POOL_OPEN,      /* the members' open connections */
	MESSAGE_LINK_BROKEN,    /* a link broke its protocol and is closed */
	MESSAGE_TRANSFER,       /* message_transfer, both ways: a peer's sessions on their way to another worker, between PREPARE and COMMIT */
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
	uint64_t pool;                       /* the number of a SPEC_POOL; else 0 */
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

#define MESSAGE_PROBE_COUNT_MAX 100 /* attempts of a requested probe */

struct message_probe {
	uint64_t request;
	uint32_t slot;
	uint64_t generation;
	uint8_t type; /* enum spec_probe_type */
	char target[256];
	uint32_t count;                   /* at most MESSAGE_PROBE_COUNT_MAX */
	uint32_t timeout_ms;              /* each */
	uint16_t status_low, status_high; /* http: the answers that are expected */
};

struct message_probed {
	uint64_t request;
	uint32_t slot;
	uint64_t generation;
	bool ok;
	uint32_t sent, received;
	double rtt_min_ms, rtt_avg_ms, rtt_max_ms;
	uint32_t failures;                /* of the periodic probe: in a row */
	struct wireguard_network exit_ip; /* of exit_ip, if it succeeded; else family 0 */
	char detail[160];
};

/* The states of openapi.yaml, as in the shared counters. */
enum tunnel_state { TUNNEL_DISABLED, TUNNEL_STARTING, TUNNEL_HANDSHAKING, TUNNEL_UP, TUNNEL_STALE, TUNNEL_FAILED, TUNNEL_STATE_COUNT };

/* What the API shows as status.health.healthy: null, true and false. */
enum tunnel_health { TUNNEL_HEALTH_UNKNOWN, TUNNEL_HEALTHY, TUNNEL_UNHEALTHY, TUNNEL_HEALTH_COUNT };

struct message_health {
	uint32_t slot;
	uint64_t generation;
	uint8_t health; /* enum tunnel_health */
};

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
	uint64_t pool;                   /* WANT_RELAY: the listener is this pool's; 0: the tunnel's */
};

/* A growing buffer for a message's body; `failed` stays set once memory has run out. */
struct message_writer {
	uint8_t *bytes;
	size_t length, capacity;
	bool failed;
};
void message_writer_init(struct message_writer *writer);
void message_writer_clear(struct message_writer *writer); /* wipes */
/* Room for `length` more bytes at once, so that what is large is not copied as it grows. False, and failed, when out of memory or too large. */
bool message_writer_reserve(struct message_writer *writer, size_t length);
void message_put_u8(struct message_writer *writer, uint8_t value);
void message_put_u16(struct message_writer *writer, uint16_t value);
void message_put_u32(struct message_writer *writer, uint32_t value);
void message_put_u64(struct message_writer *writer, uint64_t value);
void message_put_bytes(struct message_writer *writer, const void *bytes, size_t length);
void message_put_string(struct message_writer *writer, const char *string); /* NULL is kept */
#define MESSAGE_NETWORK_MOST (2 + 16)
void message_put_network(struct message_writer *writer, const struct wireguard_network *network);
/* Text in an array of fixed size, always padded with NULs. */
void message_put_text(struct message_writer *writer, const char *text, size_t size);
void message_put_endpoint(struct message_writer *writer, const union wireguard_endpoint *endpoint); /* family AF_UNSPEC: none */

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
void message_get_network(struct message_reader *reader, struct wireguard_network *network);
/* Reads a count, at most `most`, and makes an array of zeroed elements of that size, malloc'ed; NULL and 0 if it is none, or on failure. */
void *message_get_array(struct message_reader *reader, size_t most, size_t element, size_t *count);
void message_get_text(struct message_reader *reader, char *text, size_t size);
void message_get_endpoint(struct message_reader *reader, union wireguard_endpoint *endpoint);
/* Everything was read, and nothing failed. */
bool message_is_whole(const struct message_reader *reader);

/* Of a tunnel that is handed over, in the worker to which or from which the message goes. `state` is of tunnel/wireguard/transfer.h, borrowed from
 * the message, and the rest of it. */
struct message_transfer {
	uint32_t slot;
	uint64_t generation;
	struct message_reader state;
};

/* Encoders append the body. Decoders return false unless the body is exactly one such message within its bounds. */
/* `spec` is what spec_encode has made of message->spec, which takes long with many peers. */
void message_encode_prepare(struct message_writer *writer, const struct message_prepare *message, const struct message_writer *spec);
bool message_decode_prepare(const struct message_reader *body, struct message_prepare *message);
/* The same in steps. The body may be moved in between, and the reader to it. */
struct prepare_decoder {
	struct message_reader reader;
	struct message_prepare *message;
	struct spec_decoder spec;
};
void message_prepare_begin(struct prepare_decoder *decoder, const struct message_reader *body, struct message_prepare *message);
/* Decodes up to `most` peers and networks. True: there are more. Else the reader says whether it failed, and then the message is cleared. */
bool message_prepare_more(struct prepare_decoder *decoder, size_t most);
void message_prepare_clear(struct message_prepare *message);
void message_encode_log_level(struct message_writer *writer, enum log_level level);
bool message_decode_log_level(struct message_reader *reader, enum log_level *level);
void message_encode_ack(struct message_writer *writer, const struct message_ack *message);
bool message_decode_ack(struct message_reader *reader, struct message_ack *message);
void message_get_ack(struct message_reader *reader, struct message_ack *message); /* the first part of another message */
void message_encode_prepared(struct message_writer *writer, const struct message_prepared *message);
bool message_decode_prepared(struct message_reader *reader, struct message_prepared *message);
void message_encode_resolved(struct message_writer *writer, const struct message_resolved *message);
bool message_decode_resolved(struct message_reader *reader, struct message_resolved *message);
void message_encode_probe(struct message_writer *writer, const struct message_probe *message);
bool message_decode_probe(struct message_reader *reader, struct message_probe *message);
void message_encode_probed(struct message_writer *writer, const struct message_probed *message);
bool message_decode_probed(struct message_reader *reader, struct message_probed *message);
void message_encode_health(struct message_writer *writer, const struct message_health *message);
bool message_decode_health(struct message_reader *reader, struct message_health *message);
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
void message_encode_transfer(struct message_writer *writer, const struct message_transfer *message);
bool message_decode_transfer(struct message_reader *reader, struct message_transfer *message);
void message_encode_want(struct message_writer *writer, const struct message_want *message);
bool message_decode_want(struct message_reader *reader, struct message_want *message);

#endif
