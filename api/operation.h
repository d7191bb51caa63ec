/* Converts a route, its parameters and a document to an operation of one tunnel or pool, and the answered operation to a status and a body. Shared by
 * single requests and batches. */
#ifndef WARREN_API_OPERATION_H
#define WARREN_API_OPERATION_H

#include "api/route.h"
#include "api/text.h"
#include "service/service.h"

/* Takes the document, which may be NULL. False with faults whose pointers begin with `pointer`. */
bool api_operation_fill(struct operation *operation, const struct api_route *route, const char *const parameters[API_ROUTE_PARAMETERS_MAX],
                        json_t *document, const char *pointer, struct problem *problem);
/* Header values, copied; NULL for none. */
bool api_operation_conditions(struct operation *operation, const char *if_match, const char *if_none_match);
/* Parses a peer's key in a path: base64url without padding (escaped plain base64 is accepted, too). */
bool api_operation_key(const char *written, struct wireguard_key *key);

/* The HTTP status of an operation that was done. */
unsigned api_operation_status(const struct operation *operation);
/* The body of an operation that was done; nothing for a DELETE or a probe. `members` as in api_object_write. */
void api_operation_write(struct text *text, const struct api_request *request, const struct operation *operation, const char *members);
/* Further members of an operation's problem: the tunnel or the pool, for a handshake timeout. Empty if there are none. */
void api_operation_problem_members(struct text *text, const struct api_request *request, const struct operation *operation);
const char *api_applied_name(enum applied applied);

#endif
