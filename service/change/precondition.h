/* If-Match and If-None-Match of a write (RFC 9110, 13.1). */
#ifndef WARREN_SERVICE_CHANGE_PRECONDITION_H
#define WARREN_SERVICE_CHANGE_PRECONDITION_H

#include "service/change/change.h"

/* `current` is NULL when there is no tunnel. */
bool precondition_holds(const struct edit *edit, const struct snapshot *current);

#endif
