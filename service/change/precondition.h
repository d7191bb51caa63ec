/* If-Match and If-None-Match of a write (RFC 9110, 13.1). */
#ifndef WARREN_SERVICE_CHANGE_PRECONDITION_H
#define WARREN_SERVICE_CHANGE_PRECONDITION_H

#include "service/change/mutation.h"

/* `current` is NULL when there is no tunnel. */
bool precondition_holds(const struct operation *operation, const struct snapshot *current);

#endif
