#include "service/registry/history.h"

#include <assert.h>
#include <stdlib.h>

bool history_carries(const struct history_point *point)
{
	return point->sent != 0 || point->received != 0 || point->connections != 0;
}

struct history *history_create(void)
{
	return calloc(1, sizeof(struct history));
}

static void push(struct history *history, const struct history_point *point)
{
	history->points[history->next] = *point;
	history->next = (history->next + 1) % HISTORY_POINTS;
	if (history->count < HISTORY_POINTS)
		history->count++;
	history->idle = history_carries(point) ? 0 : history->idle + 1;
}

void history_add(struct history *history, const struct history_point *point, int64_t until, size_t steps)
{
	static const struct history_point nothing;
	assert(steps > 0);
	for (size_t i = 1; history->count > 0 && i < steps && i < HISTORY_POINTS; i++)
		push(history, &nothing);
	push(history, point);
	history->until = until;
}

const struct history_point *history_at(const struct history *history, size_t index)
{
	assert(index < history->count);
	return &history->points[(history->next + HISTORY_POINTS - history->count + index) % HISTORY_POINTS];
}

bool history_is_idle(const struct history *history)
{
	return history->idle >= HISTORY_POINTS;
}
