/* What a tunnel carried in the last hour: one point every ten seconds. Without a lock: status.h has one around it. */
#ifndef WARREN_SERVICE_REGISTRY_HISTORY_H
#define WARREN_SERVICE_REGISTRY_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_POINTS 360
#define HISTORY_STEP_MS 10000

struct history_point {
	uint32_t sent, received; /* bytes of payload a second, in the middle of the step */
	uint32_t connections;    /* open at its end */
	uint32_t rtt_us;         /* at its end; 0: not known */
};

struct history {
	int64_t until; /* the end of the newest step, UNIX time in ms */
	size_t count;  /* of points, the newest before `next` */
	size_t next;
	size_t idle; /* how many of the newest points say that nothing was carried */
	struct history_point points[HISTORY_POINTS];
};

bool history_carries(const struct history_point *point); /* anything: bytes or open connections */
struct history *history_create(void);                    /* empty; NULL when out of memory. free() frees it */
/* `steps` is how many steps have passed since the last point: those between carried nothing that is known. At least 1. */
void history_add(struct history *history, const struct history_point *point, int64_t until, size_t steps);
/* The oldest is 0. */
const struct history_point *history_at(const struct history *history, size_t index);
bool history_is_idle(const struct history *history); /* nothing was carried in all of the hour */

#endif
