/* JSON that a test writes without backslashes: '…' stands for "…". */
#ifndef WARREN_TESTS_SERVICE_QUOTED_JSON_H
#define WARREN_TESTS_SERVICE_QUOTED_JSON_H

#include <jansson.h>

/* A new reference; the test fails when the text is none. */
json_t *quoted_json(const char *text);

#endif
