/* Files of wg-quick(8), read and written. */
#ifndef WARREN_SERVICE_SPEC_WGQUICK_H
#define WARREN_SERVICE_SPEC_WGQUICK_H

#include <jansson.h>

#include "ipc/spec.h"
#include "service/spec/labels.h"
#include "service/spec/problem.h"

/* Instead of a preshared key that a file written without secrets leaves out: a tunnel that the file replaces keeps its key. */
#define WGQUICK_PRESHARED_KEY_LEFT_OUT "# PresharedKey is left out"

/* The same of the key of header protection. */
#define WGQUICK_HEADER_KEY_LEFT_OUT "# HeaderProtectionKey is left out"

/* Writes a tunnel as a file, with comments for what wg-quick has no word for (wgquick_comment.h). malloc'ed; NULL when out of memory. */
char *spec_to_wgquick(const struct spec *spec, const struct spec_label *labels, size_t label_count, bool secrets);
/* A file, with those comments, to the document of a create or put ({"labels": …, "spec": …}). With faults, at "/line/N", it is not to be applied:
 * it lacks what has them, and tells what else is wrong; NULL: nothing of it can be judged. `warnings` gets [{"line", "code", "detail"}], and `lines`
 * what wgquick_locate needs; new references. */
json_t *wgquick_to_document(const char *text, size_t length, json_t **warnings, json_t **lines, struct problem *problem);
/* Faults in the document become faults of the file: "/line/N", and the name of its key. Those of places that no line has said stay, and those that
 * only follow from a line's own fault go. `lines` may be NULL: the document was no file. */
void wgquick_locate(const json_t *lines, struct problem *problem);

#endif
