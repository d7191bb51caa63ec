/* What a person should know of a tunnel besides its state: shown by a gauge while it lasts, told to the control process when it changes. */
#ifndef WARREN_TUNNEL_CONDITION_H
#define WARREN_TUNNEL_CONDITION_H

#include "tunnel/tunnel.h"

/* The peer's answers go to somebody else with the same key. It holds until that has not been seen for half a minute. */
void condition_note_key_taken(struct tunnel *tunnel, uint64_t now);
/* Takes all conditions anew. Returns whether one holds: then once a second. */
bool condition_tick(struct tunnel *tunnel, uint64_t now);

#endif
