/* One end of the socketpair between the control process and a worker: framed messages with descriptors, both ways, non-blocking.
 * Knows no event loop: the owner polls the descriptor and calls channel_read and channel_flush. */
#ifndef WARREN_TUNNEL_CHANNEL_H
#define WARREN_TUNNEL_CHANNEL_H

#include "tunnel/message.h"

enum channel_error {
	CHANNEL_OK = 0,
	CHANNEL_CLOSED = -1,   /* the other end is gone */
	CHANNEL_PROTOCOL = -2, /* a frame that no honest end sends */
	CHANNEL_MEMORY = -3,
};

struct channel;

/* Takes the descriptor and makes it non-blocking. `accept_descriptors` false: descriptors that come in are closed, and are a protocol error. */
struct channel *channel_create(int descriptor, bool accept_descriptors);
void channel_free(struct channel *channel); /* closes the descriptor, those that wait unsent and those received and not taken */
int channel_descriptor(const struct channel *channel);
/* Queues a message and sends what goes. Takes the descriptors: they are closed once sent, or on failure. The writer is cleared. */
int channel_send(struct channel *channel, enum message_type type, struct message_writer *writer, const int *descriptors, size_t count)
    __attribute__((warn_unused_result));
bool channel_wants_write(const struct channel *channel);
int channel_flush(struct channel *channel) __attribute__((warn_unused_result));
/* Reads what is there and calls `handle` for each whole message. `descriptors` are the handler's to take: those it sets to -1 are
 * its own, the rest is closed after the call. */
typedef void channel_handler(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count);
int channel_read(struct channel *channel, channel_handler *handle, void *owner) __attribute__((warn_unused_result));

#endif
