/* The operator's policy: listeners that others can reach, unix sockets, targets on this host. */
#ifndef WARREN_SERVICE_CHANGE_POLICY_H
#define WARREN_SERVICE_CHANGE_POLICY_H

#include "ipc/spec.h"
#include "service/spec/problem.h"

struct protection;
struct socket_roots;

/* Borrowed. */
struct policy {
	const struct protection *protection;
	const struct socket_roots *roots;
	bool allow_remote;
};

/* Adds what is refused to `problem` (validation_failed). `scope` is the caller's: what needs admin and is not as in `previous` (or NULL)
 * makes it forbidden, when nothing else is wrong, and so does another route of a tunnel that has such a part (spec_route_equal). */
void policy_check(const struct policy *policy, const struct spec *spec, const struct spec *previous, unsigned scope, const char *pointer,
                  struct problem *problem);

#endif
