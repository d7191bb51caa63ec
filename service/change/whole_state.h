/* A document that says what all tunnels are to be: a PUT of each, and a DELETE of those that are not in it. */
#ifndef WARREN_SERVICE_CHANGE_WHOLE_STATE_H
#define WARREN_SERVICE_CHANGE_WHOLE_STATE_H

#include "service/change/mutations.h"

bool whole_state_check_ids(struct mutation *mutation); /* a fault for each that comes twice; false when out of memory */
bool whole_state_read(struct mutation *mutation);      /* false when out of memory. Any thread */
void whole_state_begin(struct mutation *mutation);     /* on its turn: the tunnels that are in the document no more are deleted */
void whole_state_fail(struct mutation *mutation);      /* gathers the faults */
void whole_state_finish(struct mutation *mutation);    /* counts what was done */

#endif
