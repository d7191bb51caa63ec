/* One worker's channel: what it may send, and what ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/service/bench_worker.h"

#define TURNS_MOST 1000 /* against a hang only */

static unsigned readies, messages;
static bool is_refused;

static void on_ready(void *owner, struct worker *worker)
{
	(void)owner, (void)worker;
	readies++;
}

static bool on_message(void *owner, struct worker *worker, enum message_type type, struct message_reader *body)
{
	(void)owner, (void)worker, (void)type, (void)body;
	messages++;
	return !is_refused;
}

/* Sends it something, so that its channel is read. */
static void talk(void)
{
	struct message_writer writer;
	message_writer_init(&writer);
	worker_send(&bench.worker, MESSAGE_SHUTDOWN, &writer, NULL, 0);
}

static int set_up(void **state)
{
	readies = messages = 0;
	is_refused = false;
	bench_worker_set_up(state);
	bench.supervisor.events = (struct supervisor_events){ .ready = on_ready, .message = on_message };
	talk();
	return 0;
}

static int tear_down(void **state)
{
	worker_answer_gone(&bench.worker);
	return bench_worker_tear_down(state);
}

static void turn(void)
{
	for (int i = 0; i < 3; i++)
		uv_run(&bench.loop, UV_RUN_NOWAIT);
}

static void send_it(enum message_type type, struct message_writer *writer)
{
	assert_int_equal(channel_send(bench.far_end, type, writer, NULL, 0), CHANNEL_OK);
	turn();
}

static void send_empty(enum message_type type)
{
	struct message_writer writer;
	message_writer_init(&writer);
	send_it(type, &writer);
}

static void send_probed(uint64_t request)
{
	const struct message_probed probed = { .request = request, .slot = 3, .generation = 4 };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_probed(&writer, &probed);
	send_it(MESSAGE_PROBED, &writer);
}

static void assert_killed(void)
{
	assert_int_equal(bench.kills, 1);
	assert_int_equal(bench.worker.state, WORKER_DYING);
	assert_null(bench.worker.channel);
}

static void ready_is_said_once(void **state)
{
	(void)state;
	bench.worker.state = WORKER_STARTING;
	send_empty(MESSAGE_READY);
	assert_int_equal(readies, 1);
	assert_int_equal(supervisor_ready_count(&bench.supervisor), 1);
	assert_true(worker_is_ready(&bench.worker));
	send_empty(MESSAGE_READY);
	assert_killed();
	assert_int_equal(readies, 1);
	assert_int_equal(supervisor_ready_count(&bench.supervisor), 0);
}

static void ready_has_no_body(void **state)
{
	struct message_writer writer;
	const struct message_ack ack = { .slot = 1 };
	(void)state;
	bench.worker.state = WORKER_STARTING;
	message_writer_init(&writer);
	message_encode_ack(&writer, &ack);
	send_it(MESSAGE_READY, &writer);
	assert_int_equal(readies, 0);
	assert_killed();
}

static void answers_that_cannot_be_decoded_end_it(void **state)
{
	static const enum message_type types[] = { MESSAGE_PREPARED, MESSAGE_DONE, MESSAGE_PROBED };
	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		bench.kills = 0;
		send_empty(types[i]);
		assert_killed();
		bench_worker_replace();
		talk();
	}
}

static unsigned answers;

static void on_answer(void *owner, const struct worker_reply *reply)
{
	(void)owner, (void)reply;
	answers++;
}

static void a_probes_result_is_news_and_an_answer(void **state)
{
	struct worker_request request = { .slot = 3, .generation = 4, .reply = MESSAGE_PROBED, .handler = on_answer };
	(void)state;
	answers = 0;
	send_probed(0);
	assert_int_equal(messages, 1);
	assert_int_equal(answers, 0);
	worker_expect(&bench.worker, &request);
	send_probed(request.number);
	assert_int_equal(messages, 2);
	assert_int_equal(answers, 1);
	/* One that is no answer to anything is dropped. */
	send_probed(77);
	assert_int_equal(bench.kills, 0);
	is_refused = true;
	send_probed(0);
	assert_killed();
}

static void what_the_service_refuses_ends_it(void **state)
{
	(void)state;
	send_empty(MESSAGE_STATE);
	assert_int_equal(messages, 1);
	assert_int_equal(bench.kills, 0);
	is_refused = true;
	send_empty(MESSAGE_STATE);
	assert_killed();
}

