/* The commands about tokens. A new token is the only thing that they write to stdout, and nothing else shows one. */
#ifndef WARREN_COMMAND_TOKENS_H
#define WARREN_COMMAND_TOKENS_H

#include "command/command.h"

enum exit_code tokens_list(struct session *session, const struct arguments *arguments);
enum exit_code tokens_add(struct session *session, const struct arguments *arguments);
enum exit_code tokens_remove(struct session *session, const struct arguments *arguments);
enum exit_code tokens_rotate(struct session *session, const struct arguments *arguments);

#endif
