/* Conditions on a tunnel's labels, as a query's label= writes them: K=V, K!=V, or K alone. */
#ifndef WARREN_SERVICE_SPEC_SELECTOR_H
#define WARREN_SERVICE_SPEC_SELECTOR_H

#include "service/spec/labels.h"

enum selector_kind {
	SELECTOR_IS,
	SELECTOR_IS_NOT, /* of another value, or without the label */
	SELECTOR_HAS,
};

struct selector {
	enum selector_kind kind;
	char *key;   /* owned */
	char *value; /* owned; NULL with SELECTOR_HAS */
};

enum selector_error {
	SELECTOR_MALFORMED = -1, /* no key, a byte that no key has, or a value that begins with «=» */
	SELECTOR_OUT_OF_MEMORY = -2,
};

/* 0 or a selector_error; then there is nothing to free. */
int selector_parse(const char *text, struct selector *selector) __attribute__((warn_unused_result));
void selectors_free(struct selector *selectors, size_t count); /* and the array */
/* Whether the labels satisfy all of them. */
bool selectors_accept(const struct selector *selectors, size_t count, const struct spec_label *labels, size_t label_count);

#endif
