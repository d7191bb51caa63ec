/* Conditions that an operator should know besides the tunnel's state: a gauge shows each while it holds, and changes are sent to the control
 * process. */
#ifndef WARREN_TUNNEL_CONDITION_H
#define WARREN_TUNNEL_CONDITION_H

#include "tunnel/tunnel.h"

/* The peer's replies go to another machine with the same key. The condition ends when this has not been seen for half a minute. */
void condition_note_key_taken(struct tunnel *tunnel, uint64_t now);
/* Re-evaluates all conditions. Returns whether one holds; if so, call again after a second. */
bool condition_tick(struct tunnel *tunnel, uint64_t now);

#endif
