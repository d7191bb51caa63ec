/* Segments that no far end sends, in every state in which lwIP keeps a connection. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netstack/assertion.h"
#include "netstack/packet/packet.h"
#include "netstack/stream.h"
#include "tests/netstack/craft.h"
#include "tests/netstack/peer.h"

#define HALF 0x80000000u
#define FIRST 1000u

/* A far end played by hand. Side 0 of the link never hears the answers. */
struct bench {
	struct link *link;
	struct peer peer; /* ours */
	struct netstack_endpoint from, to;
	uint32_t next, acknowledgement; /* the far end's */
	size_t answers;
	uint8_t flags; /* of the last answer */
};

static void note_answer(void *owner, const uint8_t *packet, size_t length)
{
	struct bench *bench = owner;

	(void)length;
	bench->answers++;
	bench->flags = packet[33];
	if (bench->flags & SEGMENT_SYN)
		bench->acknowledgement = packet_read32(packet + 24) + 1;
}

static void init(struct bench *bench)
{
	memset(bench, 0, sizeof(*bench));
	bench->link = link_create(1, 64 << 20);
	bench->next = FIRST;
	peer_init(&bench->peer, bench->link, 0);
	bench->peer.keeps_open = true;
	struct link_side *side = link_side(bench->link, 1);
	side->spy = note_answer;
	side->spy_owner = bench;
	side->out.down_until = NETSTACK_NEVER;
}

/* Relative to the numbers that are right. */
static void give(struct bench *bench, uint8_t flags, uint32_t ahead, uint32_t acknowledgement, size_t length)
{
	static const uint8_t payload[1000];
	uint8_t packet[2000];
	struct craft_tcp tcp = { .sequence = bench->next + ahead,
		                 .acknowledgement = bench->acknowledgement + acknowledgement,
		                 .flags = flags,
		                 .window = 60000,
		                 .payload = payload,
		                 .length = length };

	bench->answers = 0;
	bench->flags = 0;
	size_t size = craft_tcp(packet, &bench->from, &bench->to, &tcp);
	netstack_input(link_side(bench->link, 1)->stack, packet, size, link_now(bench->link));
	netstack_settle(link_side(bench->link, 1)->stack, link_now(bench->link));
}

static size_t stream_count(const struct bench *bench)
{
	return netstack_stream_count(link_side(bench->link, 1)->stack);
}

static void pass(struct bench *bench, uint64_t time)
{
	link_run(bench->link, link_now(bench->link) + time, NULL, NULL);
}

/* --- each state --- */

static void to_listen(struct bench *bench)
{
	init(bench);
	bench->from = link_address(0, AF_INET, 4000);
	bench->to = link_address(1, AF_INET, 80);
	peer_listen(&bench->peer, 1, AF_INET, 80);
}

static void to_syn_received(struct bench *bench)
{
	to_listen(bench);
	give(bench, SEGMENT_SYN, (uint32_t)-1, 0, 0);
	assert_int_equal(bench->flags, SEGMENT_SYN | SEGMENT_ACK);
}

static void to_syn_sent(struct bench *bench)
{
	init(bench);
	assert_int_equal(peer_connect(&bench->peer, 1, AF_INET, 80), 0);
	bench->from = link_address(0, AF_INET, 80);
	netstack_stream_local(bench->peer.stream, &bench->to);
}

static void to_established(struct bench *bench)
{
	to_syn_received(bench);
	give(bench, SEGMENT_ACK, 0, 0, 0);
	assert_non_null(bench->peer.stream);
}

static void finish(struct bench *bench)
{
	netstack_stream_finish(bench->peer.stream, link_now(bench->link));
	netstack_settle(link_side(bench->link, 1)->stack, link_now(bench->link));
	pass(bench, MS);
}

static void to_fin_wait_1(struct bench *bench)
{
	to_established(bench);
	finish(bench);
}

static void to_fin_wait_2(struct bench *bench)
{
	to_fin_wait_1(bench);
	bench->acknowledgement++;
	give(bench, SEGMENT_ACK, 0, 0, 0);
}

static void to_closing(struct bench *bench)
{
	to_fin_wait_1(bench);
	give(bench, SEGMENT_ACK | SEGMENT_FIN, 0, 0, 0);
	bench->next++;
}

static void to_close_wait(struct bench *bench)
{
	to_established(bench);
	give(bench, SEGMENT_ACK | SEGMENT_FIN, 0, 0, 0);
	bench->next++;
}

static void to_last_ack(struct bench *bench)
{
	to_close_wait(bench);
	finish(bench);
}

static void to_time_wait(struct bench *bench)
{
	to_fin_wait_2(bench);
	give(bench, SEGMENT_ACK | SEGMENT_FIN, 0, 0, 0);
	bench->next++;
	assert_true(bench->peer.is_closed);
}

static void (*const states[])(struct bench *) = {
	to_listen, to_syn_received, to_syn_sent, to_established, to_fin_wait_1, to_fin_wait_2, to_closing, to_close_wait, to_last_ack, to_time_wait,
};

