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
	bool is_in_fleet; /* a placement is possible */
	bool has_files;   /* --tunnels-dir: what is of a file is changed by its file alone */
};

/* Adds refusals to `problem` (validation_failed). `scope` is the caller's. If nothing else is wrong, the problem is forbidden if a part that needs
 * admin differs from `previous` (or NULL), or if a tunnel with such a part gets another route (spec_route_equal). */
void policy_check(const struct policy *policy, const struct spec *spec, const struct spec *previous, unsigned scope, const char *pointer,
                  struct problem *problem);

#endif
