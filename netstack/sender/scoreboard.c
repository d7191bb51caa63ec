#include "netstack/sender/scoreboard.h"

#include <assert.h>
#include <stdlib.h>

#include "netstack/packet/budget.h"

#define FIRST_SIZE 16

static const struct sent_list empty = { SCOREBOARD_NONE, SCOREBOARD_NONE };

void scoreboard_init(struct scoreboard *board, struct budget *budget)
{
	*board = (struct scoreboard){ .budget = budget, .flying = empty, .missing = empty };
}

static size_t size_of_ring(const struct scoreboard *board)
{
	return board->ring == NULL ? 0 : (size_t)(board->mask + 1) * sizeof(struct sent);
}

void scoreboard_clear(struct scoreboard *board)
{
	budget_release(board->budget, size_of_ring(board));
	free(board->ring);
	*board = (struct scoreboard){ .budget = board->budget, .flying = empty, .missing = empty, .sendings = board->sendings };
}

static struct sent_list *list_of(struct scoreboard *board, enum sent_flag flag)
{
	return flag == SENT_FLYING ? &board->flying : &board->missing;
}

static void list_remove(struct scoreboard *board, enum sent_flag flag, struct sent *sent)
{
	struct sent_list *list = list_of(board, flag);

	assert(sent->flags & flag);
	sent->flags &= (uint8_t)~flag;
	if (sent->older != SCOREBOARD_NONE)
		scoreboard_at(board, sent->older)->newer = sent->newer;
	else
		list->oldest = sent->newer;
	if (sent->newer != SCOREBOARD_NONE)
		scoreboard_at(board, sent->newer)->older = sent->older;
	else
		list->newest = sent->older;
}

static void list_append(struct scoreboard *board, enum sent_flag flag, uint32_t index)
{
	struct sent_list *list = list_of(board, flag);
	struct sent *sent = scoreboard_at(board, index);

	assert(!(sent->flags & (SENT_FLYING | SENT_LOST | SENT_SACKED)));
	sent->flags |= flag;
	sent->newer = SCOREBOARD_NONE;
	sent->older = list->newest;
	if (list->newest != SCOREBOARD_NONE)
		scoreboard_at(board, list->newest)->newer = index;
	else
		list->oldest = index;
	list->newest = index;
}

static void lower(uint32_t *index, uint32_t by)
{
	if (*index != SCOREBOARD_NONE)
		*index -= by;
}

/* After terabytes the indices are lowered by whole turns of the ring, so that none becomes SCOREBOARD_NONE. */
static void renumber(struct scoreboard *board)
{
	uint32_t by = board->head & ~board->mask;

	for (uint32_t i = board->head; i != board->tail; i++) {
		struct sent *sent = scoreboard_at(board, i);
		lower(&sent->older, by);
		lower(&sent->newer, by);
		sent->skip -= by;
	}
	lower(&board->flying.oldest, by);
	lower(&board->flying.newest, by);
	lower(&board->missing.oldest, by);
	lower(&board->missing.newest, by);
	board->head -= by;
	board->tail -= by;
}

bool scoreboard_reserve(struct scoreboard *board)
{
	if (board->tail >= 1u << 31)
		renumber(board);
	if (board->ring != NULL && board->tail - board->head <= board->mask)
		return true;
	uint32_t size = board->ring == NULL ? FIRST_SIZE : 2 * (board->mask + 1);
	if (board->ring != NULL && budget_is_spent(board->budget))
		return false;
	struct sent *ring = malloc(size * sizeof(*ring));
	if (ring == NULL)
		return false;
	budget_charge(board->budget, size * sizeof(*ring) - size_of_ring(board));
	for (uint32_t i = board->head; i != board->tail; i++)
		ring[i & (size - 1)] = *scoreboard_at(board, i);
	free(board->ring);
	board->ring = ring;
	board->mask = size - 1;
	return true;
}

uint32_t scoreboard_append(struct scoreboard *board, uint64_t start, uint32_t length)
{
	uint32_t index = board->tail++;

	*scoreboard_at(board, index) = (struct sent){ .start = start, .length = length, .order = ++board->sendings };
	list_append(board, SENT_FLYING, index);
	board->in_flight += length;
	return index;
}

void scoreboard_fly(struct scoreboard *board, uint32_t index)
{
	struct sent *sent = scoreboard_at(board, index);

	scoreboard_land(board, index);
	list_append(board, SENT_FLYING, index);
	sent->order = ++board->sendings;
	board->in_flight += sent->length;
}

void scoreboard_lose(struct scoreboard *board, uint32_t index)
{
	struct sent *sent = scoreboard_at(board, index);

	scoreboard_land(board, index);
	list_append(board, SENT_LOST, index);
	board->lost += sent->length;
}

void scoreboard_land(struct scoreboard *board, uint32_t index)
{
	struct sent *sent = scoreboard_at(board, index);

	if (sent->flags & SENT_LOST) {
		list_remove(board, SENT_LOST, sent);
		board->lost -= sent->length;
	} else {
		list_remove(board, SENT_FLYING, sent);
		board->in_flight -= sent->length;
	}
}

void scoreboard_pop(struct scoreboard *board)
{
	struct sent *sent = scoreboard_at(board, board->head);

	assert(!scoreboard_is_empty(board) && !(sent->flags & (SENT_FLYING | SENT_LOST)));
	if (sent->flags & SENT_SACKED)
		board->sacked -= sent->length;
	board->head++;
	if (scoreboard_is_empty(board))
		scoreboard_clear(board);
}

void scoreboard_mark_sacked(struct scoreboard *board, uint32_t index)
{
	struct sent *sent = scoreboard_at(board, index);

	assert(!(sent->flags & (SENT_FLYING | SENT_LOST | SENT_SACKED)));
	sent->flags |= SENT_SACKED;
	sent->skip = index + 1;
	board->sacked += sent->length;
	if (scoreboard_end(sent) > board->top_sacked)
		board->top_sacked = scoreboard_end(sent);
}

uint32_t scoreboard_find(const struct scoreboard *board, uint64_t place)
{
	uint32_t low = board->head, high = board->tail;

	while (low != high) {
		uint32_t middle = low + (high - low) / 2;
		if (scoreboard_at(board, middle)->start < place)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A skip leads forward, and at most to the tail: it is only ever set to an index behind its segment. */
uint32_t scoreboard_skip(struct scoreboard *board, uint32_t index)
{
	while (index != board->tail && (scoreboard_at(board, index)->flags & SENT_SACKED)) {
		struct sent *sent = scoreboard_at(board, index);
		if (sent->skip != board->tail && (scoreboard_at(board, sent->skip)->flags & SENT_SACKED))
			sent->skip = scoreboard_at(board, sent->skip)->skip;
		assert(sent->skip - index - 1 < board->tail - index);
		index = sent->skip;
	}
	return index;
}

void scoreboard_renege(struct scoreboard *board)
{
	for (uint32_t i = board->head; i != board->tail; i++) {
		struct sent *sent = scoreboard_at(board, i);
		if (!(sent->flags & SENT_SACKED))
			continue;
		sent->flags &= (uint8_t)~SENT_SACKED;
		list_append(board, SENT_LOST, i);
		board->sacked -= sent->length;
		board->lost += sent->length;
	}
	board->top_sacked = 0;
	assert(board->sacked == 0);
}
