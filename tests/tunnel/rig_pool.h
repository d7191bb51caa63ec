/* A pool with members in two workers. Both are played in one process: each has its own pools, and a link joins them. The home is HERE; a member in
 * each worker has the number 1 + worker. */
#ifndef WARREN_TESTS_TUNNEL_RIG_POOL_H
#define WARREN_TESTS_TUNNEL_RIG_POOL_H

#include "tests/tunnel/rig.h"
#include "tunnel/pool/visit.h"

#define POOL 11

enum { HERE, THERE, WORKERS };

/* The member HERE is rig.tunnel. */
extern struct tunnel there, front;
extern struct pools *workers[WORKERS];

/* As rig_start and rig_stop. The workers are not linked yet. */
int rig_pool_start(void **state);
int rig_pool_stop(void **state);
void rig_pool_link(void);
/* Tells both workers the spec of the pool, front.spec, and the members from `first` to `last`. */
void rig_pool_tell(unsigned first, unsigned last, unsigned retries);
/* Tells one worker the members alone. */
void rig_pool_tell_members(struct pools *pools, unsigned first, unsigned last);
/* A client of the pool, from 192.0.2.1; returns the test's end. */
int rig_pool_come(void);

#endif
