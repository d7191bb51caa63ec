/* Which tunnels and pools a caller may see and touch: all of them, or those that have certain labels. It is made when a caller is
 * authenticated, and every read and write of the service demands one. Immutable and counted; any thread. */
#ifndef WARREN_SERVICE_SPEC_ACCESS_H
#define WARREN_SERVICE_SPEC_ACCESS_H

#include <jansson.h>

#include "service/spec/labels.h"

struct access;

struct access *access_whole(void); /* to everything; a reference, which need not be released */
/* To what has all of these labels, which are copied; without labels it is access_whole. NULL when out of memory. */
struct access *access_create(const struct spec_label *labels, size_t count);
struct access *access_reference(struct access *access); /* returns it */
void access_release(struct access *access);             /* NULL is allowed */
bool access_is_whole(const struct access *access);
/* Whether something with these labels, sorted by key, is within it. */
bool access_covers(const struct access *access, const struct spec_label *labels, size_t count);
json_t *access_to_json(const struct access *access); /* the labels, a new reference, or NULL when out of memory */

#endif
