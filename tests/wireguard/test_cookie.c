/* A device under load: which sources get a cookie, when a cookie is valid, and what a flood costs. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"

/* From the side, so that a test sees what a flood would do without making one. */
static void put_under_load(struct link *link, unsigned node)
{
	link->nodes[node].device->load.queue.high_until = link->now + SECOND;
}

static uint64_t dropped(struct link *link, unsigned node, enum wireguard_drop reason)
{
	return link->nodes[node].device->dropped[reason];
}

static struct link_datagram *take_type(struct link *link, uint8_t type)
{
	struct link_datagram *datagram = link_take(link);

	assert_non_null(datagram);
	assert_int_equal(datagram->bytes[0], type);
	return datagram;
}

static void inject(struct link *link, unsigned to, const struct link_datagram *datagram)
{
	link_inject(link, to, &datagram->from, datagram->bytes, datagram->length);
}

static void test_w23_load_comes_of_a_flood_and_lasts_a_second(void **state)
{
	struct link *link = link_create(2);
	struct link_datagram *initiation;
	(void)state;

	link_join(link, 0, 1);
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	initiation = take_type(link, WIREGUARD_INITIATION);
	/* The first one is answered, and its copies are replays that still cost a DH each. */
	for (unsigned i = 0; i < WIREGUARD_LOAD_HIGH; i++)
		inject(link, 1, initiation);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_RESPONSE], 1);
	assert_int_equal(dropped(link, 1, WIREGUARD_DROP_HANDSHAKE), WIREGUARD_LOAD_HIGH - 1);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_COOKIE_REPLY], 0);
	inject(link, 1, initiation);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_COOKIE_REPLY], 1);
	assert_int_equal(dropped(link, 1, WIREGUARD_DROP_COOKIE), 1);
	link->now += SECOND - 1;
	inject(link, 1, initiation);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_COOKIE_REPLY], 2);
	link->now += 1;
	inject(link, 1, initiation);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_COOKIE_REPLY], 2);
	free(initiation);
	link_free(link);
}

static void test_w23_handshake_under_load(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_peer_stats stats;
	(void)state;

	link_join(link, 0, 1);
	put_under_load(link, 1);
	link_send(link, 0, 1, 50);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_COOKIE_REPLY], 1);
	assert_true(sizeof(struct wireguard_message_cookie_reply) < sizeof(struct wireguard_message_response)); /* it amplifies nothing */
	assert_int_equal(link->nodes[1].sent[WIREGUARD_RESPONSE], 0);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 1); /* a cookie is no reason to hurry */
	wireguard_peer_stats(link_peer(link, 0, 1), &stats, link->now);
	assert_int_equal(stats.unanswered, 1);
	assert_int_equal(stats.bytes_received, 64);
	link_run(link, 3500 * MILLISECOND);
	put_under_load(link, 1);
	link_run(link, 900 * MILLISECOND); /* the retry shows the cookie */
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
	assert_int_equal(link->nodes[1].delivered, 1);
	assert_int_equal(link->nodes[1].events[WIREGUARD_ENDPOINT_MOVED], 0);
	assert_non_null(link->nodes[1].device->load.limiter);
	link_run(link, 3 * SECOND);
	assert_null(link->nodes[1].device->load.limiter);
	link_free(link);
}

static void test_w23_initiator_under_load_answers_a_response_with_a_cookie(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	put_under_load(link, 0);
	link_send(link, 0, 1, 50);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_COOKIE_REPLY], 1);
	assert_null(link_peer(link, 0, 1)->sessions.current);
	assert_true(link_peer(link, 1, 0)->cookies.cookie_since != WIREGUARD_NEVER);
	link_run(link, 3500 * MILLISECOND);
	put_under_load(link, 0);
	link_run(link, 900 * MILLISECOND);
	assert_int_equal(link->nodes[1].delivered, 1);
	link_free(link);
}

