/* The state of a tunnel as its peers, its way to the network and the host make it. */
#ifndef WARREN_TUNNEL_VERDICT_H
#define WARREN_TUNNEL_VERDICT_H

#include <stdbool.h>

#include "ipc/message.h"

struct tunnel;

struct verdict {
	enum tunnel_state state;
	bool is_down;       /* connections are refused with `reason` */
	const char *reason; /* a literal, or the carrier's (carrier_why_closed) */
};

/* The tunnel's state is that of its best peer. */
struct verdict verdict_of(const struct tunnel *tunnel);

#endif
