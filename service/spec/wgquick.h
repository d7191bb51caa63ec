/* Files of wg-quick(8), read and written. */
#ifndef WARREN_SERVICE_SPEC_WGQUICK_H
#define WARREN_SERVICE_SPEC_WGQUICK_H

#include <jansson.h>

#include "ipc/spec.h"
#include "service/spec/problem.h"

/* Instead of a preshared key that a file written without secrets leaves out: a tunnel that the file replaces keeps its key. */
#define WGQUICK_PRESHARED_KEY_LEFT_OUT "# PresharedKey is left out"

/* Writes a tunnel as a file, malloc'ed; NULL when out of memory. */
char *spec_to_wgquick(const struct spec *spec, bool secrets);
/* A file to the document of a create or put ({"spec": …}); NULL with faults at "/line/N". `warnings` gets [{"line", "code", "detail"}],
 * a new reference. */
json_t *wgquick_to_document(const char *text, size_t length, json_t **warnings, struct problem *problem);

#endif
