/* Actions on a tunnel that change nothing of what it is: reconnect and probe. */
#ifndef WARREN_SERVICE_CHANGE_ACTION_H
#define WARREN_SERVICE_CHANGE_ACTION_H

#include "service/change/mutations.h"

/* `done` is called once, perhaps from within. */
void action_start(struct mutations *mutations, struct operation *operation, void (*done)(void *owner), void *owner);

#endif
