/* A connection to a target through a tunnel: the target is judged, its name resolved inside the tunnel, its addresses tried in turn
 * (RFC 8305), all within connect_timeout. While the first handshake runs it waits; when the tunnel is down it fails at once. */
#ifndef WARREN_TUNNEL_DIAL_H
#define WARREN_TUNNEL_DIAL_H

#include "ipc/counters.h"
#include "netstack/netstack.h"
#include "tunnel/http/http_error.h"
#include "tunnel/http/target.h"

struct tunnel;
struct dial;

/* `stream` is connected and the callee's: it calls netstack_stream_set_owner before it returns. Or NULL with the reason. Called once, never
 * from within dial_start; the dial is gone after it. */
typedef void dial_done(void *owner, struct netstack_stream *stream, const struct http_fault *fault);

/* `exempt` skips the policy: a target that the spec itself names. NULL when out of memory. */
struct dial *dial_start(struct tunnel *tunnel, const struct target *target, bool exempt, dial_done *done, void *owner);
void dial_cancel(struct dial *dial); /* NULL is allowed; `done` is not called */
/* From the tunnel's health: it came up, or is known to be down. */
void dial_go_all(struct tunnel *tunnel);
void dial_fail_all(struct tunnel *tunnel);

/* May the target be asked for at all? HTTP_ERROR_NONE, or why not. */
struct http_fault dial_judge(const struct tunnel *tunnel, const struct target *target);
enum counters_failure dial_failure(enum http_error error);

#endif
