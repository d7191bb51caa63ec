/* Builds JSON documents that are complete or fail: running out of memory is sticky, and is checked once, at the end. */
#ifndef WARREN_SERVICE_SPEC_JSON_WRITER_H
#define WARREN_SERVICE_SPEC_JSON_WRITER_H

#include <jansson.h>
#include <stdbool.h>

struct json_writer {
	bool failed; /* starts as false */
};

/* Each takes `value`, which is NULL when memory ran out while it was made; so may be the object or the array. */
void json_writer_set(struct json_writer *writer, json_t *object, const char *member, json_t *value);
void json_writer_add(struct json_writer *writer, json_t *array, json_t *value);
/* A shallow copy that is complete or sets `failed`; json_copy and json_deep_copy silently omit members when out of memory. NULL gives an empty
 * object. */
json_t *json_writer_copy(struct json_writer *writer, const json_t *object);
/* Takes `document`: returns it if it is complete; otherwise frees it and returns NULL. */
json_t *json_writer_end(const struct json_writer *writer, json_t *document);
/* The compact text, malloc'ed; NULL when out of memory or `json` is NULL. Replaces json_dumps, which silently omits the
 * name of a member when out of memory. */
char *json_writer_text(const json_t *json);

#endif
