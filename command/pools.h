/* The commands about pools. */
#ifndef WARREN_COMMAND_POOLS_H
#define WARREN_COMMAND_POOLS_H

#include "command/command.h"

enum exit_code pools_list(struct session *session, const struct arguments *arguments);
enum exit_code pools_show(struct session *session, const struct arguments *arguments);
enum exit_code pools_add(struct session *session, const struct arguments *arguments);
enum exit_code pools_set(struct session *session, const struct arguments *arguments);
enum exit_code pools_remove(struct session *session, const struct arguments *arguments);
/* Forgets the tunnels that clients keep, so that their next connection chooses anew. */
enum exit_code pools_rotate(struct session *session, const struct arguments *arguments);

#endif
