/* Writes that tunnels and pools have alike: from a file, by assignments, and away. */
#ifndef WARREN_COMMAND_EDIT_H
#define WARREN_COMMAND_EDIT_H

#include <jansson.h>

#include "command/command.h"

struct collection;

/* Creates what the file of the first word describes, with the options --id, --listen, --label and --wait. The object (new reference), NULL after a
 * failure was told. */
json_t *edit_add(struct invocation *invocation, const struct collection *collection, const struct arguments *arguments);
/* Changes the members that the assignments name, if nobody else changes the object meanwhile. As edit_add. */
json_t *edit_set(struct invocation *invocation, const struct collection *collection, const char *id, const char *const *assignments, size_t count);
/* Deletes what words, --label or --all name; asks before everything that is not named by its id. */
enum exit_code edit_remove(struct invocation *invocation, const struct collection *collection, const struct arguments *arguments);

#endif