/* --- what must not happen --- */

/* P7: lwIP's assertion of an "insane offset" ended the process. */
static void a_byte_half_the_numbers_ahead_opens_nothing(void **state)
{
	struct bench bench;

	(void)state;
	to_syn_received(&bench);
	give(&bench, SEGMENT_ACK, HALF, 0, 1);
	assert_int_equal(stream_count(&bench), 0);
	assert_int_equal(bench.flags, SEGMENT_ACK);
	give(&bench, SEGMENT_ACK, 0, 0, 0);
	assert_int_equal(stream_count(&bench), 1);
	link_free(bench.link);
}

/* P7: every mix of flags, at the edges of the numbers and of the window, in every state. */
static void no_segment_ends_the_process(void **state)
{
	static const uint32_t edges[] = { 0,
		                          1,
		                          2,
		                          500,
		                          65534,
		                          65535,
		                          65536,
		                          HALF - 1001,
		                          HALF - 2,
		                          HALF - 1,
		                          HALF,
		                          HALF + 1,
		                          HALF + 1000,
		                          (uint32_t)-65536,
		                          (uint32_t)-1001,
		                          (uint32_t)-1000,
		                          (uint32_t)-2,
		                          (uint32_t)-1 };
	static const uint32_t acknowledgements[] = { 0, 1, HALF - 1, HALF, HALF + 1, (uint32_t)-1 };
	static const size_t lengths[] = { 0, 1, 2, 1000 };
	enum { EDGES = sizeof(edges) / sizeof(edges[0]), STATES = sizeof(states) / sizeof(states[0]), FLAGS = 32, LENGTHS = 4 };

	(void)state;
	for (unsigned mix = 0; mix < STATES * FLAGS * EDGES * LENGTHS; mix++) {
		struct bench bench;
		states[mix % STATES](&bench);
		for (size_t i = 0; i < sizeof(acknowledgements) / sizeof(acknowledgements[0]); i++)
			give(&bench, (uint8_t)(mix / STATES % FLAGS), edges[mix / STATES / FLAGS % EDGES], acknowledgements[i],
			     lengths[mix / STATES / FLAGS / EDGES]);
		link_free(bench.link);
		assert_int_equal(netstack_memory_used(), 0);
	}
}

/* RFC 9293, 3.10.7.4: the first bytes may overtake each other, and each is acknowledged when it is there. */
static void bytes_that_overtake_the_handshake_arrive(void **state)
{
	struct bench bench;

	(void)state;
	to_syn_received(&bench);
	bench.peer.does_not_read = true;
	give(&bench, SEGMENT_ACK, 100, 0, 1000);
	assert_int_equal(stream_count(&bench), 1);
	give(&bench, SEGMENT_ACK | SEGMENT_FIN, 1100, 0, 10);
	assert_int_equal(bench.peer.unread, 0);
	give(&bench, SEGMENT_ACK, 0, 0, 100);
	assert_int_equal(bench.peer.unread, 1110);
	assert_true(bench.peer.is_finished);
	link_free(bench.link);
}

static void bytes_and_the_end_may_come_with_the_handshake(void **state)
{
	struct bench bench;

	(void)state;
	to_syn_received(&bench);
	give(&bench, SEGMENT_ACK | SEGMENT_FIN, 0, 0, 10);
	assert_int_equal(bench.peer.received, 10);
	assert_true(bench.peer.is_finished);
	assert_int_equal(bench.flags, SEGMENT_ACK);
	link_free(bench.link);
}

static size_t count_challenges(struct bench *bench, int segments)
{
	size_t answers = 0;

	for (int i = 0; i < segments; i++) {
		give(bench, SEGMENT_SYN | SEGMENT_ACK, 10, 0, 1);
		assert_true(bench->answers == 0 || bench->flags == SEGMENT_ACK);
		answers += bench->answers;
	}
	return answers;
}

/* RFC 5961, 3 to 5, and 7: of answers that prove nothing a connection gives one in half a second. */
static void challenges_are_bounded_in_every_state(void **state)
{
	(void)state;
	for (size_t at = 1; at < sizeof(states) / sizeof(states[0]); at++) {
		if (states[at] == to_syn_sent)
			continue; /* answers by RST, RFC 9293, 3.10.7.3 */
		struct bench bench;
		states[at](&bench);
		assert_int_equal(count_challenges(&bench, 300), 1);
		pass(&bench, 498 * MS);
		assert_int_equal(count_challenges(&bench, 300), 0);
		pass(&bench, 2 * MS);
		assert_int_equal(count_challenges(&bench, 300), 1);
		link_free(bench.link);
	}
}

/* CVE-2016-5696: what is left of a limit for all would tell a stranger of other connections, and could be used up. */
static void challenges_of_one_connection_say_nothing_of_another(void **state)
{
	struct bench bench;

	(void)state;
	to_syn_received(&bench);
	uint32_t acknowledgement = bench.acknowledgement;
	for (uint16_t port = 4001; port < 4200; port++) {
		bench.from.port = port;
		give(&bench, SEGMENT_SYN, (uint32_t)-1, 0, 0);
		assert_int_equal(count_challenges(&bench, 2), 1);
	}
	bench.from.port = 4000;
	bench.acknowledgement = acknowledgement;
	assert_int_equal(count_challenges(&bench, 2), 1);
	link_free(bench.link);
}

