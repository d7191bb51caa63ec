#include "service/registry/lock_queue.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

/* A lane is the tickets of one id, in the order in which they came; those whose ids hash alike share a bucket. */
struct lanes {
	struct lane_ticket *buckets[BUCKETS];
	struct lane_claim *gate, **gate_end;   /* those that wait for one that is alone, or to be alone */
	struct lane_claim *ready, **ready_end; /* those whose turn it is, before their `run` */
	size_t inside;                         /* past the gate: running, or waiting in a lane */
	bool is_closed;                        /* one runs alone */
	bool is_serving;                       /* a `run` is being called */
};

struct lanes *lanes_create(void)
{
	struct lanes *lanes = calloc(1, sizeof(*lanes));
	if (lanes == NULL)
		return NULL;
	lanes->gate_end = &lanes->gate;
	lanes->ready_end = &lanes->ready;
	return lanes;
}

void lanes_free(struct lanes *lanes)
{
	free(lanes);
}

static size_t bucket_of(const char *id)
{
	uint32_t hash = 2166136261u;
	for (; *id != '\0'; id++)
		hash = (hash ^ (unsigned char)*id) * 16777619u;
	return hash % BUCKETS;
}

static void add_last(struct lane_claim ***end, struct lane_claim *claim)
{
	claim->next = NULL;
	**end = claim;
	*end = &claim->next;
}

static struct lane_claim *take_first(struct lane_claim **list, struct lane_claim ***end)
{
	struct lane_claim *claim = *list;
	*list = claim->next;
	if (*list == NULL)
		*end = list;
	return claim;
}

/* Gives whether there was one of the same id before it. */
static bool line_up(struct lanes *lanes, struct lane_ticket *ticket)
{
	bool is_blocked = false;
	struct lane_ticket **at = &lanes->buckets[bucket_of(ticket->id)];
	for (; *at != NULL; at = &(*at)->next)
		is_blocked |= strcmp((*at)->id, ticket->id) == 0;
	*at = ticket;
	return is_blocked;
}

static void enter(struct lanes *lanes, struct lane_claim *claim)
{
	lanes->inside++;
	lanes->is_closed = claim->is_alone;
	for (size_t i = 0; i < claim->count; i++)
		claim->blocked += line_up(lanes, &claim->tickets[i]);
	if (claim->blocked == 0)
		add_last(&lanes->ready_end, claim);
}

static bool can_enter(const struct lanes *lanes, const struct lane_claim *claim)
{
	return !lanes->is_closed && (!claim->is_alone || lanes->inside == 0);
}

/* A loop, and no recursion: thousands of changes that end at once would grow the stack. */
static void serve(struct lanes *lanes)
{
	if (lanes->is_serving)
		return;
	lanes->is_serving = true;
	for (;;) {
		while (lanes->gate != NULL && can_enter(lanes, lanes->gate))
			enter(lanes, take_first(&lanes->gate, &lanes->gate_end));
		if (lanes->ready == NULL)
			break;
		struct lane_claim *claim = take_first(&lanes->ready, &lanes->ready_end);
		claim->is_running = true;
		claim->run(claim->owner);
	}
	lanes->is_serving = false;
}

bool lanes_claim(struct lanes *lanes, struct lane_claim *claim, const char *const *ids, size_t count, bool alone, void (*run)(void *owner),
                 void *owner)
{
	assert(run != NULL);
	*claim = (struct lane_claim){ .run = run, .owner = owner, .is_alone = alone, .count = count };
	claim->tickets = count <= 1 ? &claim->own : calloc(count, sizeof(*claim->tickets));
	if (claim->tickets == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		claim->tickets[i].claim = claim;
		memcpy(claim->tickets[i].id, ids[i], strlen(ids[i]) + 1);
	}
	add_last(&lanes->gate_end, claim);
	serve(lanes);
	return true;
}

void lanes_claim_one(struct lanes *lanes, struct lane_claim *claim, const char *id, void (*run)(void *owner), void *owner)
{
	(void)lanes_claim(lanes, claim, &id, 1, false, run, owner);
}

static void leave_lane(struct lanes *lanes, struct lane_ticket *ticket)
{
	struct lane_ticket **at = &lanes->buckets[bucket_of(ticket->id)];
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a ticket is in its bucket. */
	while (*at != ticket)
		at = &(*at)->next;
	*at = ticket->next;
	struct lane_ticket *follower = ticket->next;
	while (follower != NULL && strcmp(follower->id, ticket->id) != 0)
		follower = follower->next;
	if (follower != NULL && --follower->claim->blocked == 0)
		add_last(&lanes->ready_end, follower->claim);
}

void lanes_release(struct lanes *lanes, struct lane_claim *claim)
{
	assert(claim->is_running);
	claim->is_running = false;
	for (size_t i = 0; i < claim->count; i++)
		leave_lane(lanes, &claim->tickets[i]);
	lanes->inside--;
	if (claim->is_alone)
		lanes->is_closed = false;
	if (claim->tickets != &claim->own)
		free(claim->tickets);
	serve(lanes);
}

bool lanes_is_free(const struct lanes *lanes, const char *id)
{
	if (lanes->is_closed)
		return false;
	for (const struct lane_ticket *ticket = lanes->buckets[bucket_of(id)]; ticket != NULL; ticket = ticket->next)
		if (strcmp(ticket->id, id) == 0)
			return false;
	return true;
}

bool lanes_is_turn(const struct lanes *lanes, const struct lane_claim *claim, const char *id)
{
	if (claim == NULL)
		return lanes_is_free(lanes, id);
	if (!claim->is_running || claim->is_alone)
		return claim->is_running;
	for (size_t i = 0; i < claim->count; i++)
		if (strcmp(claim->tickets[i].id, id) == 0)
			return true;
	return false;
}
