/* One end of the socketpair between the control process and a worker: framed messages with descriptors, both ways, non-blocking.
 * Knows no event loop: the owner polls the descriptor, level-triggered, and calls channel_read and channel_flush. */
#ifndef WARREN_IPC_CHANNEL_H
#define WARREN_IPC_CHANNEL_H

#include "ipc/message.h"

enum channel_error {
	CHANNEL_OK = 0,
	CHANNEL_CLOSED = -1,   /* the other end is gone */
	CHANNEL_PROTOCOL = -2, /* a frame that no honest end sends, or one that the handler refused */
	CHANNEL_MEMORY = -3,
	CHANNEL_FULL = -4, /* the other end does not read, and too much waits for it */
};

#define CHANNEL_UNTRUSTED_MAX 4096u       /* bytes of a frame's body that an untrusted end may send; its longest message has some 500 */
#define CHANNEL_TURN_BYTES (64u << 10)    /* a call of channel_read ends with the read that reaches it */
#define CHANNEL_QUEUED_BYTES (64u << 20)  /* unsent; a state document's tunnels, all at once, are fewer */
#define CHANNEL_QUEUED_DESCRIPTORS 65536u /* unsent; a full worker's sockets */

struct channel;

/* Takes the descriptor and makes it non-blocking. `is_trusted` says it of the other end: from one that is not, descriptors are closed unused
 * and are a protocol error, and so is a body over CHANNEL_UNTRUSTED_MAX. */
struct channel *channel_create(int descriptor, bool is_trusted);
void channel_free(struct channel *channel); /* closes the descriptor, those that wait unsent and those received and not taken */
int channel_descriptor(const struct channel *channel);
/* Queues a message and sends what goes. Takes the descriptors: they are closed once sent, or on failure. The writer is cleared. */
int channel_send(struct channel *channel, enum message_type type, struct message_writer *writer, const int *descriptors, size_t count)
    __attribute__((warn_unused_result));
bool channel_wants_write(const struct channel *channel);
uint64_t channel_sent(const struct channel *channel);             /* bytes, since it was made */
size_t channel_queued_descriptors(const struct channel *channel); /* unsent */
int channel_flush(struct channel *channel) __attribute__((warn_unused_result));
/* Reads what is there, within CHANNEL_TURN_BYTES, and calls `handle` for each whole message. `descriptors` are the handler's to take: those
 * it sets to -1 are its own, the rest is closed after the call. It gives false to have no more of this end: nothing behind that message is
 * looked at. It must not free the channel. */
/* After the message that is being handled none is handed on until channel_resume, which hands on what waits. */
void channel_pause(struct channel *channel);
typedef bool channel_handler(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count);
int channel_read(struct channel *channel, channel_handler *handle, void *owner) __attribute__((warn_unused_result));
int channel_resume(struct channel *channel, channel_handler *handle, void *owner) __attribute__((warn_unused_result));

#endif
