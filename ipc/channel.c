#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A frame is this header and the body. Its descriptors travel with the header's first byte, so a receiver has them, in order, by
 * the time the frame is whole. */
struct frame {
	uint32_t length;
	uint16_t type;
	uint16_t descriptors;
};

struct outgoing {
	struct outgoing *next;
	struct frame frame;
	struct message_writer body;
	size_t length, sent; /* of both together */
	int descriptors[MESSAGE_DESCRIPTORS_MAX];
	size_t descriptor_count;
};

#define INBOX_START 4096

struct channel {
	int descriptor;
	bool is_trusted;
	bool is_paused;
	struct outgoing *first, **last;
	size_t queued_bytes, queued_descriptors;
	uint64_t sent;
	uint8_t *inbox;
	size_t inbox_length, inbox_capacity;
	int waiting[2 * MESSAGE_DESCRIPTORS_MAX]; /* received, their frame not yet complete */
	size_t waiting_count;
};

static void close_all(int *descriptors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (descriptors[i] >= 0)
			close(descriptors[i]);
}

struct channel *channel_create(int descriptor, bool is_trusted)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	uint8_t *inbox = malloc(INBOX_START);
	int flags = fcntl(descriptor, F_GETFL);
	if (channel == NULL || inbox == NULL || flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0) {
		free(channel);
		free(inbox);
		close(descriptor);
		return NULL;
	}
	*channel = (struct channel){
		.descriptor = descriptor,
		.is_trusted = is_trusted,
		.last = &channel->first,
		.inbox = inbox,
		.inbox_capacity = INBOX_START,
	};
	return channel;
}

static void outgoing_free(struct outgoing *out)
{
	close_all(out->descriptors, out->descriptor_count);
	message_writer_clear(&out->body);
	free(out);
}

void channel_free(struct channel *channel)
{
	if (channel == NULL)
		return;
	while (channel->first != NULL) {
		struct outgoing *out = channel->first;
		channel->first = out->next;
		outgoing_free(out);
	}
	close_all(channel->waiting, channel->waiting_count);
	sodium_memzero(channel->inbox, channel->inbox_capacity);
	free(channel->inbox);
	close(channel->descriptor);
	free(channel);
}

int channel_descriptor(const struct channel *channel)
{
	return channel->descriptor;
}

bool channel_wants_write(const struct channel *channel)
{
	return channel->first != NULL;
}

uint64_t channel_sent(const struct channel *channel)
{
	return channel->sent;
}

size_t channel_queued_bytes(const struct channel *channel)
{
	return channel->queued_bytes;
}

size_t channel_queued_descriptors(const struct channel *channel)
{
	return channel->queued_descriptors;
}

bool channel_is_quiet(const struct channel *channel)
{
	return channel->first == NULL && channel->inbox_length == 0 && channel->waiting_count == 0;
}

int channel_send(struct channel *channel, enum message_type type, struct message_writer *writer, const int *descriptors, size_t count)
{
	size_t length = sizeof(struct frame) + writer->length;
	bool is_full = channel->queued_bytes + length > CHANNEL_QUEUED_BYTES || channel->queued_descriptors + count > CHANNEL_QUEUED_DESCRIPTORS;
	bool is_sound = !writer->failed && writer->length <= MESSAGE_SIZE_MAX && count <= MESSAGE_DESCRIPTORS_MAX;
	struct outgoing *out = is_full || !is_sound ? NULL : calloc(1, sizeof(*out));
	if (out == NULL) {
		for (size_t i = 0; i < count; i++)
			close(descriptors[i]);
		message_writer_clear(writer);
		return is_full ? CHANNEL_FULL : CHANNEL_MEMORY;
	}
	out->frame = (struct frame){ .length = (uint32_t)writer->length, .type = (uint16_t)type, .descriptors = (uint16_t)count };
	out->body = *writer;
	out->length = length;
	message_writer_init(writer);
	out->descriptor_count = count;
	if (count > 0)
		memcpy(out->descriptors, descriptors, count * sizeof(*descriptors));
	*channel->last = out;
	channel->last = &out->next;
	channel->queued_bytes += length;
	channel->queued_descriptors += count;
	return channel_flush(channel);
}

static ssize_t send_some(struct channel *channel, struct outgoing *out)
{
	size_t of_frame = out->sent < sizeof(out->frame) ? out->sent : sizeof(out->frame), of_body = out->sent - of_frame;
	struct iovec parts[2] = { { .iov_base = (uint8_t *)&out->frame + of_frame, .iov_len = sizeof(out->frame) - of_frame } };
	if (out->body.length > 0)
		parts[1] = (struct iovec){ .iov_base = out->body.bytes + of_body, .iov_len = out->body.length - of_body };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_DESCRIPTORS_MAX)];
	} control;
	if (out->sent == 0 && out->descriptor_count > 0) {
		size_t length = out->descriptor_count * sizeof(int);
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(length);
		memset(control.bytes, 0, sizeof(control.bytes));
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(length);
		memcpy(CMSG_DATA(header), out->descriptors, length);
	}
	return sendmsg(channel->descriptor, &message, MSG_NOSIGNAL);
}

