/* Warnings about settings of a spec that will probably not do what its author intends. They are no faults: the tunnel runs. */
#ifndef WARREN_API_WARNING_H
#define WARREN_API_WARNING_H

#include <jansson.h>

#include "api/request.h"

/* Of an operation that was applied, as a member of its reply that begins with a comma, malloc'ed; NULL when there is nothing to tell, unless it is
 * told `always`, or no memory. To `*warnings` (NULL: none yet) those of the spec are appended, as {"code", "detail"}: each inner address that no
 * peer's allowed_ips cover, unless the spec has no peers, which are still to come; a tunnel with the same key towards the same peer;
 * and parameters of an obfuscation that are allowed and do harm. */
char *api_warning_members(json_t **warnings, bool always, const struct api_request *request, const struct operation *operation);

#endif
