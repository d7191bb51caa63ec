/* A problem as application/problem+json (RFC 9457). */
#ifndef WARREN_API_PROBLEM_JSON_H
#define WARREN_API_PROBLEM_JSON_H

#include "api/text.h"
#include "service/spec/problem.h"

/* `members` are further members, each with a comma before it, or NULL. `request_id` may be NULL (at the end of a stream). */
void api_problem_write(struct text *text, const struct problem *problem, unsigned status, const char *request_id, const char *members);

#endif
