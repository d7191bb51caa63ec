/* The deltas of a mutation, one for each tunnel or pool that it is about, found by key. Service's thread. */
#ifndef WARREN_SERVICE_CHANGE_MUTATION_DELTAS_H
#define WARREN_SERVICE_CHANGE_MUTATION_DELTAS_H

#include "service/change/delta.h"
#include "service/change/mutations.h"

/* Room for one for each operation; once, when PLANNING begins. False, and the problem says so, when out of memory. */
bool mutation_make_deltas(struct mutation *mutation);
/* The one of this key, which is made if there is none. */
struct delta *mutation_take_delta(struct mutation *mutation, const char *key);
/* The one of this key, once PLANNING has begun; NULL when there is none. */
struct delta *mutation_find_delta(const struct mutation *mutation, const char *key);
/* The tunnel with this id as the mutation leaves it, borrowed; NULL when there is none. */
const struct snapshot *mutation_find_tunnel(const struct mutation *mutation, const char *id);
void mutation_blame(struct mutation *mutation, const struct delta *delta); /* the problem belongs to that tunnel's operation */

#endif