static void test_w23_no_room_for_a_cookie_reply(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	put_under_load(link, 1);
	link->nodes[1].is_full = true;
	link_send(link, 0, 1, 50);
	link_run(link, SECOND);
	assert_int_equal(dropped(link, 1, WIREGUARD_DROP_COOKIE), 1);
	assert_int_equal(link->nodes[1].sent_bytes, 0);
	link_free(link);
}

static void test_w25_limiter_holds_back_a_source_with_a_cookie(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	put_under_load(link, 1);
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	struct link_datagram *initiation = take_type(link, WIREGUARD_INITIATION);
	inject(link, 1, initiation);
	free(initiation);
	struct link_datagram *cookie = take_type(link, WIREGUARD_COOKIE_REPLY);
	inject(link, 0, cookie);
	free(cookie);
	link_peer(link, 0, 1)->last_sent_handshake = WIREGUARD_NEVER;
	wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
	initiation = take_type(link, WIREGUARD_INITIATION);
	for (unsigned i = 0; i < 10; i++)
		inject(link, 1, initiation);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_RESPONSE], 1);
	assert_int_equal(dropped(link, 1, WIREGUARD_DROP_HANDSHAKE), WIREGUARD_LIMITER_BURST - 1);
	assert_int_equal(dropped(link, 1, WIREGUARD_DROP_RATE), 10 - WIREGUARD_LIMITER_BURST);
	/* With the queue full no cookie helps. */
	link->now += SECOND / 2;
	link->nodes[1].device->load.queue.busy_until = link->now + 2 * SECOND;
	inject(link, 1, initiation);
	assert_int_equal(dropped(link, 1, WIREGUARD_DROP_RATE), 11 - WIREGUARD_LIMITER_BURST);
	free(initiation);
	link_free(link);
}

/* A cookie reply to node 0's initiation that lies in its room. */
static void reply_to_last(struct link *link, struct wireguard_message_cookie_reply *reply)
{
	const struct wireguard_message_initiation *last = (const void *)link->nodes[0].room;

	assert_int_equal(wireguard_cookie_reply(&link->nodes[1].device->checker, &link->nodes[1].device->env, reply, &last->macs, last->sender,
	                                        &link->nodes[0].address, link->now),
	                 0);
}

static void test_w24_which_replies_are_taken(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_message_cookie_reply reply, wrong;
	union wireguard_endpoint from = link->nodes[1].address;
	(void)state;

	link_join(link, 0, 1);
	link->is_cut = true;
	struct wireguard_cookie_maker *maker = &link_peer(link, 0, 1)->cookies;
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	reply_to_last(link, &reply);

	/* Made for another MAC1. */
	struct wireguard_message_initiation *last = (void *)link->nodes[0].room;
	last->macs.mac1[0] ^= 1;
	reply_to_last(link, &wrong);
	link_inject(link, 0, &from, &wrong, sizeof(wrong));
	assert_int_equal(dropped(link, 0, WIREGUARD_DROP_COOKIE), 1);
	assert_true(maker->cookie_since == WIREGUARD_NEVER);
	/* To an index that is not there. */
	wrong = reply;
	wrong.receiver[0] ^= 1;
	link_inject(link, 0, &from, &wrong, sizeof(wrong));
	assert_int_equal(dropped(link, 0, WIREGUARD_DROP_UNKNOWN_INDEX), 1);
	/* The right one, then again: no MAC1 waits for it any more. */
	link_inject(link, 0, &from, &reply, sizeof(reply));
	assert_true(maker->cookie_since == link->now);
	link->now += SECOND;
	link_inject(link, 0, &from, &reply, sizeof(reply));
	assert_int_equal(dropped(link, 0, WIREGUARD_DROP_COOKIE), 2);
	assert_true(maker->cookie_since == link->now - SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 1); /* the retry waits for its timer */
	assert_int_equal(link->nodes[0].events[WIREGUARD_ENDPOINT_MOVED], 0);
	link_free(link);
}

