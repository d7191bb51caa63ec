/* Tunnels that go through each other (interface.via), as a mutation leaves them: no circle, not too many in a row, and none through one that is not
 * there. The service's thread. */
#ifndef WARREN_SERVICE_CHANGE_CHAIN_H
#define WARREN_SERVICE_CHANGE_CHAIN_H

#include "service/change/mutation.h"

/* Whether it may make a tunnel go through another. It then runs alone, because two such changes could close a circle together. */
bool chain_is_concerned(const struct mutation *mutation);
/* Once all operations are planned: adds what is wrong to their problems. Returns the first operation with a fault, or the number of operations. */
size_t chain_check(struct mutation *mutation);

#endif
