/* What was sent and is not yet acknowledged: a ring of segments in order of sequence, a list of those in flight in order of
 * sending (RFC 8985, 6.2 walks it), a list of those taken for lost. Every byte is in exactly one of three sums:
 *   in_flight + sacked + lost == next - first
 * A segment is in one list or, once it landed, in none: each step asserts it, so the lists have no circle, and a walk over one ends after
 * as many steps as segments are outstanding.
 * Runs of selectively acknowledged segments are skipped over, so a block that comes again costs little. */
#ifndef WARREN_NETSTACK_SENDER_SCOREBOARD_H
#define WARREN_NETSTACK_SENDER_SCOREBOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCOREBOARD_NONE UINT32_MAX

enum sent_flag {
	SENT_SACKED = 1, /* in no list */
	SENT_LOST = 2,   /* in the list of those taken for lost */
	SENT_AGAIN = 4,
	SENT_LIMITED = 8, /* while the application had no more */
	SENT_FLYING = 16, /* in the list of those in flight */
};

struct sent {
	uint64_t start; /* place in the stream */
	uint64_t sent_at;
	/* for the delivery rate (draft-cheng-iccrg-delivery-rate-estimation): as it was when this was sent */
	uint64_t delivered;
	uint64_t delivered_at;
	uint64_t first_sent_at;
	uint64_t lost;
	uint32_t in_flight; /* with this one */
	uint32_t length;    /* the FIN counts as a byte */
	uint32_t older;     /* links of the list it is in */
	uint32_t newer;
	uint32_t skip;  /* of a SACKed one: the next that may not be */
	uint32_t order; /* of sending: a train leaves at one time, and what is sent again is in no order of place */
	uint8_t flags;
};

struct budget;

struct sent_list {
	uint32_t oldest;
	uint32_t newest;
};

struct scoreboard {
	struct budget *budget;
	struct sent *ring; /* NULL while nothing is outstanding */
	uint32_t mask;
	uint32_t head;
	uint32_t tail;
	struct sent_list flying;
	struct sent_list missing;
	uint64_t in_flight;
	uint64_t sacked;
	uint64_t lost;
	uint64_t top_sacked; /* end of the highest SACKed segment */
	uint32_t sendings;   /* so far; an empty board goes on counting */
};

void scoreboard_init(struct scoreboard *board, struct budget *budget);
void scoreboard_clear(struct scoreboard *board);
static inline bool scoreboard_is_empty(const struct scoreboard *board)
{
	return board->head == board->tail;
}
static inline struct sent *scoreboard_at(const struct scoreboard *board, uint32_t index)
{
	return &board->ring[index & board->mask];
}
static inline bool scoreboard_is_after(uint32_t order, uint32_t other)
{
	return (int32_t)(order - other) > 0;
}
static inline uint64_t scoreboard_end(const struct sent *sent)
{
	return sent->start + sent->length;
}
/* A place for one more segment. false: out of memory or budget. */
bool scoreboard_reserve(struct scoreboard *board);
/* After scoreboard_reserve: a segment that goes behind all others, in flight. */
uint32_t scoreboard_append(struct scoreboard *board, uint64_t start, uint32_t length);
/* It flies again: to the end of the list. */
void scoreboard_fly(struct scoreboard *board, uint32_t index);
void scoreboard_lose(struct scoreboard *board, uint32_t index);
/* It arrived: out of flight, or out of those taken for lost. The caller then pops or marks it. */
void scoreboard_land(struct scoreboard *board, uint32_t index);
/* The first segment is no longer outstanding; it has landed. */
void scoreboard_pop(struct scoreboard *board);
void scoreboard_mark_sacked(struct scoreboard *board, uint32_t index);
/* The first segment that begins at `place` or later. */
uint32_t scoreboard_find(const struct scoreboard *board, uint64_t place);
/* The next index from `index` on that is not SACKed; shortens the way for the next time. */
uint32_t scoreboard_skip(struct scoreboard *board, uint32_t index);
/* The receiver threw away what it had (RFC 2018, 8): all SACKed segments are lost. */
void scoreboard_renege(struct scoreboard *board);

#endif
