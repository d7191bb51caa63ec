/* The commands about the running warrend itself, its workers, and about the nodes of a fleet. */
#ifndef WARREN_COMMAND_INSTANCE_H
#define WARREN_COMMAND_INSTANCE_H

#include "command/command.h"

enum exit_code instance_health(struct invocation *invocation, const struct arguments *arguments);
enum exit_code instance_info(struct invocation *invocation, const struct arguments *arguments);
enum exit_code instance_workers(struct invocation *invocation, const struct arguments *arguments);
enum exit_code instance_replace(struct invocation *invocation, const struct arguments *arguments);
enum exit_code instance_reload(struct invocation *invocation, const struct arguments *arguments);
enum exit_code instance_upgrade(struct invocation *invocation, const struct arguments *arguments);
enum exit_code instance_version(struct invocation *invocation, const struct arguments *arguments);
/* Prints the address of the web page with a token, which signs in. */
enum exit_code instance_ui(struct invocation *invocation, const struct arguments *arguments);

enum exit_code instance_nodes(struct invocation *invocation, const struct arguments *arguments);
enum exit_code instance_drain(struct invocation *invocation, const struct arguments *arguments);
enum exit_code instance_undrain(struct invocation *invocation, const struct arguments *arguments);

#endif
