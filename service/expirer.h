/* Disables tunnels whose time is over (spec.expires_at), by the time of day, so that a clock that is set counts. Service's thread. */
#ifndef WARREN_SERVICE_EXPIRER_H
#define WARREN_SERVICE_EXPIRER_H

#include "service/change/mutations.h"

struct expirer;

/* Borrows all. NULL when out of memory. */
struct expirer *expirer_create(struct registry *registry, struct mutations *mutations, struct events *events);
void expirer_free(struct expirer *expirer); /* when nothing of it is under way */
/* Every second. */
void expirer_tick(struct expirer *expirer, int64_t now_ms);

#endif
