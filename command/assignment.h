/* `MEMBER=VALUE` of `warren set`, as a JSON merge patch (RFC 7396). Pure.
 *
 * The member is a dotted path: `labels.KEY` (the rest of the word is the key), or a path below the spec, whose `spec.` may be left out:
 * `limits.connections=64`, `peers.0.endpoint=vpn.example:51820`. The value is JSON or plain text; what the member is now decides for plain text:
 * a text stays one, a list takes texts separated by commas. `interface.obfuscation=lwo` (or `amneziawg`) sets its type. */
#ifndef WARREN_COMMAND_ASSIGNMENT_H
#define WARREN_COMMAND_ASSIGNMENT_H

#include <jansson.h>
#include <stdbool.h>

#define ASSIGNMENT_FAILURE_MAX 256

/* Adds one assignment to the patch of `present`, the object as it is now. False with the failure. */
bool assignment_add(json_t *patch, const json_t *present, const char *word, char failure[ASSIGNMENT_FAILURE_MAX]);
/* Adds `KEY=VALUE` to an object of labels. False if it is not that, or not UTF-8. */
bool assignment_add_label(json_t *labels, const char *word);

#endif
