/* Probes through the tunnel: a ping, a TCP connection, a DNS lookup, or an HTTP request. A failed probe is reported and counted, and never changes
 * the tunnel's state (S9). */
#ifndef WARREN_TUNNEL_PROBE_H
#define WARREN_TUNNEL_PROBE_H

#include "tunnel/tunnel.h"

struct probe;

/* Creates the periodic probe of `spec` in `fresh`; NULL if it has none. False when out of memory. */
bool probe_prepare(struct tunnel *tunnel, const struct spec *spec, struct probe **fresh);
/* After tunnel->spec has become that spec: starts the probe, unless the running one is equal and continues. tunnel->probe is its handle. Takes
 * `fresh`; cannot fail. */
void probe_commit(struct tunnel *tunnel, struct probe *fresh);
void probe_discard(struct probe *fresh); /* instead of the commit */
/* Runs a requested probe; replies with MESSAGE_PROBED. */
void probe_run(struct tunnel *tunnel, const struct message_probe *message);
/* Ends all probes; requested ones are answered as failed. */
void probe_stop(struct tunnel *tunnel);

#endif
