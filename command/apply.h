/* Whole sets of tunnels and pools: from files, and to and from one document. */
#ifndef WARREN_COMMAND_APPLY_H
#define WARREN_COMMAND_APPLY_H

#include "command/command.h"

/* Brings the daemon to what the files say, after it has shown what that means. Nothing is done if any file has a fault. */
enum exit_code apply_run(struct invocation *invocation, const struct arguments *arguments);

#endif
