/* `warren save` and `warren load`: everything as one document. */
#ifndef WARREN_COMMAND_STATE_COMMANDS_H
#define WARREN_COMMAND_STATE_COMMANDS_H

#include "command/command.h"

/* On stdout, with the keys if the caller may read them. */
enum exit_code state_save(struct invocation *invocation, const struct arguments *arguments);
/* Replaces everything by a saved document; asks before it deletes. */
enum exit_code state_load(struct invocation *invocation, const struct arguments *arguments);

#endif