/* Whether an initiation of node 0 at this time, from this address, has a MAC2 that node 1 takes. */
static bool shows_cookie(struct link *link, const union wireguard_endpoint *from)
{
	struct wireguard_message_initiation message;
	const struct wireguard_device *device = link->nodes[1].device;

	link_peer(link, 0, 1)->last_sent_handshake = WIREGUARD_NEVER;
	wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
	memcpy(&message, link->nodes[0].room, sizeof(message));
	struct wireguard_cookie_checker checker = device->checker;
	return wireguard_cookie_has_mac2(&checker, &device->env, (uint8_t *)&message, sizeof(message), from, link->now);
}

static void test_w24_what_a_cookie_is_good_for(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_message_cookie_reply reply;
	(void)state;

	link_join(link, 0, 1);
	link->is_cut = true;
	union wireguard_endpoint from = link->nodes[0].address, port = from, host = from;
	port.v4.sin_port ^= 1;
	host.v4.sin_addr.s_addr ^= 1;
	assert_false(shows_cookie(link, &from));
	reply_to_last(link, &reply);
	link_inject(link, 0, &link->nodes[1].address, &reply, sizeof(reply));
	assert_true(shows_cookie(link, &from));
	assert_false(shows_cookie(link, &port));
	assert_false(shows_cookie(link, &host));
	link->now += 115 * SECOND - 1;
	assert_true(shows_cookie(link, &from));
	link->now += 1;
	assert_false(shows_cookie(link, &from)); /* too old to be shown */

	/* A secret lives two minutes: what was made with it is good for nothing then. */
	reply_to_last(link, &reply);
	link_inject(link, 0, &link->nodes[1].address, &reply, sizeof(reply));
	link->now += 4 * SECOND;
	assert_true(shows_cookie(link, &from));
	link->now += 2 * SECOND;
	assert_false(shows_cookie(link, &from));
	link_free(link);
}

static void test_w24_cookies_over_ipv6(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_message_cookie_reply reply;
	(void)state;

	link_join(link, 0, 1);
	link->is_cut = true;
	link->nodes[0].address = link_ipv6(1, 2, 3);
	union wireguard_endpoint from = link->nodes[0].address, port = from, host = from;
	port.v6.sin6_port ^= 1;
	host.v6.sin6_addr.s6_addr[15] ^= 1;
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	reply_to_last(link, &reply);
	link_inject(link, 0, &link->nodes[1].address, &reply, sizeof(reply));
	assert_true(shows_cookie(link, &from));
	assert_false(shows_cookie(link, &port));
	assert_false(shows_cookie(link, &host));
	link_free(link);
}

/* So many initiations a second from spoofed addresses, each with a valid MAC1, beside a session that sends a packet each millisecond. */
static void flood(struct link *link, struct link_datagram *initiation, unsigned per_second, uint64_t duration)
{
	uint64_t step = 100 * 1000, end = link->now + duration;

	for (unsigned i = 0; link->now < end; i++) {
		for (unsigned j = 0; j < per_second / 10000; j++) {
			union wireguard_endpoint from = link_ipv4((uint32_t)link_random(link), 4);
			receive_one(link->nodes[1].device, initiation->bytes, initiation->length, &from, link->now);
		}
		if (i % 10 == 0)
			link_send(link, 0, 1, 500);
		link_run(link, step);
	}
}

static void test_w26_flood(void **state)
{
	struct link *link = link_create(3);
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	struct wireguard_peer *peer;
	(void)state;

	link_join(link, 0, 1);
	link->delay = MILLISECOND;
	link_handshake(link, 0, 1);
	link->delay = 0;
	/* The flood is a stranger's, who knows node 1's public key. */
	link_config(link, 1, &config, networks);
	assert_int_equal(config_add(link->nodes[2].device, &config, NULL, &peer, link->now), 0);
	wireguard_peer_initiate(peer, link->now);
	struct link_datagram *initiation = take_type(link, WIREGUARD_INITIATION);
	link->nodes[2].address = link_ipv4(0, 0);
	unsigned delivered = link->nodes[1].delivered;
	size_t heap = mallinfo2().uordblks;

	flood(link, initiation, 100000, 2 * SECOND);
	assert_int_equal(link->nodes[1].delivered, delivered + 2000); /* not one is lost */
	/* The work is bounded: an eighth of the queue each time that the load has passed. */
	assert_in_range(dropped(link, 1, WIREGUARD_DROP_UNKNOWN_PEER), WIREGUARD_LOAD_HIGH, 3 * WIREGUARD_LOAD_HIGH);
	assert_int_equal(dropped(link, 1, WIREGUARD_DROP_UNKNOWN_PEER) + dropped(link, 1, WIREGUARD_DROP_COOKIE), 200000);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_COOKIE_REPLY], dropped(link, 1, WIREGUARD_DROP_COOKIE));
	assert_null(link->nodes[1].device->load.limiter);
	assert_true(mallinfo2().uordblks < heap + 16384); /* the allocator's own caches */

	/* Who has a cookie gets through. */
	wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
	flood(link, initiation, 10000, 6 * SECOND);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 2);
	delivered = link->nodes[1].delivered;
	flood(link, initiation, 10000, SECOND);
	assert_int_equal(link->nodes[1].delivered, delivered + 1000);
	free(initiation);
	link_free(link);
}

