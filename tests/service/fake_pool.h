/* What a fake worker knows of pools. What it was told last is shown in counters of the pool that has its home there: of connections_open, the first
 * is the number of members, the second of those that are up. */
#ifndef WARREN_TESTS_SERVICE_FAKE_POOL_H
#define WARREN_TESTS_SERVICE_FAKE_POOL_H

#include "ipc/counters.h"
#include "ipc/pool_message.h"

void fake_pool_prepare(const struct message_prepare *message);
/* A message about pools; false when it is another, or malformed. */
bool fake_pool_take(struct counters *counters, enum message_type type, struct message_reader *body);

#endif
