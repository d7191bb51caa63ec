/* Comment lines of a wg-quick file, "# warren: member = value", for what wg-quick has no word for: via, obfuscation, listen, user and label. */
#ifndef WARREN_SERVICE_SPEC_WGQUICK_COMMENT_H
#define WARREN_SERVICE_SPEC_WGQUICK_COMMENT_H

#include <stdio.h>

#include "ipc/spec.h"
#include "service/spec/json_writer.h"
#include "service/spec/labels.h"

#define WGQUICK_COMMENT_MARK "# warren:"

/* What came of one comment. */
struct wgquick_comment {
	const char *code, *detail; /* of the fault; NULL: it was taken */
	char pointer[512];         /* of the member that it set */
};

/* What follows the mark in a comment that begins at its "#"; NULL: the comment is not for us. */
const char *wgquick_comment_find(const char *comment);
/* Adds what follows the mark, which is changed in place, to the document {"spec": {"interface": …}}. */
void wgquick_comment_read(struct wgquick_comment *result, char *text, json_t *document, struct json_writer *writer);
/* Without secrets a user has no password: a tunnel that the file replaces keeps it, and elsewhere it is missing. False when out of memory. */
bool wgquick_comment_write(FILE *file, const struct spec *spec, const struct spec_label *labels, size_t label_count, bool secrets);

#endif