static void an_answer_of_another_kind_ends_it(void **state)
{
	static struct worker_request request = { .slot = 3, .generation = 4, .reply = MESSAGE_PREPARED, .handler = on_answer };
	struct message_writer writer;
	(void)state;
	worker_expect(&bench.worker, &request);
	const struct message_ack ack = { .request = request.number, .slot = 3, .generation = 4 };
	message_writer_init(&writer);
	message_encode_ack(&writer, &ack);
	send_it(MESSAGE_DONE, &writer);
	assert_killed();
}

static void bytes_that_are_no_message_end_it(void **state)
{
	static const char bytes[64] = { (char)0xff, (char)0xff, (char)0xff, (char)0xff };
	(void)state;
	assert_int_equal(send(channel_descriptor(bench.far_end), bytes, sizeof(bytes), 0), sizeof(bytes));
	turn();
	assert_killed();
}

static void a_closed_channel_ends_it(void **state)
{
	(void)state;
	shutdown(channel_descriptor(bench.far_end), SHUT_RDWR);
	turn();
	assert_killed();
}

/* At the end that is what it was told to do. */
static void at_the_end_a_closed_channel_is_no_fault(void **state)
{
	(void)state;
	bench.supervisor.stops = true;
	shutdown(channel_descriptor(bench.far_end), SHUT_RDWR);
	turn();
	assert_int_equal(bench.kills, 0);
	assert_null(bench.worker.channel);
	assert_int_equal(bench.worker.state, WORKER_READY);
}

/* P7 */
static void too_many_messages_end_it(void **state)
{
	(void)state;
	bench.worker.messages = (struct allowance){ 0 };
	uint64_t known = uv_now(&bench.loop);
	for (unsigned i = 0; i < 2 * WORKER_MESSAGES_BURST && bench.kills == 0; i++) {
		struct message_writer writer;
		message_writer_init(&writer);
		assert_int_equal(channel_send(bench.far_end, MESSAGE_STATE, &writer, NULL, 0), CHANNEL_OK);
		if (i % 64 != 0)
			continue;
		/* However slow the machine is, nothing becomes available again. */
		uv_update_time(&bench.loop);
		bench.worker.messages.whole_at += (uv_now(&bench.loop) - known) * 1000000;
		known = uv_now(&bench.loop);
		uv_run(&bench.loop, UV_RUN_NOWAIT);
	}
	assert_killed();
	assert_in_range(messages, WORKER_MESSAGES_BURST, 2 * WORKER_MESSAGES_BURST);
}

static void what_is_sent_to_none_is_closed(void **state)
{
	struct message_writer writer;
	int ends[2];
	(void)state;
	worker_kill(&bench.worker, "the test says so");
	worker_kill(&bench.worker, "it is dead already");
	assert_int_equal(bench.kills, 1);
	assert_int_equal(pipe(ends), 0);
	message_writer_init(&writer);
	worker_send(&bench.worker, MESSAGE_GRANTED, &writer, &ends[1], 1);
	char byte;
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
	assert_int_equal(worker_queued_descriptors(&bench.worker), 0);
}

/* It reads nothing: what is queued for it is bounded. */
static void one_that_does_not_read_is_ended(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100 && bench.worker.fault == NULL; i++) {
		struct message_writer writer;
		message_writer_init(&writer);
		static char much[1 << 20];
		message_put_bytes(&writer, much, sizeof(much));
		worker_send(&bench.worker, MESSAGE_RESOLVED, &writer, NULL, 0);
	}
	assert_string_equal(bench.worker.fault, "it does not read");
	turn();
	assert_killed();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(ready_is_said_once),
		TEST(ready_has_no_body),
		TEST(answers_that_cannot_be_decoded_end_it),
		TEST(a_probes_result_is_news_and_an_answer),
		TEST(what_the_service_refuses_ends_it),
		TEST(an_answer_of_another_kind_ends_it),
		TEST(bytes_that_are_no_message_end_it),
		TEST(a_closed_channel_ends_it),
		TEST(at_the_end_a_closed_channel_is_no_fault),
		TEST(too_many_messages_end_it),
		TEST(what_is_sent_to_none_is_closed),
		TEST(one_that_does_not_read_is_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
