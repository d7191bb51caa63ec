#include "tunnel/want.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct want {
	struct want *next;
	uint64_t request;
	want_granted *granted;
	void *owner;
};

struct want *want_ask(struct context *context, enum message_type type, struct message_want *message, want_granted *granted, void *owner)
{
	struct want *want = calloc(1, sizeof *want);
	if (want == NULL)
		return NULL;
	*want = (struct want){ .next = context->wants, .request = ++context->next_want, .granted = granted, .owner = owner };
	context->wants = want;
	message->request = want->request;
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_want(&writer, message);
	context->send(context, type, &writer);
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
	if (want != NULL)
		forget(context, want);
}

/* Who asked is gone, an inner client that broke off for one: the host's side of a connection hears of it by a reset too. */
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
	while (want != NULL && want->request != ack->request)
		want = want->next;
	if (want == NULL) {
		close_unwanted(descriptor);
		return;
	}
	want_granted *granted = want->granted;
	void *owner = want->owner;
	forget(context, want);
	granted(owner, ack->status == MESSAGE_STATUS_OK && descriptor < 0 ? MESSAGE_STATUS_REFUSED : (enum message_status)ack->status, descriptor);
}
