#include "tunnel/descriptor_request.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/io/linger.h"

struct descriptor_request {
	struct descriptor_request *next; /* an older one */
	enum message_type type;
	struct message_want message;
	bool is_sent;
	descriptor_request_done *granted; /* NULL: the requester is gone, and the answer is still pending */
	void *owner;
};

/* Sends a slot's oldest waiting request, if one more may be unanswered. */
static void send_next(struct context *context, uint32_t slot)
{
	struct descriptor_request *next = NULL;
	size_t unanswered = 0;
	for (struct descriptor_request *want = context->wants; want != NULL; want = want->next) {
		if (want->message.slot != slot)
			continue;
		unanswered += want->is_sent;
		if (!want->is_sent)
			next = want;
	}
	if (next == NULL || unanswered >= MESSAGE_WANTS_MOST)
		return;
	next->is_sent = true;
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_want(&writer, &next->message);
	context->send(context, next->type, &writer);
}

struct descriptor_request *descriptor_request_ask(struct context *context, enum message_type type, const struct message_want *message,
                                                  descriptor_request_done *granted, void *owner)
{
	struct descriptor_request *want = calloc(1, sizeof(*want));
	if (want == NULL)
		return NULL;
	*want = (struct descriptor_request){ .next = context->wants, .type = type, .message = *message, .granted = granted, .owner = owner };
	want->message.request = ++context->next_want;
	context->wants = want;
	send_next(context, message->slot);
	return want;
}

static void forget(struct context *context, struct descriptor_request *want)
{
	struct descriptor_request **at = &context->wants;
	while (*at != want)
		at = &(*at)->next;
	*at = want->next;
	free(want);
}

void descriptor_request_cancel(struct context *context, struct descriptor_request *want)
{
	if (want == NULL)
		return;
	if (want->is_sent)
		want->granted = NULL;
	else
		forget(context, want);
}

/* The requester is gone, for example an inner client that reset: the host's side of the connection gets a reset, too. */
static void close_unwanted(int descriptor)
{
	if (descriptor < 0)
		return;
	linger_reset(descriptor);
	close(descriptor);
}

void descriptor_request_answer(struct context *context, const struct message_ack *ack, int descriptor)
{
	struct descriptor_request *want = context->wants;
	while (want != NULL && (want->message.request != ack->request || want->message.slot != ack->slot ||
	                        want->message.generation != ack->generation || !want->is_sent))
		want = want->next;
	if (want == NULL) {
		close_unwanted(descriptor);
		return;
	}
	descriptor_request_done *granted = want->granted;
	void *owner = want->owner;
	uint32_t slot = want->message.slot;
	forget(context, want);
	send_next(context, slot);
	if (granted == NULL)
		close_unwanted(descriptor);
	else
		granted(owner, ack->status == MESSAGE_STATUS_OK && descriptor < 0 ? MESSAGE_STATUS_REFUSED : (enum message_status)ack->status,
		        descriptor);
}

void descriptor_request_clear(struct context *context)
{
	while (context->wants != NULL) {
		assert(context->wants->granted == NULL);
		forget(context, context->wants);
	}
}
