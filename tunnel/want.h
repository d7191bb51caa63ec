/* Asking the control process for what the sandbox forbids: a descriptor of a new host socket. */
#ifndef WARREN_TUNNEL_WANT_H
#define WARREN_TUNNEL_WANT_H

#include "tunnel/context.h"

/* An answer: `descriptor` is the callee's, or -1 with the reason in `status`. */
typedef void want_granted(void *owner, enum message_status status, int descriptor);

/* Asks the control process (WANT_UDP, WANT_DIAL, WANT_RELAY) for message->slot; `message->request` is filled in for it. One that would be
 * more than MESSAGE_WANTS_MOST of its slot waits for its turn. NULL when out of memory. The handle is gone after the answer or want_cancel. */
struct want *want_ask(struct context *context, enum message_type type, const struct message_want *message, want_granted *granted, void *owner);
void want_cancel(struct context *context, struct want *want); /* NULL is allowed */
/* From the worker: an answer came. Closes the descriptor when nobody waits for it any more. */
void want_answer(struct context *context, const struct message_ack *ack, int descriptor);
/* At the end, when every owner is gone. */
void want_clear(struct context *context);

#endif