int channel_flush(struct channel *channel)
{
	while (channel->first != NULL) {
		struct outgoing *out = channel->first;
		ssize_t sent = send_some(channel, out);
		if (sent < 0 && errno == EINTR)
			continue;
		/* ETOOMANYREFS: too many descriptors are in flight; this ends when the other end reads. */
		if (sent < 0)
			return errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS ? CHANNEL_OK : CHANNEL_CLOSED;
		out->sent += (size_t)sent;
		channel->sent += (size_t)sent;
		if (out->sent < out->length)
			continue;
		channel->first = out->next;
		if (channel->first == NULL)
			channel->last = &channel->first;
		channel->queued_bytes -= out->length;
		channel->queued_descriptors -= out->descriptor_count;
		outgoing_free(out);
	}
	return CHANNEL_OK;
}

static int take_descriptors(struct channel *channel, struct msghdr *message)
{
	bool came = false;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int descriptor;
			memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(descriptor), sizeof(descriptor));
			came = true;
			if (channel->is_trusted && channel->waiting_count < sizeof(channel->waiting) / sizeof(channel->waiting[0]))
				channel->waiting[channel->waiting_count++] = descriptor;
			else
				close(descriptor);
		}
	}
	bool is_refused = (came && !channel->is_trusted) || (message->msg_flags & MSG_CTRUNC) != 0;
	return is_refused ? CHANNEL_PROTOCOL : CHANNEL_OK;
}

static bool grow(struct channel *channel, size_t capacity)
{
	uint8_t *inbox = malloc(capacity);
	if (inbox == NULL)
		return false;
	memcpy(inbox, channel->inbox, channel->inbox_length);
	sodium_memzero(channel->inbox, channel->inbox_capacity);
	free(channel->inbox);
	channel->inbox = inbox;
	channel->inbox_capacity = capacity;
	return true;
}

static bool may_come(const struct channel *channel, const struct frame *frame)
{
	return frame->length <= (channel->is_trusted ? MESSAGE_SIZE_MAX : CHANNEL_UNTRUSTED_MAX) &&
	       frame->descriptors <= (channel->is_trusted ? MESSAGE_DESCRIPTORS_MAX : 0);
}

/* Handles the complete frames at the start of the inbox; the rest moves to its front. */
static int dispatch(struct channel *channel, channel_handler *handle, void *owner)
{
	size_t at = 0;
	int error = CHANNEL_OK;
	while (error == CHANNEL_OK && !channel->is_paused && channel->inbox_length - at >= sizeof(struct frame)) {
		struct frame frame;
		memcpy(&frame, channel->inbox + at, sizeof(frame));
		if (!may_come(channel, &frame))
			return CHANNEL_PROTOCOL;
		size_t whole = sizeof(frame) + frame.length;
		if (channel->inbox_length - at < whole) {
			if (whole > channel->inbox_capacity && !grow(channel, whole))
				return CHANNEL_MEMORY;
			break;
		}
		if (frame.descriptors > channel->waiting_count)
			return CHANNEL_PROTOCOL;
		struct message_reader body = { .bytes = channel->inbox + at + sizeof(frame), .left = frame.length };
		if (!handle(owner, (enum message_type)frame.type, &body, channel->waiting, frame.descriptors))
			error = CHANNEL_PROTOCOL;
		close_all(channel->waiting, frame.descriptors);
		channel->waiting_count -= frame.descriptors;
		memmove(channel->waiting, channel->waiting + frame.descriptors, channel->waiting_count * sizeof(channel->waiting[0]));
		at += whole;
	}
	memmove(channel->inbox, channel->inbox + at, channel->inbox_length - at);
	sodium_memzero(channel->inbox + channel->inbox_length - at, at);
	channel->inbox_length -= at;
	return error;
}

int channel_read(struct channel *channel, channel_handler *handle, void *owner)
{
	for (size_t total = 0; total < CHANNEL_TURN_BYTES && !channel->is_paused;) {
		struct iovec part = { .iov_base = channel->inbox + channel->inbox_length,
			              .iov_len = channel->inbox_capacity - channel->inbox_length };
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_DESCRIPTORS_MAX)];
		} control;
		struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes) };
		ssize_t got = recvmsg(channel->descriptor, &message, MSG_CMSG_CLOEXEC);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? CHANNEL_OK : CHANNEL_CLOSED;
		int error = take_descriptors(channel, &message);
		if (error != CHANNEL_OK)
			return error;
		if (got == 0)
			return CHANNEL_CLOSED;
		channel->inbox_length += (size_t)got;
		total += (size_t)got;
		error = dispatch(channel, handle, owner);
		if (error != CHANNEL_OK)
			return error;
	}
	return CHANNEL_OK;
}

void channel_pause(struct channel *channel)
{
	channel->is_paused = true;
}

int channel_resume(struct channel *channel, channel_handler *handle, void *owner)
{
	channel->is_paused = false;
	return dispatch(channel, handle, owner);
}
