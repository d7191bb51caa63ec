/* How a tunnel comes to be, changes and goes: what can fail is done while it is prepared, the rest at the commit (ARCHITECTURE.md, «A change»). */
#ifndef WARREN_TUNNEL_WORKER_CHANGE_H
#define WARREN_TUNNEL_WORKER_CHANGE_H

#include "tunnel/tunnel.h"

/* Builds what `message` asks for, inactive: a new tunnel when `*tunnel` is NULL, else a candidate of a change. Takes the message's contents
 * and the descriptors of its fresh sockets, also on failure. `detail` gets a sentence when the status is not OK. */
enum message_status change_prepare(struct context *context, struct tunnel **tunnel, struct message_prepare *message, int *descriptors, size_t count,
                                   enum message_applied *applied, char detail[160]);
/* Many peers cost exchanges of keys, so that they are prepared in steps: true while change_prepare said OK and not all is done. Nothing else
 * may be asked of the tunnel meanwhile, but to free it. */
bool change_is_preparing(const struct tunnel *tunnel);
/* The next step, of some milliseconds. As change_prepare: the tunnel is gone (NULL) when it was new and this fails. */
enum message_status change_prepare_more(struct tunnel **tunnel, char detail[160]);
/* Whether what is prepared is of that generation. */
bool change_is_prepared(const struct tunnel *tunnel, uint64_t generation);
/* Puts what is prepared in the place of what runs. It cannot fail and allocates nothing: all that can fail was done by change_prepare. */
void change_commit(struct tunnel *tunnel);
/* Forgets the candidate. True when the tunnel was never active and is gone with it. */
bool change_abort(struct tunnel *tunnel, uint64_t generation);
/* Closes everything, wipes the keys and frees. Nothing is sent to any peer afterwards. NULL is allowed. */
void change_remove(struct tunnel *tunnel);

#endif
