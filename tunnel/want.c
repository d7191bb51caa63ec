#include "tunnel/want.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct want {
	struct want *next; /* an older one */
	enum message_type type;
	struct message_want message;
	bool is_sent;
	want_granted *granted; /* NULL: the requester is gone, and the answer is still pending */
	void *owner;
};

/* Sends a slot's oldest waiting request, if one more may be unanswered. */
static void send_next(struct context *context, uint32_t slot)
{
	struct want *next = NULL;
	size_t unanswered = 0;
	for (struct want *want = context->wants; want != NULL; want = want->next) {
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

struct want *want_ask(struct context *context, enum message_type type, const struct message_want *message, want_granted *granted, void *owner)
{
	struct want *want = calloc(1, sizeof *want);
	if (want == NULL)
		return NULL;
	*want = (struct want){ .next = context->wants, .type = type, .message = *message, .granted = granted, .owner = owner };
	want->message.request = ++context->next_want;
	context->wants = want;
	send_next(context, message->slot);
	return want;
}

static void forget(struct context *context, struct want *want)
{
	struct want **at = &context->wants;
	while (*at != want)
		at = &(*at)->next;
	*at = want->next;
	free(want);
}

void want_cancel(struct context *context, struct want *want)
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
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	if (descriptor < 0)
		return;
	setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(descriptor);
}

void want_answer(struct context *context, const struct message_ack *ack, int descriptor)
{
	struct want *want = context->wants;
	while (want != NULL && (want->message.request != ack->request || want->message.slot != ack->slot ||
	                        want->message.generation != ack->generation || !want->is_sent))
		want = want->next;
	if (want == NULL) {
		close_unwanted(descriptor);
		return;
	}
	want_granted *granted = want->granted;
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

void want_clear(struct context *context)
{
	while (context->wants != NULL) {
		assert(context->wants->granted == NULL);
		forget(context, context->wants);
	}
}
