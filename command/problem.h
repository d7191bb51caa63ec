/* Problems of the API (RFC 9457), as people read them. */
#ifndef WARREN_COMMAND_PROBLEM_H
#define WARREN_COMMAND_PROBLEM_H

#include <stdio.h>

struct client_answer;
struct client_request;

/* The detail, and a line for each fault with its pointer. An answer that is no problem document is told by its status,
 * and a redirect by where it leads. */
void problem_write(FILE *to, const struct client_request *request, const struct client_answer *answer);

#endif
