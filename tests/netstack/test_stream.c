/* Streams on a good and on a bad link: bytes, ends, resets, windows, back pressure. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "netstack/packet/budget.h"
#include "netstack/stream.h"
#include "tests/netstack/peer.h"

static const struct link_profile good = { .rate = 100e6, .delay = 10 * MS, .queue = 50 * MS };

struct pair {
	struct link *link;
	struct peer client, server;
	struct netstack_listener *listener;
};

static void open_pair(struct pair *pair, const struct link_profile *profile, uint8_t family, uint64_t up, uint64_t down)
{
	pair->link = link_create(1, 256 << 20);
	link_set(pair->link, profile);
	peer_init(&pair->client, pair->link, up);
	peer_init(&pair->server, pair->link, down);
	pair->listener = peer_listen(&pair->server, 1, family, 80);
	assert_int_equal(peer_connect(&pair->client, 0, family, 80), 0);
}

static bool is_over(void *owner)
{
	struct pair *pair = owner;
	return pair->client.is_closed && pair->server.is_closed;
}

static bool is_open(void *owner)
{
	struct pair *pair = owner;
	return pair->client.is_connected && pair->server.is_connected;
}

static void run(struct pair *pair, uint64_t time, bool (*done)(void *owner))
{
	assert_true(link_run(pair->link, link_now(pair->link) + time, done, pair));
}

static void assert_all_arrived(const struct pair *pair)
{
	assert_false(pair->client.is_wrong);
	assert_false(pair->server.is_wrong);
	assert_int_equal(pair->server.received, pair->client.to_send);
	assert_int_equal(pair->client.received, pair->server.to_send);
	assert_int_equal(pair->client.why, NETSTACK_OK);
	assert_int_equal(pair->server.why, NETSTACK_OK);
}

static void transfers_both_ways(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair, &good, AF_INET, 3000000, 5000000);
	run(&pair, 20 * SECOND, is_over);
	assert_all_arrived(&pair);
	assert_int_equal(netstack_memory_used(), 0);
	assert_true(link_run(pair.link, link_now(pair.link) + 10 * SECOND, NULL, NULL));
	assert_int_equal(netstack_deadline(link_side(pair.link, 0)->stack), NETSTACK_NEVER);
	assert_int_equal(netstack_deadline(link_side(pair.link, 1)->stack), NETSTACK_NEVER);
	link_free(pair.link);
}

static void transfers_over_ipv6(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair, &good, AF_INET6, 300000, 500000);
	run(&pair, 20 * SECOND, is_over);
	assert_all_arrived(&pair);
	link_free(pair.link);
}

static void keeps_one_way_open_after_the_other_ended(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair, &good, AF_INET, 1000, 0);
	pair.server.keeps_open = true;
	run(&pair, SECOND, NULL);
	assert_true(pair.server.is_finished);
	assert_false(pair.client.is_closed);
	pair.server.to_send = 2000000;
	pair.server.keeps_open = false;
	peer_pump(&pair.server);
	run(&pair, 20 * SECOND, is_over);
	assert_all_arrived(&pair);
	link_free(pair.link);
}

static void closes_at_once_from_both_ends(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair, &good, AF_INET, 0, 0);
	pair.client.keeps_open = pair.server.keeps_open = true;
	run(&pair, SECOND, is_open);
	pair.client.keeps_open = pair.server.keeps_open = false;
	peer_pump(&pair.client);
	peer_pump(&pair.server);
	run(&pair, 20 * SECOND, is_over);
	assert_all_arrived(&pair);
	link_free(pair.link);
}

static void is_refused_where_nobody_listens(void **state)
{
	struct link *link = link_create(1, 64 << 20);
	struct peer peer;

	(void)state;
	link_set(link, &good);
	peer_init(&peer, link, 0);
	assert_int_equal(peer_connect(&peer, 0, AF_INET, 81), 0);
	link_run(link, link_now(link) + SECOND, NULL, NULL);
	assert_true(peer.is_closed);
	assert_int_equal(peer.why, NETSTACK_REFUSED);
	link_free(link);
}

static void times_out_when_nobody_answers(void **state)
{
	struct link_profile dead = { .down_until = NETSTACK_NEVER };
	struct link *link = link_create(1, 64 << 20);
	struct peer peer;

	(void)state;
	link_set(link, &dead);
	peer_init(&peer, link, 0);
	assert_int_equal(peer_connect(&peer, 0, AF_INET6, 81), 0);
	uint64_t begin = link_now(link);
	link_run(link, begin + 30 * SECOND, NULL, NULL);
	assert_false(peer.is_closed);
	assert_in_range(link_side(link, 0)->packets, 4, 7);
	link_run(link, begin + 90 * SECOND, NULL, NULL);
	assert_int_equal(peer.why, NETSTACK_TIMED_OUT);
	assert_int_equal(netstack_deadline(link_side(link, 0)->stack), NETSTACK_NEVER);
	link_free(link);
}

static void sends_a_syn_at_once_when_kicked(void **state)
{
	struct link_profile link_profile = good;
	struct link *link = link_create(1, 64 << 20);
	struct peer client, server;

	(void)state;
	link_profile.down_until = 1014 * SECOND;
	link_set(link, &link_profile);
	peer_init(&client, link, 0);
	peer_init(&server, link, 0);
	peer_listen(&server, 1, AF_INET, 80);
	assert_int_equal(peer_connect(&client, 0, AF_INET, 80), 0);
	link_run(link, 1014 * SECOND, NULL, NULL);
	netstack_kick(link_side(link, 0)->stack, link_now(link));
	link_run(link, 1014 * SECOND + 50 * MS, NULL, NULL);
	assert_true(client.is_connected);
	link_free(link);
}

static void goes_on_at_once_when_kicked(void **state)
{
	struct link_profile link_profile = good;
	struct pair pair;

	(void)state;
	link_profile.down_from = 1001 * SECOND;
	link_profile.down_until = 1012 * SECOND;
	open_pair(&pair, &link_profile, AF_INET, 100000000, 0);
	link_run(pair.link, link_profile.down_until, NULL, NULL);
	uint64_t before = pair.server.received;
	netstack_kick(link_side(pair.link, 0)->stack, link_now(pair.link));
	link_run(pair.link, link_profile.down_until + 60 * MS, NULL, NULL);
	assert_true(pair.server.received > before);
	link_free(pair.link);
}

static void is_reset_by_an_abort(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair, &good, AF_INET, 100000000, 0);
	run(&pair, SECOND, NULL);
	netstack_stream_abort(pair.server.stream, link_now(pair.link));
	pair.server.stream = NULL;
	run(&pair, 100 * MS, NULL);
	assert_true(pair.client.is_closed);
	assert_false(pair.server.is_closed);
	assert_int_equal(pair.client.why, NETSTACK_RESET);
	assert_int_equal(netstack_stream_count(link_side(pair.link, 0)->stack), 0);
	assert_int_equal(netstack_stream_count(link_side(pair.link, 1)->stack), 0);
	assert_int_equal(netstack_memory_used(), 0);
	link_free(pair.link);
}

/* A reader that stops holds its sender at the window, and no memory beyond it; when it goes on, so does everything. */
static void stops_for_a_slow_reader(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair, &good, AF_INET, 5000000, 0);
	pair.server.does_not_read = true;
	run(&pair, 60 * SECOND, NULL);
	uint64_t held = pair.server.received;
	assert_in_range(held, 65536, 4000000);
	assert_in_range(netstack_memory_used(), held, 5000000);
	run(&pair, 60 * SECOND, NULL);
	assert_int_equal(pair.server.received, held);
	pair.server.does_not_read = false;
	peer_read(&pair.server);
	run(&pair, 20 * SECOND, is_over);
	assert_all_arrived(&pair);
	link_free(pair.link);
}

