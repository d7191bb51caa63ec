/* Probes through the tunnel: ping, a TCP connection, or a name. A probe that fails is told and counted, and changes nothing (S9). */
#ifndef WARREN_TUNNEL_PROBE_H
#define WARREN_TUNNEL_PROBE_H

#include "tunnel/tunnel.h"

struct probe;

/* Starts or restarts the periodic probe of tunnel->spec.probe (none: stops it). tunnel->probe is its handle. */
void probe_apply(struct tunnel *tunnel);
/* One probe as asked; answers with MESSAGE_PROBED. */
void probe_run(struct tunnel *tunnel, const struct message_probe *message);
/* Ends all probes; those that were asked for are answered as failed. */
void probe_stop(struct tunnel *tunnel);

#endif
