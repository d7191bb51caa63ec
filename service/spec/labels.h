/* Labels of a tunnel: a few sorted pairs of strings. */
#ifndef WARREN_SERVICE_SPEC_LABELS_H
#define WARREN_SERVICE_SPEC_LABELS_H

#include "service/spec/json_reader.h"

#define LABELS_MAX 64

struct label {
	char *key;
	char *value;
};

void labels_free(struct label *labels, size_t count);
/* A deep copy into `to`, malloc'ed; false when out of memory. */
bool labels_copy(struct label **to, const struct label *from, size_t count);
bool labels_equal(const struct label *a, size_t a_count, const struct label *b, size_t b_count);
/* Reads the member "labels" into a malloc'ed array sorted by key; returns the count. */
size_t labels_read(struct json_reader *reader, const json_t *document, struct label **labels);
json_t *labels_to_json(const struct label *labels, size_t count); /* a new reference, or NULL */

#endif
