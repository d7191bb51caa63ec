#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/channel.h"

struct heard {
	unsigned messages;
	size_t bytes, descriptors;
	int kept;
	enum message_type last;
	bool is_enough; /* the handler's answer to the next message */
};

static bool hear(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	struct heard *heard = owner;
	heard->messages++;
	heard->bytes += body->left;
	heard->descriptors += count;
	heard->last = type;
	if (count > 0) {
		heard->kept = descriptors[0];
		descriptors[0] = -1;
	}
	return !heard->is_enough;
}

static void open_pair(struct channel **a, struct channel **b, bool accept)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	*a = channel_create(ends[0], true);
	*b = channel_create(ends[1], accept);
	assert_non_null(*a);
	assert_non_null(*b);
}

static void test_messages_arrive_whole_with_their_descriptors(void **state)
{
	(void)state;
	struct channel *a, *b;
	struct heard heard = { 0 };
	struct message_writer writer;
	open_pair(&a, &b, true);
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	message_writer_init(&writer);
	message_put_u64(&writer, 5);
	assert_int_equal(channel_send(a, MESSAGE_PREPARE, &writer, ends, 2), CHANNEL_OK);
	message_writer_init(&writer);
	assert_int_equal(channel_send(a, MESSAGE_READY, &writer, NULL, 0), CHANNEL_OK);
	assert_int_equal(channel_read(b, hear, &heard), CHANNEL_OK);
	assert_int_equal(heard.messages, 2);
	assert_int_equal(heard.bytes, 8);
	assert_int_equal(heard.descriptors, 2);
	assert_int_equal(heard.last, MESSAGE_READY);
	struct stat status;
	assert_int_equal(fstat(heard.kept, &status), 0);
	assert_true(S_ISFIFO(status.st_mode));
	close(heard.kept);
	channel_free(a);
	assert_int_equal(channel_read(b, hear, &heard), CHANNEL_CLOSED);
	channel_free(b);
}

static void test_a_message_larger_than_the_socket_goes_in_pieces(void **state)
{
	(void)state;
	struct channel *a, *b;
	struct heard heard = { 0 };
	struct message_writer writer;
	open_pair(&a, &b, true);
	char *large = calloc(1, 3 << 20);
	message_writer_init(&writer);
	message_put_bytes(&writer, large, 3 << 20);
	free(large);
	assert_int_equal(channel_send(a, MESSAGE_PREPARE, &writer, NULL, 0), CHANNEL_OK);
	assert_true(channel_wants_write(a));
	for (int i = 0; i < 1000 && heard.messages == 0; i++) {
		assert_int_equal(channel_read(b, hear, &heard), CHANNEL_OK);
		assert_int_equal(channel_flush(a), CHANNEL_OK);
	}
	assert_int_equal(heard.messages, 1);
	assert_int_equal(heard.bytes, 3 << 20);
	assert_false(channel_wants_write(a));
	channel_free(a);
	channel_free(b);
}

/* The control process takes no descriptor from a worker. */
static void test_descriptors_are_refused_where_none_are_taken(void **state)
{
	(void)state;
	struct channel *a, *b;
	struct heard heard = { 0 };
	struct message_writer writer;
	open_pair(&a, &b, false);
	int descriptor = dup(0);
	message_writer_init(&writer);
	assert_int_equal(channel_send(a, MESSAGE_READY, &writer, &descriptor, 1), CHANNEL_OK);
	assert_int_equal(channel_read(b, hear, &heard), CHANNEL_PROTOCOL);
	assert_int_equal(heard.messages, 0);
	channel_free(a);
	channel_free(b);
}

