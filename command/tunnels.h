/* The commands about tunnels. Each takes its words and options as command.c has them. */
#ifndef WARREN_COMMAND_TUNNELS_H
#define WARREN_COMMAND_TUNNELS_H

#include "command/command.h"

enum exit_code tunnels_list(struct session *session, const struct arguments *arguments);
enum exit_code tunnels_show(struct session *session, const struct arguments *arguments);
enum exit_code tunnels_add(struct session *session, const struct arguments *arguments);
enum exit_code tunnels_set(struct session *session, const struct arguments *arguments);
enum exit_code tunnels_up(struct session *session, const struct arguments *arguments);
enum exit_code tunnels_down(struct session *session, const struct arguments *arguments);
enum exit_code tunnels_move(struct session *session, const struct arguments *arguments);
enum exit_code tunnels_remove(struct session *session, const struct arguments *arguments);
enum exit_code tunnels_reconnect(struct session *session, const struct arguments *arguments);
enum exit_code tunnels_probe(struct session *session, const struct arguments *arguments);

#endif
