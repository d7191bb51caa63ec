/* Parses a body as JSON, with checks that the library does not make. */
#ifndef WARREN_API_JSON_BODY_H
#define WARREN_API_JSON_BODY_H

#include <jansson.h>

#include "service/spec/problem.h"

#define DOCUMENT_DEPTH_MAX 32 /* the deepest document of the API has 8 levels */

/* Returns a new reference, or NULL with the problem invalid_json. The detail gives the position and the kind of the error and quotes nothing,
 * because the body may hold a key. */
json_t *api_json_body_parse(const char *bytes, size_t length, struct problem *problem);
/* Adds a fault for each member of `object` that is not in the NULL-terminated list; `pointer` is the object's own. */
void api_json_body_check_members(json_t *object, const char *pointer, const char *const *known, struct problem *problem);

#endif
