/* The commands that watch: counters, events, connections, and the live view. */
#ifndef WARREN_COMMAND_OBSERVE_H
#define WARREN_COMMAND_OBSERVE_H

#include "command/command.h"

enum exit_code observe_stats(struct invocation *invocation, const struct arguments *arguments);
enum exit_code observe_events(struct invocation *invocation, const struct arguments *arguments);
enum exit_code observe_connections(struct invocation *invocation, const struct arguments *arguments);
enum exit_code observe_kill(struct invocation *invocation, const struct arguments *arguments);

#endif
