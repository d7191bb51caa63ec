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
/* Takes a copy of a peer's sessions from another worker, for the commit of a prepared tunnel. */
void change_take_transfer(struct tunnel *tunnel, const struct message_transfer *message);
/* Replaces the running configuration with the prepared one. Cannot fail and allocates nothing but the replay windows of transferred sessions,
 * without which their peers begin with a handshake. */
void change_commit(struct tunnel *tunnel);
/* Frees some of what the commit has replaced, which with many peers takes long. True: there is more. Whatever comes next frees the rest, too. */
bool change_clean(struct tunnel *tunnel);
/* Discards the prepared change. True if the tunnel was never active: the caller removes it. */
bool change_abort(struct tunnel *tunnel, uint64_t generation);
/* Closes everything, wipes the keys and frees the tunnel. Nothing is sent to any peer afterwards. NULL is allowed. */
void change_remove(struct tunnel *tunnel);
/* The same in steps: closes everything. Only change_free may follow. */
void change_end(struct tunnel *tunnel);
/* Frees some of it; true: there is more. All keys are wiped when there is no more. */
bool change_free(struct tunnel *tunnel);
/* Like change_end, for a tunnel that goes to another worker: its connections are cut for that reason, and a TRANSFER of each peer is sent. */
void change_hand_over(struct tunnel *tunnel);
/* Whether a connection would be cut by it, of a client that waits, too. */
bool change_has_connections(const struct tunnel *tunnel);

#endif
