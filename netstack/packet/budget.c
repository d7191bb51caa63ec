#include "netstack/packet/budget.h"

#include <assert.h>

static struct {
	size_t limit;
	size_t used;
} process;

void budget_start(size_t bytes)
{
	process.limit = bytes;
	process.used = 0;
}

void budget_charge(struct budget *budget, size_t bytes)
{
	budget->used += bytes;
	process.used += bytes;
}

void budget_release(struct budget *budget, size_t bytes)
{
	assert(bytes <= budget->used && budget->used <= process.used);
	budget->used -= bytes;
	process.used -= bytes;
}

size_t budget_used(void)
{
	return process.used;
}

/* The bytes that the stack may still take. */
static size_t room_of(const struct budget *budget)
{
	size_t free = process.used < process.limit ? process.limit - process.used : 0;

	return budget->used < free ? free - budget->used : 0;
}

bool budget_is_spent(const struct budget *budget)
{
	return room_of(budget) == 0;
}

size_t budget_share(const struct budget *budget)
{
	size_t room = room_of(budget);

	if (room == 0)
		return BUDGET_LEAST;
	return room / 2 < BUDGET_FLOOR ? BUDGET_FLOOR : room / 2;
}
