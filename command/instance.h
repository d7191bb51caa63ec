/* The commands about the running warrend itself, its workers, and about the nodes of a fleet. */
#ifndef WARREN_COMMAND_INSTANCE_H
#define WARREN_COMMAND_INSTANCE_H

#include "command/command.h"

enum exit_code instance_health(struct session *session, const struct arguments *arguments);
enum exit_code instance_info(struct session *session, const struct arguments *arguments);
enum exit_code instance_workers(struct session *session, const struct arguments *arguments);
enum exit_code instance_replace(struct session *session, const struct arguments *arguments);
enum exit_code instance_reload(struct session *session, const struct arguments *arguments);
enum exit_code instance_upgrade(struct session *session, const struct arguments *arguments);
enum exit_code instance_version(struct session *session, const struct arguments *arguments);
/* Prints the address of the web page with a token, which signs in. */
enum exit_code instance_ui(struct session *session, const struct arguments *arguments);

enum exit_code instance_nodes(struct session *session, const struct arguments *arguments);
enum exit_code instance_drain(struct session *session, const struct arguments *arguments);
enum exit_code instance_undrain(struct session *session, const struct arguments *arguments);

#endif