/* The window's opening was lost: the sender has to ask. */
static void asks_for_a_window_whose_opening_was_lost(void **state)
{
	struct link_profile link_profile = good;
	struct pair pair;

	(void)state;
	link_profile.down_from = 1030 * SECOND;
	link_profile.down_until = 1031 * SECOND;
	open_pair(&pair, &link_profile, AF_INET, 5000000, 0);
	pair.server.does_not_read = true;
	link_run(pair.link, 1030 * SECOND + 100 * MS, NULL, NULL);
	pair.server.does_not_read = false;
	peer_read(&pair.server);
	run(&pair, 60 * SECOND, is_over);
	assert_all_arrived(&pair);
	link_free(pair.link);
}

/* An idle far end says nothing until it is asked, and answers once then; one that is gone does not. */
static void tells_whether_the_far_end_is_there(void **state)
{
	struct link_profile link_profile = good;
	struct pair pair;

	(void)state;
	link_profile.down_from = 1060 * SECOND;
	link_profile.down_until = 1100 * SECOND;
	open_pair(&pair, &link_profile, AF_INET6, 1000, 1000);
	pair.client.keeps_open = pair.server.keeps_open = true;
	link_run(pair.link, 1020 * SECOND, NULL, NULL);
	uint64_t heard_at = netstack_stream_heard_at(pair.client.stream);
	assert_true(heard_at > 1000 * SECOND && heard_at < 1002 * SECOND);
	link_run(pair.link, 1030 * SECOND, NULL, NULL);
	assert_true(netstack_stream_heard_at(pair.client.stream) == heard_at);
	netstack_stream_probe(pair.client.stream);
	link_run(pair.link, 1040 * SECOND, NULL, NULL);
	heard_at = netstack_stream_heard_at(pair.client.stream);
	assert_true(heard_at > 1030 * SECOND && heard_at < 1031 * SECOND);
	link_run(pair.link, 1070 * SECOND, NULL, NULL);
	netstack_stream_probe(pair.client.stream);
	link_run(pair.link, 1080 * SECOND, NULL, NULL);
	assert_true(netstack_stream_heard_at(pair.client.stream) == heard_at);
	assert_int_equal(pair.server.received + pair.client.received, 2000);
	netstack_stream_abort(pair.client.stream, link_now(pair.link));
	netstack_stream_abort(pair.server.stream, link_now(pair.link));
	link_free(pair.link);
}

