/* Connects to a target through a tunnel: checks the policy, resolves the name inside the tunnel and tries its addresses in turn (RFC 8305), all
 * within connect_timeout. It waits during the first handshake; when the tunnel is down it fails at once. */
#ifndef WARREN_TUNNEL_DIAL_H
#define WARREN_TUNNEL_DIAL_H

#include "ipc/counters.h"
#include "netstack/netstack.h"
#include "tunnel/http/http_error.h"
#include "tunnel/http/target.h"

struct tunnel;
struct dial;

/* `stream` is connected and belongs to the callee, which calls netstack_stream_set_owner before it returns; or NULL with the reason. Called once,
 * never from within dial_start. The dial is freed after it. */
typedef void dial_done(void *owner, struct netstack_stream *stream, const struct http_fault *fault);

/* `proxy` is what the client uses: the tunnel's own spec, or that of a pool; it must outlive the dial. `exempt` skips the policy, for a target from
 * the spec. NULL when out of memory. */
struct dial *dial_start(struct tunnel *tunnel, const struct spec *proxy, const struct target *target, bool exempt, dial_done *done, void *owner);
void dial_cancel(struct dial *dial); /* NULL is allowed; `done` is not called */
/* Called by the tunnel's health: the tunnel is up, or known to be down. */
void dial_go_all(struct tunnel *tunnel);
void dial_fail_all(struct tunnel *tunnel);

/* Whether the policy allows the target: HTTP_ERROR_NONE, or the reason why not. */
struct http_fault dial_judge(const struct tunnel *tunnel, const struct spec *proxy, const struct target *target);
enum counters_failure dial_failure(enum http_error error);

#endif
