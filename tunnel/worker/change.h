/* Creates, changes and removes tunnels. Everything that can fail happens in the prepare step; the commit cannot fail (ARCHITECTURE.md). */
#ifndef WARREN_TUNNEL_WORKER_CHANGE_H
#define WARREN_TUNNEL_WORKER_CHANGE_H

#include "tunnel/tunnel.h"

/* Builds what `message` describes, inactive: a new tunnel if `*tunnel` is NULL, else the change of one. Takes the message's contents
 * and the descriptors of its fresh sockets, also on failure. `detail` gets a sentence when the status is not OK. */
enum message_status change_prepare(struct context *context, struct tunnel **tunnel, struct message_prepare *message, int *descriptors, size_t count,
                                   enum message_applied *applied, char detail[160]);
/* Each peer costs a key exchange, so many peers are prepared in steps: true while change_prepare has returned OK and steps remain. Meanwhile
 * the tunnel may only be freed. */
bool change_is_preparing(const struct tunnel *tunnel);
/* Does the next step, a few milliseconds of work. Like change_prepare, it frees a new tunnel on failure (*tunnel is then NULL). */
enum message_status change_prepare_more(struct tunnel **tunnel, char detail[160]);
/* Whether the prepared change is of that generation. */
bool change_is_prepared(const struct tunnel *tunnel, uint64_t generation);
/* Replaces the running configuration with the prepared one. Cannot fail and allocates nothing. */
void change_commit(struct tunnel *tunnel);
/* Discards the prepared change. True if the tunnel was never active: the caller removes it. */
bool change_abort(struct tunnel *tunnel, uint64_t generation);
/* Closes everything, wipes the keys and frees the tunnel. Nothing is sent to any peer afterwards. NULL is allowed. */
void change_remove(struct tunnel *tunnel);

#endif