/* RFC 9293, 3.10.7.3 and .4: a reset is believed at the right place alone. */
static void a_reset_needs_its_place(void **state)
{
	struct bench bench;

	(void)state;
	to_syn_received(&bench);
	give(&bench, SEGMENT_RST, 1, 0, 0);
	assert_int_equal(bench.flags, SEGMENT_ACK);
	give(&bench, SEGMENT_RST, (uint32_t)-1, 0, 0);
	assert_int_equal(bench.answers, 0);
	give(&bench, SEGMENT_RST, 0, 0, 0);
	assert_int_equal(bench.answers, 0);
	give(&bench, SEGMENT_ACK, 0, 0, 0);
	assert_int_equal(bench.flags & SEGMENT_RST, SEGMENT_RST);
	link_free(bench.link);
	to_syn_sent(&bench);
	give(&bench, SEGMENT_RST, 0, 0, 0);
	give(&bench, SEGMENT_RST | SEGMENT_ACK, 0, 1, 0);
	assert_false(bench.peer.is_closed);
	give(&bench, SEGMENT_RST | SEGMENT_ACK, 0, 0, 0);
	assert_true(bench.peer.is_closed);
	assert_int_equal(bench.peer.why, NETSTACK_REFUSED);
	link_free(bench.link);
}

/* lwIP repeats its SYN at once for each, and gives up after seven. */
static void wrong_answers_end_no_connect(void **state)
{
	struct bench bench;

	(void)state;
	to_syn_sent(&bench);
	for (int i = 0; i < 20; i++) {
		give(&bench, SEGMENT_SYN | SEGMENT_ACK, 0, 5, 0);
		assert_int_equal(bench.answers, 1);
		assert_int_equal(bench.flags & SEGMENT_RST, SEGMENT_RST);
	}
	pass(&bench, 2 * SECOND);
	assert_false(bench.peer.is_closed);
	give(&bench, SEGMENT_SYN | SEGMENT_ACK, 0, 0, 0);
	assert_true(bench.peer.is_connected);
	link_free(bench.link);
}

/* Whoever sends a SYN would else keep a forward from coming back. */
static void a_handshake_keeps_no_port_from_a_listener(void **state)
{
	struct netstack_listener *listener, *other;
	struct bench bench;

	(void)state;
	init(&bench);
	bench.from = link_address(0, AF_INET, 4000);
	bench.to = link_address(1, AF_INET, 80);
	listener = peer_listen(&bench.peer, 1, AF_INET, 80);
	give(&bench, SEGMENT_SYN, (uint32_t)-1, 0, 0);
	struct netstack *stack = link_side(bench.link, 1)->stack;
	assert_int_equal(netstack_listen(stack, &bench.to, peer_accept, &bench.peer, &other), NETSTACK_IN_USE);
	netstack_listener_free(listener);
	assert_int_equal(netstack_listen(stack, &bench.to, peer_accept, &bench.peer, &other), 0);
	give(&bench, SEGMENT_ACK, 0, 0, 0); /* it was the other listener's */
	assert_int_equal(bench.flags & SEGMENT_RST, SEGMENT_RST);
	give(&bench, SEGMENT_SYN, (uint32_t)-1, 0, 0);
	assert_int_equal(bench.flags, SEGMENT_SYN | SEGMENT_ACK);
	give(&bench, SEGMENT_ACK, 0, 0, 0);
	assert_int_equal(stream_count(&bench), 1);
	link_free(bench.link);
}

static int told; /* the pipe's end */

static void tell(const char *text)
{
	if (write(told, text, strlen(text)) < 0)
		_exit(1);
}

static void an_assertion_tells_its_text(void **state)
{
	const struct netstack_limits limits = { .memory_budget = 1 << 20, .failed = tell };
	int ends[2], status;
	char text[100] = "";

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		signal(SIGABRT, SIG_DFL); /* cmocka's would go on */
		told = ends[1];
		netstack_start(&limits);
		assertion_lwip_failed("insane offset!");
	}
	close(ends[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "insane offset!");
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_byte_half_the_numbers_ahead_opens_nothing),
		cmocka_unit_test(no_segment_ends_the_process),
		cmocka_unit_test(bytes_that_overtake_the_handshake_arrive),
		cmocka_unit_test(bytes_and_the_end_may_come_with_the_handshake),
		cmocka_unit_test(challenges_are_bounded_in_every_state),
		cmocka_unit_test(challenges_of_one_connection_say_nothing_of_another),
		cmocka_unit_test(a_reset_needs_its_place),
		cmocka_unit_test(wrong_answers_end_no_connect),
		cmocka_unit_test(a_handshake_keeps_no_port_from_a_listener),
		cmocka_unit_test(an_assertion_tells_its_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
