/* The state directory that is used when none is named: the daemon keeps its state there, and the command `warren` looks for its socket there. */
#ifndef WARREN_IPC_STATE_PATH_H
#define WARREN_IPC_STATE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* The first of these that applies: $STATE_DIRECTORY, /var/lib/warren for root, $XDG_STATE_HOME/warren, ~/.local/state/warren. False, and an empty
 * text, if none does or it is longer than `size`. */
bool state_path_default(char *path, size_t size);

#endif