/* Refused packets are not lost: nothing is sent twice on a good link. */
static void waits_for_room_in_the_tunnel(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair, &good, AF_INET, 3000000, 3000000);
	for (int i = 0; i < 2; i++)
		link_side(pair.link, i)->has_room_limit = true;
	for (int round = 0; round < 4000 && !is_over(&pair); round++) {
		for (int i = 0; i < 2; i++) {
			link_side(pair.link, i)->room = 8;
			netstack_writable(link_side(pair.link, i)->stack, link_now(pair.link));
		}
		link_run(pair.link, link_now(pair.link) + 2 * MS, NULL, NULL);
	}
	assert_true(is_over(&pair));
	assert_all_arrived(&pair);
	assert_in_range(link_side(pair.link, 0)->data_packets, 3000000 / 1380, 3000000 / 1380 * 11 / 10 + 50);
	link_free(pair.link);
}

/* An acknowledgement that is due waits for room, not for a time that has passed: the loop would spin. */
static void an_acknowledgement_without_room_waits_in_peace(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair, &good, AF_INET, 0, 0);
	pair.client.keeps_open = pair.server.keeps_open = true;
	run(&pair, SECOND, NULL);
	struct receiver *receiver = &pair.server.stream->receiver;
	receiver->quick = 0; /* acknowledgements are delayed from now on */
	pair.client.to_send = 100;
	peer_pump(&pair.client);
	run(&pair, 15 * MS, NULL);
	assert_int_equal(pair.server.received, 100);
	struct link_side *side = link_side(pair.link, 1);
	side->is_refusing = true;
	uint64_t late = link_now(pair.link) + SECOND;
	assert_true(netstack_deadline(side->stack) < late);
	netstack_tick(side->stack, late);
	assert_true(receiver->must_acknowledge);
	assert_int_equal(netstack_deadline(side->stack), NETSTACK_NEVER);
	/* more comes while it waits, and any timer of the stream runs */
	pair.client.to_send = 200;
	peer_pump(&pair.client);
	run(&pair, 2 * SECOND, NULL);
	assert_int_equal(pair.server.received, 200);
	late = link_now(pair.link);
	timer_heap_set(&side->stack->timers, &pair.server.stream->timer, late);
	netstack_tick(side->stack, late);
	assert_int_equal(netstack_deadline(side->stack), NETSTACK_NEVER);
	side->is_refusing = false;
	netstack_writable(side->stack, late);
	assert_false(receiver->must_acknowledge);
	link_free(pair.link);
}

