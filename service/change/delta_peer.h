/* Edits of one peer of a tunnel. */
#ifndef WARREN_SERVICE_CHANGE_DELTA_PEER_H
#define WARREN_SERVICE_CHANGE_DELTA_PEER_H

#include "service/change/change.h"

/* Applies an EDIT_PEER_* to the spec; faults go to edit->problem, with pointers into the peer's own document. */
void delta_peer_edit(struct spec *spec, struct edit *edit, bool *is_new);

#endif
