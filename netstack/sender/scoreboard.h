/* The segments that were sent but not yet acknowledged: a ring in order of sequence, a list of those in flight in order of sending (RFC 8985,
 * 6.2 walks it), and a list of those marked lost. Every byte is in exactly one of three sums:
 *   in_flight + sacked + lost == next - first
 * A segment is in one list or, once it has landed, in none. Each step asserts this, so the lists have no cycle, and a walk takes at most as many
 * steps as there are outstanding segments.
 * Runs of SACKed segments are skipped, so that a repeated SACK block costs little. */
#ifndef WARREN_NETSTACK_SENDER_SCOREBOARD_H
#define WARREN_NETSTACK_SENDER_SCOREBOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCOREBOARD_NONE UINT32_MAX

enum sent_flag {
	SENT_SACKED = 1, /* in no list */
	SENT_LOST = 2,   /* in the list of those marked lost */
	SENT_AGAIN = 4,
	SENT_LIMITED = 8, /* sent while application-limited */
	SENT_FLYING = 16, /* in the list of those in flight */
};

struct sent {
	uint64_t start; /* place in the stream */
	uint64_t sent_at;
	/* for the delivery rate (draft-cheng-iccrg-delivery-rate-estimation): the values when this was sent */
	uint64_t delivered;
	uint64_t delivered_at;
	uint64_t first_sent_at;
	uint64_t lost;
	uint32_t in_flight; /* including this one */
	uint32_t length;    /* the FIN counts as a byte */
	uint32_t older;     /* links of its list */
	uint32_t newer;
	uint32_t skip;  /* of a SACKed segment: the next that may not be SACKed */
	uint32_t order; /* of sending; neither time nor place gives it: a train has one time, and retransmissions are in no order of place */
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
	uint32_t sendings;   /* so far; not reset when the board is empty */
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
/* Reserves a place for one more segment. false: out of memory or budget. */
bool scoreboard_reserve(struct scoreboard *board);
/* After scoreboard_reserve: appends a segment, in flight. Returns its index. */
uint32_t scoreboard_append(struct scoreboard *board, uint64_t start, uint32_t length);
/* The segment is sent again: moves it to the end of the list of those in flight. */
void scoreboard_fly(struct scoreboard *board, uint32_t index);
void scoreboard_lose(struct scoreboard *board, uint32_t index);
/* The segment arrived: takes it out of its list. The caller then pops it or marks it SACKed. */
void scoreboard_land(struct scoreboard *board, uint32_t index);
/* Removes the first segment, which must have landed. */
void scoreboard_pop(struct scoreboard *board);
void scoreboard_mark_sacked(struct scoreboard *board, uint32_t index);
/* The first segment that begins at `place` or later. */
uint32_t scoreboard_find(const struct scoreboard *board, uint64_t place);
/* The next index from `index` on that is not SACKed; shortens the path for the next call. */
uint32_t scoreboard_skip(struct scoreboard *board, uint32_t index);
/* The receiver discarded its data (RFC 2018, 8): all SACKed segments are lost. */
void scoreboard_renege(struct scoreboard *board);

#endif