static void delivers_what_was_written_before_a_release(void **state)
{
	struct pair pair;

	(void)state;
	open_pair(&pair, &good, AF_INET, 200000, 0);
	pair.client.keeps_open = true;
	run(&pair, SECOND, is_open);
	assert_int_equal(pair.client.written, 200000);
	netstack_stream_release(pair.client.stream, link_now(pair.link));
	pair.client.stream = NULL;
	run(&pair, SECOND, NULL);
	assert_true(pair.server.is_closed);
	assert_int_equal(pair.server.received, 200000);
	assert_false(pair.server.is_wrong);
	assert_false(pair.client.is_closed);
	assert_int_equal(netstack_stream_count(link_side(pair.link, 0)->stack), 0);
	link_free(pair.link);
}

static void carries_64_streams(void **state)
{
	struct link *link = link_create(1, 64 << 20);
	static struct peer clients[64], servers[64];

	(void)state;
	link_set(link, &good);
	for (int i = 0; i < 64; i++) {
		peer_init(&clients[i], link, 100000);
		peer_init(&servers[i], link, 150000);
		peer_listen(&servers[i], 1, i % 2 ? AF_INET : AF_INET6, (uint16_t)(1000 + i));
		assert_int_equal(peer_connect(&clients[i], 0, i % 2 ? AF_INET : AF_INET6, (uint16_t)(1000 + i)), 0);
	}
	link_run(link, link_now(link) + 10 * SECOND, NULL, NULL);
	for (int i = 0; i < 64; i++) {
		assert_true(clients[i].is_closed && servers[i].is_closed);
		assert_false(clients[i].is_wrong || servers[i].is_wrong);
		assert_int_equal(clients[i].received, 150000);
		assert_int_equal(servers[i].received, 100000);
	}
	assert_int_equal(netstack_memory_used(), 0);
	link_free(link);
}

static void note_memory(void *owner)
{
	size_t *most = owner;
	if (netstack_memory_used() > *most)
		*most = netstack_memory_used();
}

/* All of them want to write half a megabyte at once. */
static void a_budget_holds_for_64_streams(void **state)
{
	struct link *link = link_create(1, 2 << 20);
	struct link_profile slow = { .rate = 20e6, .delay = 20 * MS, .queue = 100 * MS };
	static struct peer clients[64], servers[64];
	size_t most = 0;

	(void)state;
	link_set(link, &slow);
	link_on_step(link, note_memory, &most);
	for (int i = 0; i < 64; i++) {
		peer_init(&clients[i], link, 500000);
		peer_init(&servers[i], link, 0);
		peer_listen(&servers[i], 1, AF_INET, (uint16_t)(1000 + i));
		assert_int_equal(peer_connect(&clients[i], 0, AF_INET, (uint16_t)(1000 + i)), 0);
	}
	link_run(link, link_now(link) + 40 * SECOND, NULL, NULL);
	for (int i = 0; i < 64; i++) {
		assert_true(clients[i].is_closed && servers[i].is_closed);
		assert_false(servers[i].is_wrong);
		assert_int_equal(servers[i].received, 500000);
	}
	assert_in_range(most, 1 << 20, (2 << 20) + 128 * BUDGET_LEAST);
	assert_int_equal(netstack_memory_used(), 0);
	link_free(link);
}

