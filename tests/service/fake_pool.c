#include "tests/service/fake_pool.h"

#include <stdlib.h>
#include <string.h>

#define POOLS_MOST 256
#define MEMBERS_MOST 4096

struct fake_pool {
	uint64_t number;
	uint32_t slot; /* UINT32_MAX: its home is elsewhere */
	uint32_t members[MEMBERS_MOST];
	bool up[MEMBERS_MOST];
	size_t count;
};

static struct fake_pool *pools[POOLS_MOST];

static struct fake_pool *find(uint64_t number, bool makes)
{
	for (size_t i = 0; i < POOLS_MOST; i++) {
		if (pools[i] == NULL && makes) {
			pools[i] = calloc(1, sizeof(*pools[i]));
			pools[i]->number = number;
			pools[i]->slot = UINT32_MAX;
		}
		if (pools[i] != NULL && pools[i]->number == number)
			return pools[i];
	}
	return NULL;
}

void fake_pool_prepare(const struct message_prepare *message)
{
	if (message->spec.kind == SPEC_POOL)
		find(message->pool, true)->slot = message->slot;
}

static void put(struct fake_pool *pool, const struct pool_member *member, bool is_new)
{
	size_t at = 0;
	while (at < pool->count && pool->members[at] != member->number)
		at++;
	/* One that changes alone must be known. */
	if (at == pool->count && !is_new)
		exit(10);
	pool->count += at == pool->count;
	pool->members[at] = member->number;
	pool->up[at] = member->up && member->health != POOL_UNHEALTHY;
}

static void show(struct counters *counters, const struct fake_pool *pool)
{
	size_t up = 0;
	if (pool->slot == UINT32_MAX)
		return;
	for (size_t i = 0; i < pool->count; i++)
		up += pool->up[i];
	counter_set(&counters->tunnels[pool->slot].connections_open[1], up);
	counter_set(&counters->tunnels[pool->slot].connections_open[0], pool->count);
}

static bool take_members(struct counters *counters, struct message_reader *body, bool is_list)
{
	struct pool_members message;
	if (!pool_members_decode(body, &message))
		return false;
	struct fake_pool *pool = find(message.pool, false);
	/* It must be told of the pool first. */
	if (pool == NULL)
		exit(11);
	if (is_list && message.is_first)
		pool->count = 0;
	for (size_t i = 0; i < message.count; i++)
		put(pool, &message.list[i], is_list);
	if (!is_list || message.is_last)
		show(counters, pool);
	pool_members_clear(&message);
	return true;
}

bool fake_pool_take(struct counters *counters, enum message_type type, struct message_reader *body)
{
	static struct pool_sessions sessions;
	uint64_t number;
	if (type == MESSAGE_POOL_SESSIONS)
		return pool_sessions_decode(body, &sessions) && find(sessions.pool, false) != NULL;
	struct pool_elsewhere elsewhere;
	if (type == MESSAGE_POOL_MEMBERS || type == MESSAGE_POOL_MEMBER)
		return take_members(counters, body, type == MESSAGE_POOL_MEMBERS);
	if (type == MESSAGE_POOL_END)
		return pool_end_decode(body, &number) && find(number, false) != NULL;
	if (type != MESSAGE_POOL || !pool_elsewhere_decode(body, &elsewhere))
		return false;
	find(elsewhere.pool, true)->slot = UINT32_MAX;
	spec_clear(&elsewhere.spec);
	return true;
}
