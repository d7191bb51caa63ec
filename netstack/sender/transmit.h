/* Sends a sender's segments, within its windows and pacing, and its probes. */
#ifndef WARREN_NETSTACK_SENDER_TRANSMIT_H
#define WARREN_NETSTACK_SENDER_TRANSMIT_H

#include "netstack/sender/sender.h"

/* Sends lost segments, then new ones, as far as the windows and the pacing allow. */
void transmit_pump(struct sender *sender, uint64_t now);
/* Sends a tail loss probe: a new segment, or the last one again (RFC 8985, 7.3). */
void transmit_probe(struct sender *sender, uint64_t now);
/* The window is closed and nothing is outstanding: probes it, or sends what fits. */
void transmit_persist(struct sender *sender, uint64_t now);

#endif
