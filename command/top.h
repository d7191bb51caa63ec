/* `warren top`: tunnels with their rates, health and round trips, the busiest first, read anew each second. */
#ifndef WARREN_COMMAND_TOP_H
#define WARREN_COMMAND_TOP_H

#include "command/command.h"

/* On a terminal until q is pressed; elsewhere one table. */
enum exit_code top_run(struct invocation *invocation, const struct arguments *arguments);

#endif
