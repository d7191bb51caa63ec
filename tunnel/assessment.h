/* Whether a tunnel is healthy: what its state, its probe and its traffic say together. It is reported, and changes nothing (S9). */
#ifndef WARREN_TUNNEL_ASSESSMENT_H
#define WARREN_TUNNEL_ASSESSMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/message.h"

struct tunnel;

struct assessment {
	enum tunnel_health health;
	enum tunnel_health probe; /* what the periodic probe says; UNKNOWN without one, and before its first result */
	bool was_up;
	uint64_t received_before; /* payload, when the state became up */
};

/* Another worker had the tunnel: the assessment that it published holds until something is known here. */
void assessment_resume(struct tunnel *tunnel);
/* To be called when the state, the probe or the counters of traffic have changed. Publishes the result, and sends a message if it is
 * another one. */
void assessment_review(struct tunnel *tunnel);

#endif
