/* A document that says what all tunnels and pools of the fleet are to be: a DELETE of each that is not in it and a PUT of each that is, one
 * transaction of etcd for each. So it is no atomic change, and what could not be done is told object by object. Service's thread. */
#ifndef WARREN_SERVICE_FLEET_FLEET_STATE_H
#define WARREN_SERVICE_FLEET_FLEET_STATE_H

#include "service/change/mutations.h"

/* The operations of a MUTATION_STATE whose `found` is what the fleet has. False: the document has faults, or memory is out, and the problem says so;
 * nothing is to be done then. What the registry has of this node's own must not be in it. */
bool fleet_state_plan(struct mutation *mutation, struct registry *registry);
/* All operations are over: counts what was done, and gathers what was not into the problem. */
void fleet_state_finish(struct mutation *mutation);

#endif
