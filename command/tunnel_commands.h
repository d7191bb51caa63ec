/* The commands about tunnels. Each takes its words and options as command.c has them. */
#ifndef WARREN_COMMAND_TUNNEL_COMMANDS_H
#define WARREN_COMMAND_TUNNEL_COMMANDS_H

#include "command/command.h"

enum exit_code tunnels_list(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tunnels_show(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tunnels_add(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tunnels_set(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tunnels_up(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tunnels_down(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tunnels_move(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tunnels_remove(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tunnels_reconnect(struct invocation *invocation, const struct arguments *arguments);
enum exit_code tunnels_probe(struct invocation *invocation, const struct arguments *arguments);

#endif
