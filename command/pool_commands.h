/* The commands about pools. */
#ifndef WARREN_COMMAND_POOL_COMMANDS_H
#define WARREN_COMMAND_POOL_COMMANDS_H

#include "command/command.h"

enum exit_code pools_list(struct invocation *invocation, const struct arguments *arguments);
enum exit_code pools_show(struct invocation *invocation, const struct arguments *arguments);
enum exit_code pools_add(struct invocation *invocation, const struct arguments *arguments);
enum exit_code pools_set(struct invocation *invocation, const struct arguments *arguments);
enum exit_code pools_remove(struct invocation *invocation, const struct arguments *arguments);
/* Forgets the tunnels that clients keep, so that their next connection chooses anew. */
enum exit_code pools_rotate(struct invocation *invocation, const struct arguments *arguments);

#endif