static void test_a_frame_that_claims_too_much_is_refused(void **state)
{
	(void)state;
	int ends[2];
	struct heard heard = { 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct channel *b = channel_create(ends[1], false);
	uint32_t frame[2] = { MESSAGE_SIZE_MAX + 1, 64 };
	assert_int_equal(write(ends[0], frame, sizeof(frame)), sizeof(frame));
	assert_int_equal(channel_read(b, hear, &heard), CHANNEL_PROTOCOL);
	close(ends[0]);
	channel_free(b);
}

static int write_frames(int end, uint32_t length, size_t count)
{
	struct {
		uint32_t length;
		uint16_t type, descriptors;
		uint8_t body[1016];
	} frame = { .length = length, .type = MESSAGE_STATE };
	for (size_t i = 0; i < count; i++)
		if (send(end, &frame, 8 + length, MSG_DONTWAIT) != (ssize_t)(8 + length))
			return (int)i;
	return (int)count;
}

/* An end that writes for ever has its turn and no more (P7). */
static void test_a_turn_of_reading_is_bounded(void **state)
{
	(void)state;
	int ends[2], size = 1 << 20;
	struct heard heard = { 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	struct channel *b = channel_create(ends[1], false);
	int written = write_frames(ends[0], 1016, 1024);
	assert_true(written > 2 * (int)(CHANNEL_TURN_BYTES / 1024));
	assert_int_equal(channel_read(b, hear, &heard), CHANNEL_OK);
	assert_in_range(heard.messages, 1, CHANNEL_TURN_BYTES / 1024 + 4);
	for (int i = 0; i < 100; i++)
		assert_int_equal(channel_read(b, hear, &heard), CHANNEL_OK);
	assert_int_equal(heard.messages, written);
	close(ends[0]);
	channel_free(b);
}

static void test_nothing_is_looked_at_behind_a_message_that_was_refused(void **state)
{
	(void)state;
	int ends[2];
	struct heard heard = { .is_enough = true };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct channel *b = channel_create(ends[1], false);
	assert_int_equal(write_frames(ends[0], 8, 10), 10);
	assert_int_equal(channel_read(b, hear, &heard), CHANNEL_PROTOCOL);
	assert_int_equal(heard.messages, 1);
	close(ends[0]);
	channel_free(b);
}

static void test_an_untrusted_end_sends_no_large_message(void **state)
{
	(void)state;
	int ends[2];
	struct heard heard = { 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct channel *b = channel_create(ends[1], false);
	uint32_t frame[2] = { CHANNEL_UNTRUSTED_MAX + 1, 64 };
	assert_int_equal(write(ends[0], frame, sizeof(frame)), sizeof(frame));
	assert_int_equal(channel_read(b, hear, &heard), CHANNEL_PROTOCOL);
	close(ends[0]);
	channel_free(b);
}

/* What waits for an end that does not read is bounded (P6). */
static void test_what_waits_for_the_other_end_is_bounded(void **state)
{
	(void)state;
	struct channel *a, *b;
	struct message_writer writer;
	int result = CHANNEL_OK;
	size_t sent = 0;
	open_pair(&a, &b, true);
	char *large = calloc(1, 1 << 20);
	while (result == CHANNEL_OK && sent < 1000) {
		message_writer_init(&writer);
		message_put_bytes(&writer, large, 1 << 20);
		result = channel_send(a, MESSAGE_PREPARE, &writer, NULL, 0);
		sent++;
	}
	free(large);
	assert_int_equal(result, CHANNEL_FULL);
	assert_in_range(sent, 60, 70);
	channel_free(a);
	channel_free(b);
}

/* Answers PREPARE by pausing, as a worker does that prepares in steps. */
static bool hear_and_pause(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	struct pausing {
		struct heard heard;
		struct channel *channel;
	} *pausing = owner;
	hear(&pausing->heard, type, body, descriptors, count);
	if (type == MESSAGE_PREPARE)
		channel_pause(pausing->channel);
	return true;
}

/* What comes behind a message that paused is handed on by the resume, in order, each with its own descriptors. */
static void test_a_pause_holds_back_what_follows(void **state)
{
	(void)state;
	struct channel *a, *b;
	struct {
		struct heard heard;
		struct channel *channel;
	} pausing = { .heard = { .kept = -1 } };
	struct message_writer writer;
	open_pair(&a, &b, true);
	pausing.channel = b;
	message_writer_init(&writer);
	assert_int_equal(channel_send(a, MESSAGE_PREPARE, &writer, NULL, 0), CHANNEL_OK);
	int descriptor = dup(0);
	message_writer_init(&writer);
	assert_int_equal(channel_send(a, MESSAGE_PREPARE, &writer, &descriptor, 1), CHANNEL_OK);
	message_writer_init(&writer);
	assert_int_equal(channel_send(a, MESSAGE_COMMIT, &writer, NULL, 0), CHANNEL_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(channel_read(b, hear_and_pause, &pausing), CHANNEL_OK);
		assert_int_equal(pausing.heard.messages, 1);
	}
	assert_int_equal(channel_resume(b, hear_and_pause, &pausing), CHANNEL_OK);
	assert_int_equal(pausing.heard.messages, 2);
	assert_int_equal(pausing.heard.last, MESSAGE_PREPARE);
	assert_int_equal(pausing.heard.descriptors, 1);
	close(pausing.heard.kept);
	/* What the socket still held is read by the next read. */
	assert_int_equal(channel_resume(b, hear_and_pause, &pausing), CHANNEL_OK);
	assert_int_equal(channel_read(b, hear_and_pause, &pausing), CHANNEL_OK);
	assert_int_equal(pausing.heard.messages, 3);
	assert_int_equal(pausing.heard.last, MESSAGE_COMMIT);
	/* Not paused any more: what comes next is handed on by the read. */
	message_writer_init(&writer);
	assert_int_equal(channel_send(a, MESSAGE_ABORT, &writer, NULL, 0), CHANNEL_OK);
	assert_int_equal(channel_read(b, hear_and_pause, &pausing), CHANNEL_OK);
	assert_int_equal(pausing.heard.last, MESSAGE_ABORT);
	channel_free(a);
	channel_free(b);
}

/* A frame that says it has descriptors, which never came. */
static void test_descriptors_that_did_not_come_are_a_protocol_error(void **state)
{
	(void)state;
	int ends[2];
	struct heard heard = { 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct channel *b = channel_create(ends[1], true);
	struct {
		uint32_t length;
		uint16_t type, descriptors;
	} frame = { .type = MESSAGE_PREPARE, .descriptors = 1 };
	assert_int_equal(write(ends[0], &frame, sizeof(frame)), sizeof(frame));
	assert_int_equal(channel_read(b, hear, &heard), CHANNEL_PROTOCOL);
	assert_int_equal(heard.messages, 0);
	close(ends[0]);
	channel_free(b);
}

/* A message that could not be written whole is not sent, and its descriptors are closed. */
static void test_a_message_that_failed_is_not_sent(void **state)
{
	(void)state;
	struct channel *a, *b;
	struct heard heard = { 0 };
	struct message_writer writer;
	open_pair(&a, &b, true);
	int descriptor = dup(0);
	message_writer_init(&writer);
	message_put_u64(&writer, 1);
	writer.failed = true;
	assert_int_equal(channel_send(a, MESSAGE_PREPARE, &writer, &descriptor, 1), CHANNEL_MEMORY);
	struct stat status;
	assert_int_equal(fstat(descriptor, &status), -1);
	assert_int_equal(channel_read(b, hear, &heard), CHANNEL_OK);
	assert_int_equal(heard.messages, 0);
	channel_free(a);
	channel_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_arrive_whole_with_their_descriptors),
		cmocka_unit_test(test_a_message_larger_than_the_socket_goes_in_pieces),
		cmocka_unit_test(test_descriptors_are_refused_where_none_are_taken),
		cmocka_unit_test(test_a_frame_that_claims_too_much_is_refused),
		cmocka_unit_test(test_a_turn_of_reading_is_bounded),
		cmocka_unit_test(test_nothing_is_looked_at_behind_a_message_that_was_refused),
		cmocka_unit_test(test_an_untrusted_end_sends_no_large_message),
		cmocka_unit_test(test_what_waits_for_the_other_end_is_bounded),
		cmocka_unit_test(test_a_pause_holds_back_what_follows),
		cmocka_unit_test(test_descriptors_that_did_not_come_are_a_protocol_error),
		cmocka_unit_test(test_a_message_that_failed_is_not_sent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
