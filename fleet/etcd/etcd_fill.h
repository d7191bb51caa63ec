/* How full etcd's database is: asks one member after the other for its size and its quota, which only its metrics tell. At the quota etcd takes no
 * heartbeats. All on the loop's thread. Nothing blocks. */
#ifndef WARREN_FLEET_ETCD_ETCD_FILL_H
#define WARREN_FLEET_ETCD_ETCD_FILL_H

#include <stdint.h>

#include "fleet/etcd/gateway.h"

#define ETCD_FILL_ROUND_MS 60000 /* in which each member is asked once */

/* All zeros: not known. */
struct etcd_fill_level {
	uint64_t bytes, quota; /* of the database file */
};

struct etcd_fill;

/* Of a member's metrics, `length` bytes of any text. False: they do not tell it. */
bool etcd_fill_read(struct etcd_fill_level *level, const char *text, size_t length);

/* `told`: the level of the member that is the fullest, after each answer; from the loop. NULL when out of memory. */
struct etcd_fill *etcd_fill_create(uv_loop_t *loop, const struct etcd_client_config *config,
                                   void (*told)(void *owner, const struct etcd_fill_level *level), void *owner);
/* Tells nothing more. The loop must run once more. NULL is allowed. */
void etcd_fill_free(struct etcd_fill *fill);

#endif
