#include "service/lanes.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

/* A lane is the tickets of one id, in the order in which they came; those whose ids hash alike share a bucket. */
struct ticket {
	struct ticket *next;
	struct lane_claim *claim;
	char id[64];
};

struct lane_claim {
	struct lane_claim *next; /* at the gate, or among those that can run */
	void (*run)(void *owner);
	void *owner;
	bool alone;
	size_t blocked; /* tickets that are not the first of their lane */
	size_t count;
	struct ticket *tickets;
};

struct lanes {
	struct ticket *buckets[BUCKETS];
	struct lane_claim *gate, **gate_end; /* those that wait for one that is alone, or to be alone */
	size_t inside;                       /* past the gate: running, or waiting in a lane */
	bool is_closed;                      /* one runs alone */
};

struct lanes *lanes_create(void)
{
	struct lanes *lanes = calloc(1, sizeof(*lanes));
	if (lanes != NULL)
		lanes->gate_end = &lanes->gate;
	return lanes;
}

void lanes_free(struct lanes *lanes)
{
	free(lanes);
}

size_t lanes_running(const struct lanes *lanes)
{
	return lanes->inside;
}

static struct ticket **bucket_of(struct lanes *lanes, const char *id)
{
	uint32_t hash = 2166136261u;
	for (; *id != '\0'; id++)
		hash = (hash ^ (unsigned char)*id) * 16777619u;
	return &lanes->buckets[hash % BUCKETS];
}

/* Gives whether there was one of the same id before it. */
static bool line_up(struct lanes *lanes, struct ticket *ticket)
{
	bool is_blocked = false;
	struct ticket **at = bucket_of(lanes, ticket->id);
	for (; *at != NULL; at = &(*at)->next)
		is_blocked |= strcmp((*at)->id, ticket->id) == 0;
	*at = ticket;
	return is_blocked;
}

static void enter(struct lanes *lanes, struct lane_claim *claim)
{
	lanes->inside++;
	lanes->is_closed = claim->alone;
	for (size_t i = 0; i < claim->count; i++)
		claim->blocked += line_up(lanes, &claim->tickets[i]);
	if (claim->blocked == 0)
		claim->run(claim->owner);
}

static bool can_enter(const struct lanes *lanes, const struct lane_claim *claim)
{
	return !lanes->is_closed && (!claim->alone || lanes->inside == 0);
}

static void pump(struct lanes *lanes)
{
	while (lanes->gate != NULL && can_enter(lanes, lanes->gate)) {
		struct lane_claim *claim = lanes->gate;
		lanes->gate = claim->next;
		if (lanes->gate == NULL)
			lanes->gate_end = &lanes->gate;
		enter(lanes, claim);
	}
}

bool lanes_claim(struct lanes *lanes, struct lane_claim **claim, const char *const *ids, size_t count, bool alone, void (*run)(void *owner),
                 void *owner)
{
	assert(run != NULL);
	struct lane_claim *made = calloc(1, sizeof(*made));
	if (made != NULL)
		made->tickets = calloc(count + 1, sizeof(*made->tickets));
	if (made == NULL || made->tickets == NULL) {
		free(made);
		return false;
	}
	made->run = run;
	made->owner = owner;
	made->alone = alone;
	made->count = count;
	for (size_t i = 0; i < count; i++) {
		made->tickets[i].claim = made;
		memcpy(made->tickets[i].id, ids[i], strlen(ids[i]) + 1);
	}
	*claim = made;
	*lanes->gate_end = made;
	lanes->gate_end = &made->next;
	pump(lanes);
	return true;
}

static void leave_lane(struct lanes *lanes, struct ticket *ticket, struct lane_claim **ready)
{
	struct ticket **at = bucket_of(lanes, ticket->id);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a ticket is in its bucket. */
	while (*at != ticket)
		at = &(*at)->next;
	*at = ticket->next;
	struct ticket *follower = ticket->next;
	while (follower != NULL && strcmp(follower->id, ticket->id) != 0)
		follower = follower->next;
	if (follower == NULL || --follower->claim->blocked > 0)
		return;
	follower->claim->next = *ready;
	*ready = follower->claim;
}

void lanes_release(struct lanes *lanes, struct lane_claim *claim)
{
	struct lane_claim *ready = NULL;
	for (size_t i = 0; i < claim->count; i++)
		leave_lane(lanes, &claim->tickets[i], &ready);
	lanes->inside--;
	if (claim->alone)
		lanes->is_closed = false;
	free(claim->tickets);
	free(claim);
	while (ready != NULL) {
		struct lane_claim *next = ready;
		ready = next->next;
		next->run(next->owner);
	}
	pump(lanes);
}
