/* A PREPARE on its way in: one with many peers is decoded in steps, so that it does not hold the loop. */
#ifndef WARREN_TUNNEL_WORKER_INCOMING_H
#define WARREN_TUNNEL_WORKER_INCOMING_H

#include "ipc/message.h"

/* Embedded in the worker; starts as all zeros. The members are for reading, except that whoever takes the message or a descriptor leaves zeros or -1.
 */
struct incoming {
	struct prepare_decoder decoder;
	struct message_prepare message;
	uint8_t *rest; /* a copy of what is not decoded after the first step, with secrets; or NULL */
	size_t rest_length;
	int descriptors[MESSAGE_DESCRIPTORS_MAX];
	size_t descriptor_count;
};

/* Takes the descriptors, and does the first step. True: there are more. Without memory for a copy of the body it is decoded at once. */
bool incoming_begin(struct incoming *incoming, const struct message_reader *body, int *descriptors, size_t count);
/* Does the next step. True: there are more. */
bool incoming_more(struct incoming *incoming);
/* After the last step: whether the message is whole. */
bool incoming_is_whole(const struct incoming *incoming);
/* Closes the descriptors and wipes what is left. */
void incoming_clear(struct incoming *incoming);

#endif
