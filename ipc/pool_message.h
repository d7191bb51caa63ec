/* Messages about pools between the control process and the workers: their contents and their encoding (message.h). `pool` is the number that the
 * control process gives a pool; no two pools have the same in the daemon's life. A pool's home is the worker that has its listeners. */
#ifndef WARREN_IPC_POOL_MESSAGE_H
#define WARREN_IPC_POOL_MESSAGE_H

#include "ipc/message.h"

#define POOL_MEMBERS_PIECE 256u /* in a message */
#define POOL_SESSIONS_PIECE 11u /* fits in what a worker may send (CHANNEL_UNTRUSTED_MAX) */
#define POOL_COUNT_PIECE 64u
#define POOL_OPEN_PIECE 256u
#define POOL_KEY_SIZE 264u /* a text of 255 bytes, and the place of a rule */

/* PEER_LINK: one end of a socket pair (SOCK_SEQPACKET), in the message's descriptor. The other end has `worker`. It replaces an earlier link to it.
 * LINK_BROKEN: that worker broke the link's protocol, so the link was closed. */
struct peer_link {
	uint32_t worker;
	uint32_t incarnation; /* of that worker */
};

/* POOL: to each worker but the home that has members of the pool. */
struct pool_elsewhere {
	uint64_t pool;
	uint32_t home;    /* worker */
	struct spec spec; /* owned; its kind is SPEC_POOL */
};

enum pool_health { POOL_HEALTH_UNKNOWN, POOL_HEALTHY, POOL_UNHEALTHY, POOL_HEALTHS };

/* A tunnel that the pool's selection, or the one of a rule, has. */
struct pool_member {
	uint32_t number; /* never used again in this pool */
	uint32_t worker, slot;
	uint64_t generation;
	uint32_t weight; /* 1 to POOL_SPEC_WEIGHT_MAX */
	uint32_t order;  /* of failover: the least comes first */
	bool up;
	bool is_starting; /* not up, and not known to be down */
	uint8_t health;   /* enum pool_health */
	uint32_t rtt_us;  /* 0: not known */
	char id[64];
	struct spec_label *labels; /* owned, sorted by key */
	size_t label_count;
};

/* POOL_MEMBERS: the whole list, in pieces in a row. POOL_MEMBER: one that has changed, alone. */
struct pool_members {
	uint64_t pool;
	bool is_first, is_last;
	struct pool_member *list; /* owned */
	size_t count;
};

/* POOL_SESSIONS: to the control process, what is to be stored; from it, what was stored. */
struct pool_session {
	char key[POOL_KEY_SIZE];
	char tunnel[64];     /* empty: the session was deleted */
	uint64_t expires_at; /* UNIX time in seconds */
};
struct pool_sessions {
	uint64_t pool;
	bool is_last; /* from the control process: nothing more was stored */
	uint32_t count;
	struct pool_session list[POOL_SESSIONS_PIECE];
};

/* POOL_FORGET: deletes a session, or all, of the pool in a slot; replied to by POOL_FORGOTTEN. */
struct pool_forget {
	uint64_t request;
	uint32_t slot;
	uint64_t generation;
	bool all;
	char key[POOL_KEY_SIZE];
};
struct pool_forgotten {
	struct message_ack ack;
	uint32_t count;
};

/* POOL_COUNT: how many connections the sessions with these keys have, of the pool in a slot; replied to by POOL_COUNTED, in their order. */
struct pool_count {
	uint64_t request;
	uint32_t slot;
	uint64_t generation;
	uint32_t count;
	char keys[POOL_COUNT_PIECE][POOL_KEY_SIZE];
};
struct pool_counted {
	struct message_ack ack;
	uint32_t count;
	uint32_t open[POOL_COUNT_PIECE];
};

/* POOL_OPEN: how many connections of the pool members have. */
struct pool_open {
	uint64_t pool;
	uint32_t count;
	struct {
		uint32_t member, open;
	} list[POOL_OPEN_PIECE];
};

/* As in message.h. */
void peer_link_encode(struct message_writer *writer, const struct peer_link *message);
bool peer_link_decode(struct message_reader *reader, struct peer_link *message);
void pool_elsewhere_encode(struct message_writer *writer, const struct pool_elsewhere *message);
bool pool_elsewhere_decode(struct message_reader *reader, struct pool_elsewhere *message);
/* POOL_END: only the pool's number. */
void pool_end_encode(struct message_writer *writer, uint64_t pool);
bool pool_end_decode(struct message_reader *reader, uint64_t *pool);
void pool_member_clear(struct pool_member *member);
void pool_members_clear(struct pool_members *message);
void pool_members_encode(struct message_writer *writer, const struct pool_members *message);
bool pool_members_decode(struct message_reader *reader, struct pool_members *message);
void pool_sessions_encode(struct message_writer *writer, const struct pool_sessions *message);
bool pool_sessions_decode(struct message_reader *reader, struct pool_sessions *message);
void pool_forget_encode(struct message_writer *writer, const struct pool_forget *message);
bool pool_forget_decode(struct message_reader *reader, struct pool_forget *message);
void pool_forgotten_encode(struct message_writer *writer, const struct pool_forgotten *message);
bool pool_forgotten_decode(struct message_reader *reader, struct pool_forgotten *message);
void pool_count_encode(struct message_writer *writer, const struct pool_count *message);
bool pool_count_decode(struct message_reader *reader, struct pool_count *message);
void pool_counted_encode(struct message_writer *writer, const struct pool_counted *message);
bool pool_counted_decode(struct message_reader *reader, struct pool_counted *message);
void pool_open_encode(struct message_writer *writer, const struct pool_open *message);
bool pool_open_decode(struct message_reader *reader, struct pool_open *message);

#endif
