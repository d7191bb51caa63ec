/* Problems of the API (RFC 9457), as people read them. */
#ifndef WARREN_COMMAND_PROBLEM_TEXT_H
#define WARREN_COMMAND_PROBLEM_TEXT_H

#include <stdio.h>

struct api_client_answer;
struct api_client_request;

/* The detail, and a line for each fault with its pointer. An answer that is no problem document is told by its status,
 * and a redirect by where it leads. */
void problem_text_write(FILE *to, const struct api_client_request *request, const struct api_client_answer *answer);

#endif
