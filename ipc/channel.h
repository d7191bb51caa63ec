/* One end of the socketpair between the control process and a worker: framed messages with descriptors, both ways, non-blocking.
 * Independent of the event loop: the owner polls the descriptor, level-triggered, and calls channel_read and channel_flush. */
#ifndef WARREN_IPC_CHANNEL_H
#define WARREN_IPC_CHANNEL_H

#include "ipc/message.h"

enum channel_error {
	CHANNEL_OK = 0,
	CHANNEL_CLOSED = -1,   /* the other end is gone */
	CHANNEL_PROTOCOL = -2, /* an invalid frame, or one that the handler refused */
	CHANNEL_MEMORY = -3,
	CHANNEL_FULL = -4, /* the other end does not read, and too much is queued */
};

#define CHANNEL_UNTRUSTED_MAX 4096u       /* bytes of a frame's body from an untrusted end; its longest message has some 500 */
#define CHANNEL_TURN_BYTES (64u << 10)    /* a call of channel_read stops after the read that reaches this */
#define CHANNEL_QUEUED_BYTES (64u << 20)  /* unsent; more than all tunnels of a state document at once */
#define CHANNEL_QUEUED_DESCRIPTORS 65536u /* unsent; as many as a full worker's sockets */

struct channel;

/* Takes the descriptor and makes it non-blocking. `is_trusted` is about the other end: from an untrusted one, descriptors are closed unused and are a
 * protocol error, and so is a body over CHANNEL_UNTRUSTED_MAX. */
struct channel *channel_create(int descriptor, bool is_trusted);
void channel_free(struct channel *channel); /* closes the descriptor, unsent ones and received ones not taken */
int channel_descriptor(const struct channel *channel);
/* Queues a message and sends as much as possible. Takes the descriptors: they are closed once sent, or on failure. The writer is cleared. */
int channel_send(struct channel *channel, enum message_type type, struct message_writer *writer, const int *descriptors, size_t count)
    __attribute__((warn_unused_result));
bool channel_wants_write(const struct channel *channel);
uint64_t channel_sent(const struct channel *channel);             /* bytes since its creation */
size_t channel_queued_bytes(const struct channel *channel);       /* unsent */
size_t channel_queued_descriptors(const struct channel *channel); /* unsent */
/* Nothing is half-way: what was received is handled, and what was to be sent is sent. */
bool channel_is_quiet(const struct channel *channel);
int channel_flush(struct channel *channel) __attribute__((warn_unused_result));
/* Reads what is available, within CHANNEL_TURN_BYTES, and calls `handle` for each complete message. The handler takes descriptors by setting them
 * to -1; the rest is closed after the call. If it returns false, nothing behind that message is processed. It must not free the channel. */
/* After the message being handled no other is delivered until channel_resume, which delivers those that wait. */
void channel_pause(struct channel *channel);
typedef bool channel_handler(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count);
int channel_read(struct channel *channel, channel_handler *handle, void *owner) __attribute__((warn_unused_result));
int channel_resume(struct channel *channel, channel_handler *handle, void *owner) __attribute__((warn_unused_result));

#endif
