/* Requests to the control process, which the test plays: how many are on their way, which answer is whose, and who closes what comes too late. */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/tunnel/rig.h"
#include "tunnel/descriptor_request.h"

static struct {
	unsigned granted;
	int status, descriptor;
	void *owner;
} seen;

static void on_granted(void *owner, enum message_status status, int descriptor)
{
	seen.granted++;
	seen.status = (int)status;
	seen.descriptor = descriptor;
	seen.owner = owner;
}

static struct descriptor_request *ask(uint32_t slot, void *owner)
{
	struct message_want message = { .slot = slot, .generation = 7, .index = 5 };
	struct descriptor_request *want = descriptor_request_ask(&rig.context, MESSAGE_WANT_DIAL, &message, on_granted, owner);
	assert_non_null(want);
	return want;
}

/* The request of the message that was sent as number `index`. */
static uint64_t sent(size_t index)
{
	struct message_want message;
	assert_true(index < rig.sent_count && rig.sent[index].type == MESSAGE_WANT_DIAL);
	struct message_reader reader = { .bytes = rig.sent[index].bytes, .left = rig.sent[index].length };
	assert_true(message_decode_want(&reader, &message));
	assert_int_equal(message.index, 5);
	return message.request;
}

static void answer(uint64_t request, uint32_t slot, uint64_t generation, enum message_status status, int descriptor)
{
	struct message_ack ack = { .request = request, .slot = slot, .generation = generation, .status = (uint8_t)status };
	descriptor_request_answer(&rig.context, &ack, descriptor);
}

static bool is_open(int descriptor)
{
	return fcntl(descriptor, F_GETFD) >= 0;
}

static int start(void **state)
{
	seen.granted = 0;
	return rig_start(state);
}

static void an_answer_goes_to_who_asked(void **state)
{
	int first, second, descriptor = dup(0);
	(void)state;
	ask(3, &first);
	ask(3, &second);
	answer(sent(1), 3, 7, MESSAGE_STATUS_OK, descriptor);
	assert_int_equal(seen.granted, 1);
	assert_ptr_equal(seen.owner, &second);
	assert_int_equal(seen.status, MESSAGE_STATUS_OK);
	assert_int_equal(seen.descriptor, descriptor);
	assert_true(is_open(descriptor));
	close(descriptor);
	answer(sent(0), 3, 7, MESSAGE_STATUS_UNREACHABLE, -1);
	assert_ptr_equal(seen.owner, &first);
	assert_int_equal(seen.status, MESSAGE_STATUS_UNREACHABLE);
	assert_null(rig.context.wants);
}

/* No success without a socket. */
static void an_answer_without_a_descriptor_is_a_refusal(void **state)
{
	(void)state;
	ask(3, NULL);
	answer(sent(0), 3, 7, MESSAGE_STATUS_OK, -1);
	assert_int_equal(seen.granted, 1);
	assert_int_equal(seen.status, MESSAGE_STATUS_REFUSED);
	assert_int_equal(seen.descriptor, -1);
}

/* Of another request, slot or generation, or given twice: closed, and nobody hears of it. */
static void an_answer_that_fits_nothing_is_closed(void **state)
{
	(void)state;
	ask(3, NULL);
	uint64_t request = sent(0);
	const struct {
		uint64_t request;
		uint32_t slot;
		uint64_t generation;
	} wrong[] = { { request + 1, 3, 7 }, { request, 4, 7 }, { request, 3, 8 } };
	for (size_t i = 0; i < 3; i++) {
		int descriptor = dup(0);
		answer(wrong[i].request, wrong[i].slot, wrong[i].generation, MESSAGE_STATUS_OK, descriptor);
		assert_false(is_open(descriptor));
	}
	assert_int_equal(seen.granted, 0);
	answer(request, 3, 7, MESSAGE_STATUS_REFUSED, -1);
	assert_int_equal(seen.granted, 1);
	int descriptor = dup(0);
	answer(request, 3, 7, MESSAGE_STATUS_OK, descriptor);
	assert_false(is_open(descriptor));
	assert_int_equal(seen.granted, 1);
}

/* Who gave up hears nothing, and the far end of what was opened for it gets a reset. */
static void what_comes_for_who_gave_up_is_reset(void **state)
{
	int ends[2];
	(void)state;
	struct descriptor_request *want = ask(3, NULL);
	descriptor_request_cancel(&rig.context, want);
	descriptor_request_cancel(&rig.context, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	answer(sent(0), 3, 7, MESSAGE_STATUS_OK, ends[0]);
	assert_false(is_open(ends[0]));
	assert_int_equal(seen.granted, 0);
	assert_null(rig.context.wants);
	close(ends[1]);
}

/* P6: as many as the control process takes of a slot; the others wait, the oldest first, and other slots do not wait for them. */
static void what_is_unanswered_is_bounded(void **state)
{
	struct descriptor_request *wants[MESSAGE_WANTS_MOST + 3];
	(void)state;
	assert_true(RIG_SENT_MAX >= MESSAGE_WANTS_MOST);
	for (size_t i = 0; i < MESSAGE_WANTS_MOST + 3; i++)
		wants[i] = ask(3, &wants[i]);
	assert_int_equal(rig.sent_count, MESSAGE_WANTS_MOST);
	uint64_t first = sent(0);
	rig.sent_count = 0;
	ask(4, NULL);
	assert_int_equal(rig.sent_count, 1);
	/* One that was not sent yet can be taken back whole, and is never sent. */
	descriptor_request_cancel(&rig.context, wants[MESSAGE_WANTS_MOST]);
	rig.sent_count = 0;
	answer(first, 3, 7, MESSAGE_STATUS_REFUSED, -1);
	assert_ptr_equal(seen.owner, &wants[0]);
	assert_int_equal(rig.sent_count, 1);
	answer(sent(0), 3, 7, MESSAGE_STATUS_REFUSED, -1);
	assert_ptr_equal(seen.owner, &wants[MESSAGE_WANTS_MOST + 1]);
	/* One that gave up still holds its place until it is answered. */
	descriptor_request_cancel(&rig.context, wants[1]);
	assert_int_equal(rig.sent_count, 2);
	for (uint64_t request = first + 1; request < first + MESSAGE_WANTS_MOST + 4; request++)
		answer(request, request == first + MESSAGE_WANTS_MOST + 3 ? 4 : 3, 7, MESSAGE_STATUS_REFUSED, -1);
	assert_null(rig.context.wants);
}

/* An answer that comes before the question was sent is none. */
static void what_was_not_sent_has_no_answer(void **state)
{
	(void)state;
	for (size_t i = 0; i <= MESSAGE_WANTS_MOST; i++)
		ask(3, NULL);
	uint64_t first = sent(0);
	answer(first + MESSAGE_WANTS_MOST, 3, 7, MESSAGE_STATUS_REFUSED, -1);
	assert_int_equal(seen.granted, 0);
	rig.sent_count = 0;
	for (uint64_t request = first; request <= first + MESSAGE_WANTS_MOST; request++)
		answer(request, 3, 7, MESSAGE_STATUS_REFUSED, -1);
	assert_int_equal(seen.granted, MESSAGE_WANTS_MOST + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(an_answer_goes_to_who_asked),           TEST(an_answer_without_a_descriptor_is_a_refusal),
		TEST(an_answer_that_fits_nothing_is_closed), TEST(what_comes_for_who_gave_up_is_reset),
		TEST(what_is_unanswered_is_bounded),         TEST(what_was_not_sent_has_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
