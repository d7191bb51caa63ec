/* The sending half of a TCP connection, without lwIP, I/O or clock: the written data, the outstanding segments, and when to send.
 *
 * Places in the stream are 64-bit counts of bytes; `first` is the sequence number of place 0. acknowledged <= next <= queue.end + 1,
 * where the FIN is the byte after the last. Invariant after sender_update and sender_expire: while anything is outstanding or
 * unsent, a timer is set, unless the env refused a packet or the connection waits for the first round trip's acknowledgements:
 *   next > acknowledged  =>  SENDER_TIMEOUT is set
 *   unsent, nothing outstanding  =>  SENDER_PERSIST or SENDER_PACE is set, or is_blocked
 *
 * The order of a batch: sender_heard for each segment, then sender_update once. */
#ifndef WARREN_NETSTACK_SENDER_SENDER_H
#define WARREN_NETSTACK_SENDER_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "netstack/packet/black_hole.h"
#include "netstack/packet/packet.h"
#include "netstack/sender/bbr.h"
#include "netstack/sender/queue.h"
#include "netstack/sender/rack.h"
#include "netstack/sender/rate.h"
#include "netstack/sender/rtt.h"
#include "netstack/sender/scoreboard.h"

enum sender_timer {
	SENDER_REORDER, /* RACK: segments that have not arrived by now are lost */
	SENDER_PROBE,   /* tail loss probe */
	SENDER_TIMEOUT, /* retransmission timeout */
	SENDER_PACE,    /* the next train may be sent */
	SENDER_PERSIST, /* probe the closed window */
	SENDER_TIMERS,
};

enum sender_phase {
	SENDER_OPEN,     /* nothing is lost */
	SENDER_RECOVERY, /* after a loss, until recovery_point is acknowledged */
	SENDER_LOSS,     /* after a timeout, likewise, starting from one segment */
};

struct sender_env {
	void *owner;
	uint8_t family; /* of the packets: how small they may become */
	/* Sends a segment with the bytes from `place` on. false: no room now. */
	bool (*emit)(void *owner, uint64_t place, const struct iovec *parts, size_t count, size_t length, uint8_t flags);
};

struct sender {
	struct sender_env env;
	struct budget *budget;
	uint32_t first;
	uint32_t segment; /* payload bytes of a full segment */
	uint64_t acknowledged;
	uint64_t next;
	uint64_t window_end; /* the receiver accepts bytes before this place */
	uint64_t window_max;
	uint32_t window_sequence; /* SND.WL1 and SND.WL2 (RFC 9293, 3.10.7.4) */
	uint64_t window_acknowledged;
	size_t limit; /* of bytes written but not acknowledged */
	struct queue queue;
	struct scoreboard board;
	struct rtt rtt;
	struct rack rack;
	struct rate rate;
	struct rate_sample sample;
	struct bbr bbr;
	struct black_hole hole;
	uint32_t path_limit; /* the packet size that passes where `segment` did not, 0: none; the owner reads and resets it */
	enum sender_phase phase;
	uint64_t recovery_point;
	uint64_t probe_end;     /* a probe is outstanding until this is acknowledged, 0: none */
	uint64_t next_send;     /* pacing */
	uint64_t stalled_since; /* first timeout without progress, 0: none */
	uint64_t deadlines[SENDER_TIMERS];
	unsigned duplicates; /* of a peer without SACK */
	bool has_sack;
	bool has_finished; /* a FIN follows the last byte */
	bool is_blocked;   /* the env refused a packet: call sender_update when it has room */
	bool is_window_limited;
	bool has_progress; /* since the last update */
	bool has_given_up;
};

/* `round_trip` is that of the handshake, 0 if unknown. */
void sender_init(struct sender *sender, const struct sender_env *env, struct budget *budget, uint32_t first, uint32_t segment, bool has_sack,
                 uint64_t round_trip, uint64_t now);
void sender_clear(struct sender *sender);
/* Borrows the bytes; returns how many were taken. */
size_t sender_write(struct sender *sender, const void *bytes, size_t length);
size_t sender_room(const struct sender *sender);
void sender_finish(struct sender *sender);
/* The FIN and everything before it is acknowledged. */
bool sender_is_done(const struct sender *sender);
bool sender_has_unsent(const struct sender *sender);
/* Processes a segment's acknowledgement. false: it acknowledges data that was never sent, or is far too old; drop the segment (RFC 5961, 5.2). */
bool sender_heard(struct sender *sender, const struct segment *segment, unsigned window_shift, uint64_t now);
/* Evaluates the acknowledgements of the batch and sends what may be sent. */
void sender_update(struct sender *sender, uint64_t now);
uint64_t sender_deadline(const struct sender *sender);
void sender_expire(struct sender *sender, uint64_t now);
/* The path is back: retransmits at once. */
void sender_kick(struct sender *sender, uint64_t now);
/* The path carries only smaller packets: sets the segment size. */
void sender_shrink(struct sender *sender, uint32_t segment);

#endif