/* P7: streams of a tunnel that nobody reads hold what their tunnel may. Another tunnel's windows stay open, new ones of theirs are small. */
static void stalled_streams_leave_other_stacks_their_windows(void **state)
{
	struct link *stalled = link_create(1, 16 << 20), *other = link_create(2, 16 << 20);
	static struct peer clients[33], servers[33];
	struct peer client, server;

	(void)state;
	link_set(stalled, &good);
	link_set(other, &good);
	for (int i = 0; i < 33; i++) {
		peer_init(&clients[i], stalled, UINT64_MAX);
		peer_init(&servers[i], stalled, 0);
		clients[i].keeps_open = servers[i].keeps_open = servers[i].does_not_read = true;
		peer_listen(&servers[i], 1, AF_INET, (uint16_t)(1000 + i));
		if (i < 32)
			assert_int_equal(peer_connect(&clients[i], 0, AF_INET, (uint16_t)(1000 + i)), 0);
	}
	link_run(stalled, link_now(stalled) + 20 * SECOND, NULL, NULL);
	assert_true(budget_is_spent(&link_side(stalled, 1)->stack->budget));
	assert_true(netstack_memory_used() < 16 << 20);
	assert_int_equal(peer_connect(&clients[32], 0, AF_INET, 1032), 0);
	clients[32].to_send = 0;
	link_run(stalled, link_now(stalled) + 200 * MS, NULL, NULL);
	assert_int_equal(servers[32].stream->receiver.edge, UINT16_MAX);
	peer_init(&client, other, 1000000);
	peer_init(&server, other, 0);
	peer_listen(&server, 1, AF_INET, 80);
	assert_int_equal(peer_connect(&client, 0, AF_INET, 80), 0);
	link_run(other, link_now(other) + 500 * MS, NULL, NULL);
	assert_int_equal(server.received, 1000000);
	link_free(stalled);
	link_free(other);
}

/* The owner ends the stream in the middle of a call. */
static void abort_in_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct peer *peer = owner;

	(void)parts;
	(void)count;
	peer->received += length;
	netstack_stream_abort(peer->stream, link_now(peer->link));
	peer->stream = NULL;
}

static void ignore(void *owner)
{
	(void)owner;
}

static void ignore_bytes(void *owner, size_t bytes)
{
	(void)owner;
	(void)bytes;
}

static void must_not_be_called(void *owner, enum netstack_error why)
{
	(void)owner;
	(void)why;
	fail();
}

static void accept_to_abort(void *owner, struct netstack_stream *stream)
{
	static const struct netstack_stream_events events = { ignore, abort_in_received, ignore, ignore_bytes, must_not_be_called };
	struct peer *peer = owner;

	peer->stream = stream;
	netstack_stream_set_owner(stream, &events, peer);
}

static void may_be_aborted_inside_a_call(void **state)
{
	struct link *link = link_create(1, 64 << 20);
	struct netstack_endpoint at = link_address(1, AF_INET, 80);
	struct netstack_listener *listener;
	struct peer client, server;

	(void)state;
	link_set(link, &good);
	peer_init(&client, link, 100000);
	peer_init(&server, link, 0);
	assert_int_equal(netstack_listen(link_side(link, 1)->stack, &at, accept_to_abort, &server, &listener), 0);
	assert_int_equal(peer_connect(&client, 0, AF_INET, 80), 0);
	link_run(link, link_now(link) + SECOND, NULL, NULL);
	assert_int_equal(client.why, NETSTACK_RESET);
	assert_true(server.received > 0);
	netstack_listener_free(listener);
	link_free(link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transfers_both_ways),
		cmocka_unit_test(transfers_over_ipv6),
		cmocka_unit_test(keeps_one_way_open_after_the_other_ended),
		cmocka_unit_test(closes_at_once_from_both_ends),
		cmocka_unit_test(is_refused_where_nobody_listens),
		cmocka_unit_test(times_out_when_nobody_answers),
		cmocka_unit_test(sends_a_syn_at_once_when_kicked),
		cmocka_unit_test(goes_on_at_once_when_kicked),
		cmocka_unit_test(is_reset_by_an_abort),
		cmocka_unit_test(stops_for_a_slow_reader),
		cmocka_unit_test(asks_for_a_window_whose_opening_was_lost),
		cmocka_unit_test(tells_whether_the_far_end_is_there),
		cmocka_unit_test(waits_for_room_in_the_tunnel),
		cmocka_unit_test(an_acknowledgement_without_room_waits_in_peace),
		cmocka_unit_test(delivers_what_was_written_before_a_release),
		cmocka_unit_test(carries_64_streams),
		cmocka_unit_test(a_budget_holds_for_64_streams),
		cmocka_unit_test(stalled_streams_leave_other_stacks_their_windows),
		cmocka_unit_test(may_be_aborted_inside_a_call),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
