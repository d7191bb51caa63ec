/* Writes a tunnel or a pool as JSON. */
#ifndef WARREN_API_OBJECT_JSON_H
#define WARREN_API_OBJECT_JSON_H

#include "api/request.h"
#include "api/text.h"

/* Writes the whole object; `is_full` adds the status. `members` are further members, each with a comma before it, or NULL. */
void api_object_write(struct text *text, const struct api_request *request, const struct snapshot *snapshot, bool is_full, const char *members);

#endif
