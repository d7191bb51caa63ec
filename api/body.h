/* A request's body while it is received. It may hold private keys, so every copy is wiped. It counts against one budget of the process, so that
 * many large bodies at once cannot exhaust the machine's memory. */
#ifndef WARREN_API_BODY_H
#define WARREN_API_BODY_H

#include <stdatomic.h>
#include <stddef.h>

#define BODY_CAP ((size_t)4 << 20)
#define BODY_CAP_LARGE ((size_t)64 << 20) /* /v1/state and /v1/batch */
#define BODY_BUDGET ((size_t)256 << 20)
#define BODY_DISCARD 4u /* a body is read up to this many times its cap, so that the client gets the reply */

struct api_body {
	char *bytes;
	size_t length, capacity;
};

enum body_error { BODY_OK = 0, BODY_OUT_OF_MEMORY = -1, BODY_OVER_BUDGET = -2 };

/* Appends. `expected` is the announced length, or 0; `used` is the budget. */
int api_body_append(struct api_body *body, const char *bytes, size_t length, size_t expected, atomic_size_t *used)
    __attribute__((warn_unused_result));
void api_body_clear(struct api_body *body, atomic_size_t *used);

#endif
