#include "netstack/budget.h"

#include <assert.h>

static struct {
	size_t limit;
	size_t used;
} budget;

void budget_start(size_t bytes)
{
	budget.limit = bytes;
	budget.used = 0;
}

void budget_charge(size_t bytes)
{
	budget.used += bytes;
}

void budget_release(size_t bytes)
{
	assert(bytes <= budget.used);
	budget.used -= bytes;
}

size_t budget_used(void)
{
	return budget.used;
}

bool budget_is_spent(void)
{
	return budget.used >= budget.limit;
}

size_t budget_share(void)
{
	if (budget_is_spent())
		return BUDGET_LEAST;
	size_t share = (budget.limit - budget.used) / 2;
	return share < BUDGET_FLOOR ? BUDGET_FLOOR : share;
}
