#include "service/registry/lock_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/id_hash.h"

#define BUCKETS 4096

/* A queue consists of the tickets of one key in order of arrival; keys with equal hashes share a bucket. */
struct lock_queue {
	struct lock_ticket *buckets[BUCKETS];
	struct lock_claim *gate, **gate_end;   /* those that wait for one that is alone, or to be alone */
	struct lock_claim *ready, **ready_end; /* those whose turn it is, before their `run` */
	size_t inside;                         /* past the gate: running, or waiting in a queue */
	bool is_closed;                        /* one runs alone */
	bool is_serving;                       /* a `run` is being called */
};

struct lock_queue *lock_queue_create(void)
{
	struct lock_queue *locks = calloc(1, sizeof(*locks));
	if (locks == NULL)
		return NULL;
	locks->gate_end = &locks->gate;
	locks->ready_end = &locks->ready;
	return locks;
}

void lock_queue_free(struct lock_queue *locks)
{
	free(locks);
}

static size_t bucket_of(const char *key)
{
	return id_hash(key) % BUCKETS;
}

static void add_last(struct lock_claim ***end, struct lock_claim *claim)
{
	claim->next = NULL;
	**end = claim;
	*end = &claim->next;
}

static struct lock_claim *take_first(struct lock_claim **list, struct lock_claim ***end)
{
	struct lock_claim *claim = *list;
	*list = claim->next;
	if (*list == NULL)
		*end = list;
	return claim;
}

/* Returns whether there was a ticket of the same key before it. */
static bool line_up(struct lock_queue *locks, struct lock_ticket *ticket)
{
	bool is_blocked = false;
	struct lock_ticket **at = &locks->buckets[bucket_of(ticket->key)];
	for (; *at != NULL; at = &(*at)->next)
		is_blocked |= strcmp((*at)->key, ticket->key) == 0;
	*at = ticket;
	return is_blocked;
}

static void enter(struct lock_queue *locks, struct lock_claim *claim)
{
	locks->inside++;
	locks->is_closed = claim->is_alone;
	for (size_t i = 0; i < claim->count; i++)
		claim->blocked += line_up(locks, &claim->tickets[i]);
	if (claim->blocked == 0)
		add_last(&locks->ready_end, claim);
}

static bool can_enter(const struct lock_queue *locks, const struct lock_claim *claim)
{
	return !locks->is_closed && (!claim->is_alone || locks->inside == 0);
}

/* A loop, and no recursion: thousands of changes that end at once would grow the stack. */
static void serve(struct lock_queue *locks)
{
	if (locks->is_serving)
		return;
	locks->is_serving = true;
	for (;;) {
		while (locks->gate != NULL && can_enter(locks, locks->gate))
			enter(locks, take_first(&locks->gate, &locks->gate_end));
		if (locks->ready == NULL)
			break;
		struct lock_claim *claim = take_first(&locks->ready, &locks->ready_end);
		claim->is_running = true;
		claim->run(claim->owner);
	}
	locks->is_serving = false;
}

bool lock_queue_claim(struct lock_queue *locks, struct lock_claim *claim, const char *const *keys, size_t count, bool alone, void (*run)(void *owner),
                      void *owner)
{
	assert(run != NULL);
	*claim = (struct lock_claim){ .run = run, .owner = owner, .is_alone = alone, .count = count };
	claim->tickets = count <= 1 ? &claim->own : calloc(count, sizeof(*claim->tickets));
	if (claim->tickets == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		claim->tickets[i].claim = claim;
		memcpy(claim->tickets[i].key, keys[i], strlen(keys[i]) + 1);
	}
	add_last(&locks->gate_end, claim);
	serve(locks);
	return true;
}

void lock_queue_claim_one(struct lock_queue *locks, struct lock_claim *claim, const char *key, void (*run)(void *owner), void *owner)
{
	(void)lock_queue_claim(locks, claim, &key, 1, false, run, owner);
}

static void leave_queue(struct lock_queue *locks, struct lock_ticket *ticket)
{
	struct lock_ticket **at = &locks->buckets[bucket_of(ticket->key)];
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a ticket is in its bucket. */
	while (*at != ticket)
		at = &(*at)->next;
	*at = ticket->next;
	struct lock_ticket *follower = ticket->next;
	while (follower != NULL && strcmp(follower->key, ticket->key) != 0)
		follower = follower->next;
	if (follower != NULL && --follower->claim->blocked == 0)
		add_last(&locks->ready_end, follower->claim);
}

void lock_queue_release(struct lock_queue *locks, struct lock_claim *claim)
{
	assert(claim->is_running);
	claim->is_running = false;
	for (size_t i = 0; i < claim->count; i++)
		leave_queue(locks, &claim->tickets[i]);
	locks->inside--;
	if (claim->is_alone)
		locks->is_closed = false;
	if (claim->tickets != &claim->own)
		free(claim->tickets);
	serve(locks);
}

bool lock_queue_is_free(const struct lock_queue *locks, const char *key)
{
	if (locks->is_closed)
		return false;
	for (const struct lock_ticket *ticket = locks->buckets[bucket_of(key)]; ticket != NULL; ticket = ticket->next)
		if (strcmp(ticket->key, key) == 0)
			return false;
	return true;
}

bool lock_queue_is_turn(const struct lock_queue *locks, const struct lock_claim *claim, const char *key)
{
	if (claim == NULL)
		return lock_queue_is_free(locks, key);
	if (!claim->is_running || claim->is_alone)
		return claim->is_running;
	for (size_t i = 0; i < claim->count; i++)
		if (strcmp(claim->tickets[i].key, key) == 0)
			return true;
	return false;
}
