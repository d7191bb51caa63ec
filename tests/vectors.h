/* Test vectors in JSON, in ../shared/vectors, as seen from the root. Not every checkout has the folder beside it. */
#ifndef WARREN_TESTS_VECTORS_H
#define WARREN_TESTS_VECTORS_H

#include <jansson.h>

/* A file of the folder, which the caller frees. Without it the test is skipped, and the reason is printed. */
json_t *vectors_load(const char *name);

#endif
