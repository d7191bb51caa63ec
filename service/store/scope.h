/* The scopes of a caller. */
#ifndef WARREN_SERVICE_STORE_SCOPE_H
#define WARREN_SERVICE_STORE_SCOPE_H

#include <jansson.h>

/* Each scope includes the ones before it. */
enum scope { SCOPE_NONE = 0, SCOPE_METRICS = 1, SCOPE_READ = 2, SCOPE_WRITE = 4, SCOPE_ADMIN = 8 };

unsigned scope_with_included(unsigned scopes); /* and those that they include */
unsigned scope_parse(const char *name);        /* its bit alone; 0 when unknown */
const char *scope_name(unsigned scope);        /* of one scope */
json_t *scope_list_to_json(unsigned scopes);   /* the names, a new reference; NULL when out of memory */

#endif
