/* The commands about tokens. A new token is the only thing that they write to stdout, and nothing else shows one. */
#ifndef WARREN_COMMAND_TOKEN_COMMANDS_H
#define WARREN_COMMAND_TOKEN_COMMANDS_H

#include "command/command.h"

enum exit_code tokens_list(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tokens_add(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tokens_remove(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tokens_rotate(struct invocation *invocation, const struct arguments *arguments);

#endif
