/* Probes through the tunnel: ping, a TCP connection, or a name. A probe that fails is told and counted, and changes nothing (S9). */
#ifndef WARREN_TUNNEL_PROBE_H
#define WARREN_TUNNEL_PROBE_H

#include "tunnel/tunnel.h"

struct probe;

/* The periodic probe that `spec` wants, to `fresh`; NULL when it wants none. False when out of memory. */
bool probe_prepare(struct tunnel *tunnel, const struct spec *spec, struct probe **fresh);
/* After tunnel->spec has become that spec: starts it, unless the one that runs is the same, which goes on. tunnel->probe is its handle. Takes
 * `fresh`; cannot fail. */
void probe_commit(struct tunnel *tunnel, struct probe *fresh);
void probe_discard(struct probe *fresh); /* instead of the commit */
/* One probe as asked; answers with MESSAGE_PROBED. */
void probe_run(struct tunnel *tunnel, const struct message_probe *message);
/* Ends all probes; those that were asked for are answered as failed. */
void probe_stop(struct tunnel *tunnel);

#endif
