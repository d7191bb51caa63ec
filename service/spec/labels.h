/* Labels of a tunnel, a pool or a selection: a few sorted pairs of strings. */
#ifndef WARREN_SERVICE_SPEC_LABELS_H
#define WARREN_SERVICE_SPEC_LABELS_H

#include "ipc/pool_spec.h"
#include "service/spec/json_reader.h"

/* How many bytes at the start of `text` are a label's key; 0 if it does not begin with one, or the key is too long. */
size_t labels_key_length(const char *text);
/* A deep copy into `to`, malloc'ed; false when out of memory. */
bool labels_copy(struct spec_label **to, const struct spec_label *from, size_t count);
bool labels_equal(const struct spec_label *a, size_t a_count, const struct spec_label *b, size_t b_count);
/* Reads the member "labels" into a malloc'ed array sorted by key; returns the count. */
size_t labels_read(struct json_reader *reader, const json_t *document, struct spec_label **labels);
json_t *labels_to_json(const struct spec_label *labels, size_t count); /* a new reference, or NULL */

#endif
