/* Edits of one peer of a tunnel. */
#ifndef WARREN_SERVICE_CHANGE_DELTA_PEER_H
#define WARREN_SERVICE_CHANGE_DELTA_PEER_H

#include "service/change/mutation.h"

/* Applies an OPERATION_PEER_* to the spec; faults go to `problem`, with pointers into the peer's own document. Any thread. */
void delta_peer_apply(struct spec *spec, const struct operation *operation, struct problem *problem);

#endif
