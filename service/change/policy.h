/* What the operator allows: listeners that others can reach, unix sockets, targets on this host. */
#ifndef WARREN_SERVICE_CHANGE_POLICY_H
#define WARREN_SERVICE_CHANGE_POLICY_H

#include "ipc/spec.h"
#include "service/spec/problem.h"

struct service;

/* Adds what is refused to `problem` (validation_failed). `scope` is the caller's: what needs admin and is not as in `previous` (or NULL)
 * makes it forbidden, when nothing else is wrong, and so does another route of a tunnel that has such a part (spec_route_equal). */
void policy_check(const struct service *service, const struct spec *spec, const struct spec *previous, unsigned scope, const char *pointer,
                  struct problem *problem);

#endif
