/* Asks the control process for what the sandbox forbids: the descriptor of a new host socket. */
#ifndef WARREN_TUNNEL_DESCRIPTOR_REQUEST_H
#define WARREN_TUNNEL_DESCRIPTOR_REQUEST_H

#include "tunnel/context.h"

/* The answer: `descriptor` belongs to the callee, or is -1 with the reason in `status`. */
typedef void descriptor_request_done(void *owner, enum message_status status, int descriptor);

/* Sends a request (WANT_UDP, WANT_DIAL, WANT_RELAY) for message->slot and fills in `message->request`. If MESSAGE_WANTS_MOST of the slot are
 * unanswered, it waits. NULL when out of memory. The handle is freed after the answer or by descriptor_request_cancel. */
struct descriptor_request *descriptor_request_ask(struct context *context, enum message_type type, const struct message_want *message,
                                                  descriptor_request_done *granted, void *owner);
void descriptor_request_cancel(struct context *context, struct descriptor_request *want); /* NULL is allowed */
/* Called by the worker with an answer. Closes the descriptor if nobody waits for it any more. */
void descriptor_request_answer(struct context *context, const struct message_ack *ack, int descriptor);
/* At exit, after every owner has ended. */
void descriptor_request_clear(struct context *context);

#endif
