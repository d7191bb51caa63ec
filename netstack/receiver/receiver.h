/* The receiving half of a TCP connection, without lwIP, I/O or clock: puts segments in order, and decides what to acknowledge and when.
 *
 * Places in the stream are 64-bit counts; `first` is the sequence number of place 0.
 *   consumed <= next <= every held range <= edge,  where the FIN is the byte at `end`.
 * Data that was SACKed is never discarded (RFC 2018, 8 would allow it, but it halves the speed of the far end). */
#ifndef WARREN_NETSTACK_RECEIVER_RECEIVER_H
#define WARREN_NETSTACK_RECEIVER_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "netstack/packet/packet.h"
#include "netstack/receiver/gap.h"
#include "netstack/receiver/pages.h"
#include "netstack/receiver/ranges.h"
#include "netstack/receiver/window.h"

#define RECEIVER_SACK_MAX 4

struct receiver {
	uint32_t first;
	uint8_t scale;
	bool has_sack;
	bool has_end; /* a FIN arrived, perhaps out of order */
	uint64_t end; /* its place */
	uint64_t next;
	uint64_t consumed;
	uint64_t edge;    /* the end of the advertised window; it never moves back */
	uint64_t claimed; /* the far end has sent everything before it, as its empty segments say: they carry SND.NXT (RFC 9293, 3.10.7) */
	uint32_t segment; /* the largest payload seen */
	struct ranges held;
	struct pages pages;
	struct budget *budget;
	struct retired *retired;
	struct range recent[RECEIVER_SACK_MAX]; /* held ranges, the most recently changed first (RFC 2018, 4) */
	uint8_t recent_count;
	struct range doubled; /* for DSACK (RFC 2883), empty: none */
	struct window window;
	/* acknowledging */
	bool must_acknowledge; /* with the next settle */
	uint8_t quick;         /* number of further acknowledgements not to delay: the far end is in slow start */
	uint8_t repeats;       /* a peer without SACK counts duplicate acknowledgements: one per segment */
	uint32_t pending;      /* bytes not acknowledged */
	uint64_t deadline;     /* of a delayed acknowledgement */
	uint64_t answered_at;  /* when a segment outside the window was last answered */
	uint64_t asked;        /* what had arrived when the owner last wrote */
	struct gap gap;
};

void receiver_init(struct receiver *receiver, uint32_t first, uint8_t scale, bool has_sack, uint64_t window, uint64_t round_trip,
                   struct budget *budget, struct retired *retired);
void receiver_clear(struct receiver *receiver);
/* Takes a segment's payload and FIN. Returns the number of parts that are now in order: the segment's own bytes, then held ones. */
size_t receiver_take(struct receiver *receiver, const struct segment *segment, struct iovec *parts, size_t max, size_t *length, uint64_t now);
/* The same for held bytes that did not fit. */
size_t receiver_take_held(struct receiver *receiver, struct iovec *parts, size_t max, size_t *length);
/* Everything up to and including the FIN has arrived; the FIN is not counted in `next`. */
bool receiver_is_at_end(const struct receiver *receiver);
/* The owner writes to the far end. What arrives from now on may be the answer. */
void receiver_ask(struct receiver *receiver);
/* Everything written was acknowledged: watches for an answer that is sent but does not arrive, unless some of it is here. */
void receiver_expect(struct receiver *receiver, uint64_t now);
/* The far end has sent data that did not arrive, or not yet. */
bool receiver_lacks_data(const struct receiver *receiver);
/* More than `payload` bytes in a row did not arrive, and no segment that large ever did. */
bool receiver_lacks_large(const struct receiver *receiver, uint32_t payload);
void receiver_consume(struct receiver *receiver, size_t bytes);
/* A delayed acknowledgement whose deadline has passed is due; from then on it waits only for room. */
void receiver_expire(struct receiver *receiver, uint64_t now);
/* At the end of a batch: adjusts the window. Returns whether to send an acknowledgement now. */
bool receiver_settle(struct receiver *receiver, uint64_t now);
/* An acknowledgement was sent, alone or with data. */
void receiver_acknowledged(struct receiver *receiver);
/* Returns the window to advertise, and moves the edge to its end. */
uint16_t receiver_offer(struct receiver *receiver);
/* Writes the SACK blocks for the next acknowledgement; returns their number. */
size_t receiver_sack(struct receiver *receiver, struct range blocks[RECEIVER_SACK_MAX]);

#endif