/* An initiation of a stranger for each victim, who knows its public key. Each victim is flooded from spoofed addresses. */
static void flood_all(struct link *link, struct link_datagram **initiations, unsigned victims, uint64_t duration)
{
	for (uint64_t end = link->now + duration; link->now < end;) {
		for (unsigned i = 0; i < 10 * victims; i++) {
			union wireguard_endpoint from = link_ipv4((uint32_t)link_random(link), 4);
			struct link_datagram *initiation = initiations[i % victims];
			receive_one(link->nodes[i % victims].device, initiation->bytes, initiation->length, &from, link->now);
		}
		link_run(link, MILLISECOND);
	}
}

/* P7: so many tunnels of a worker are flooded together, and it costs little more than a flood of one; a peer's cookie is worth the same. */
static void test_w26_devices_flooded_together(void **state)
{
	enum { VICTIMS = 6, PEER = 6, STRANGER = 7 };
	struct link *link = link_create(8);
	struct wireguard_load_queue shared = { 0 };
	struct link_datagram *initiations[VICTIMS];
	uint64_t read = 0;
	(void)state;

	link_join(link, PEER, 0);
	for (unsigned i = 0; i < VICTIMS; i++) {
		struct wireguard_network networks[2];
		struct wireguard_peer_config config;
		struct wireguard_peer *peer;
		link_config(link, i, &config, networks);
		assert_int_equal(config_add(link->nodes[STRANGER].device, &config, NULL, &peer, link->now), 0);
		wireguard_peer_initiate(peer, link->now);
		initiations[i] = take_type(link, WIREGUARD_INITIATION);
		wireguard_device_share_load(link->nodes[i].device, &shared);
	}
	link->nodes[STRANGER].address = link_ipv4(0, 0);
	flood_all(link, initiations, VICTIMS, 2 * SECOND);
	for (unsigned i = 0; i < VICTIMS; i++)
		read += dropped(link, i, WIREGUARD_DROP_UNKNOWN_PEER);
	assert_in_range(read, 1, 3 * 2 * WIREGUARD_LOAD_HIGH);
	wireguard_peer_initiate(link_peer(link, PEER, 0), link->now);
	flood_all(link, initiations, VICTIMS, 6 * SECOND);
	assert_int_equal(link->nodes[PEER].events[WIREGUARD_HANDSHAKE_COMPLETED], 1);
	for (unsigned i = 0; i < VICTIMS; i++)
		free(initiations[i]);
	link_free(link);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		link_test(test_w23_load_comes_of_a_flood_and_lasts_a_second),
		link_test(test_w23_handshake_under_load),
		link_test(test_w23_initiator_under_load_answers_a_response_with_a_cookie),
		link_test(test_w23_no_room_for_a_cookie_reply),
		link_test(test_w25_limiter_holds_back_a_source_with_a_cookie),
		link_test(test_w24_which_replies_are_taken),
		link_test(test_w24_what_a_cookie_is_good_for),
		link_test(test_w24_cookies_over_ipv6),
		link_test(test_w26_flood),
		link_test(test_w26_devices_flooded_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
