/* What a caller's access (service/spec/access.h) permits a mutation to do. The service's thread. */
#ifndef WARREN_SERVICE_CHANGE_REACH_H
#define WARREN_SERVICE_CHANGE_REACH_H

#include "service/change/mutation.h"

/* Whether the caller may see and touch it; for others it is not there. */
bool reach_has(const struct mutation *mutation, const struct snapshot *snapshot);
/* Before an operation on `now` (NULL: there is none): a problem unless the caller may touch it. */
void reach_check_before(const struct mutation *mutation, const struct snapshot *now, struct operation *operation);
/* Of a tunnel with an id that was vacant: a problem if tunnels or pools that the caller may not see name it, because it would carry their traffic. */
void reach_check_new(const struct mutation *mutation, const char *id, struct operation *operation);
/* After it: a problem if the caller would lose what is left, or a pool would use tunnels that the caller may not. */
void reach_check_after(const struct mutation *mutation, const struct snapshot *left, struct operation *operation);

#endif
