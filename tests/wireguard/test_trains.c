/* Datagrams that are received together, and messages that are sealed together: what comes of them is what comes of them one by one. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"
#include "tunnel/wireguard/aead.h"
#include "tunnel/wireguard/sealing.h"

enum { TRAIN = 150, SIZE = 2048 };

/* --- receiving --- */

/* What arrives at node 1. */
struct train {
	size_t count;
	uint8_t bytes[TRAIN][SIZE];
	size_t lengths[TRAIN];
	union wireguard_endpoint from[TRAIN];
};

static void collect(struct link *link, struct train *train)
{
	struct link_datagram *datagram;

	for (train->count = 0; (datagram = link_take(link)) != NULL; free(datagram)) {
		if (datagram->to.v4.sin_port != link->nodes[1].address.v4.sin_port)
			continue;
		assert_true(train->count < TRAIN);
		memcpy(train->bytes[train->count], datagram->bytes, datagram->length);
		train->lengths[train->count] = datagram->length;
		train->from[train->count++] = datagram->from;
	}
}

static void put(struct train *train, size_t at, const void *bytes, size_t length)
{
	memmove(train->bytes[at], bytes, length); /* perhaps those that are there */
	train->lengths[at] = length;
}

/* Forged, twice, of no session, too short, beyond the last counter, from elsewhere, in another order. */
static void spoil(struct link *link, struct train *train)
{
	for (size_t i = 0; i < train->count; i++) {
		size_t other = link_random(link) % train->count;
		switch (link_random(link) % 16) {
		case 0: train->bytes[i][train->lengths[i] - 1 - link_random(link) % 16] ^= 1; break;
		case 1: put(train, i, train->bytes[other], train->lengths[other]); break;
		case 2: train->bytes[i][4] ^= 1; break;
		case 3: train->lengths[i] = link_random(link) % 40; break;
		case 4: memset(train->bytes[i] + 8, 0xff, 8); break;
		case 5: train->from[i] = link_ipv4(0xc6336401, 7); break;
		case 6: {
			struct train swap = *train;
			put(train, i, swap.bytes[other], swap.lengths[other]);
			put(train, other, swap.bytes[i], swap.lengths[i]);
			break;
		}
		default: break;
		}
	}
}

static void arrive(struct link *link, const struct train *train, bool together)
{
	struct wireguard_datagram list[TRAIN];

	for (size_t i = 0; i < train->count; i++) {
		uint8_t *copy = malloc(train->lengths[i] + 1); /* so that a read beyond the end is seen */
		memcpy(copy, train->bytes[i], train->lengths[i]);
		list[i] = (struct wireguard_datagram){ copy, train->lengths[i], &train->from[i] };
	}
	for (size_t i = 0; i < train->count; i += together ? train->count : 1)
		wireguard_device_receive(link->nodes[1].device, &list[i], together ? train->count : 1, link->now);
	for (size_t i = 0; i < train->count; i++)
		free(list[i].bytes);
}

static void is_same(struct link *a, struct link *b)
{
	struct link_node *one = &a->nodes[1], *other = &b->nodes[1];
	struct wireguard_peer_stats stats[2];

	assert_int_equal(one->delivered, other->delivered);
	assert_int_equal(one->delivered_bytes, other->delivered_bytes);
	assert_memory_equal(one->packet, other->packet, sizeof(one->packet));
	assert_memory_equal(one->sent, other->sent, sizeof(one->sent));
	assert_memory_equal(one->events, other->events, sizeof(one->events));
	assert_memory_equal(one->device->dropped, other->device->dropped, sizeof(one->device->dropped));
	wireguard_peer_stats(link_peer(a, 1, 0), &stats[0], a->now);
	wireguard_peer_stats(link_peer(b, 1, 0), &stats[1], b->now);
	assert_memory_equal(&stats[0], &stats[1], sizeof(stats[0]));
	assert_true(endpoint_equal(wireguard_peer_endpoint(link_peer(a, 1, 0)), wireguard_peer_endpoint(link_peer(b, 1, 0))));
}

static struct link *echoing_link(uint64_t seed)
{
	struct link *link = link_create(2);

	link->random = seed;
	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	link->nodes[1].does_echo = seed % 2 == 0;
	return link;
}

/* Both links have the same seeds, so the same datagrams. */
static void play(struct link *link, unsigned round, bool together)
{
	static struct train train;
	unsigned count = 1 + (unsigned)(link_random(link) % 100);

	for (unsigned i = 0; i < count; i++) {
		/* A handshake among them: its answer, and data under the new keys, come in later rounds. */
		if (round % 3 == 1 && i == count / 2)
			wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
		link_send(link, 0, 1, 20 + link_random(link) % 1400);
	}
	collect(link, &train);
	if (round % 4 != 3)
		spoil(link, &train);
	arrive(link, &train, together);
	link_run(link, 200 * MILLISECOND);
}

static void test_p4_together_is_as_one_by_one(void **state)
{
	(void)state;
	for (unsigned backend = 0; backend < AEAD_BACKENDS; backend++)
		for (uint64_t seed = 1; seed <= 12 && wireguard_aead_select((enum aead_backend)backend); seed++) {
			struct link *links[] = { echoing_link(seed), echoing_link(seed) };
			for (unsigned round = 0; round < 8; round++) {
				for (unsigned i = 0; i < 2; i++)
					play(links[i], round, i == 0);
				is_same(links[0], links[1]);
			}
			assert_true(links[0]->nodes[1].delivered > 0);
			link_free(links[0]);
			link_free(links[1]);
		}
}

/* The first packet's answer takes the last counter of the session, which ends: those behind it are of no session, though they were opened with it. */
static void test_session_that_ends_within_a_train(void **state)
{
	(void)state;
	unsigned delivered[2];

	for (unsigned i = 0; i < 2; i++) {
		static struct train train;
		struct link *link = echoing_link(2);
		for (unsigned n = 0; n < 20; n++)
			link_send(link, 0, 1, 100);
		collect(link, &train);
		unsigned before = link->nodes[1].delivered;
		link_peer(link, 1, 0)->sessions.current->counter = WIREGUARD_REJECT_AFTER_MESSAGES - 5;
		arrive(link, &train, i == 0);
		delivered[i] = link->nodes[1].delivered - before;
		assert_int_equal(delivered[i] + link->nodes[1].device->dropped[WIREGUARD_DROP_UNKNOWN_INDEX], 20);
		link_free(link);
	}
	assert_in_range(delivered[0], 5, 7);
	assert_int_equal(delivered[0], delivered[1]);
}

/* --- sealing --- */

/* A device whose env gathers datagrams, as udp.c does. */
static struct gatherer {
	struct wireguard_device *device;
	struct wireguard_key private_key, public_key;
	union wireguard_endpoint address;
	uint8_t room[TRAIN][SIZE];
	size_t lengths[TRAIN], count, reserved;
	unsigned delivered;
} ends[2];

static void gather_random(void *owner, void *bytes, size_t length)
{
	(void)owner;
	randombytes_buf(bytes, length);
}

static void gather_clock(void *owner, struct timespec *now)
{
	(void)owner;
	*now = (struct timespec){ .tv_sec = 1700000000 };
}

static uint8_t *gather_reserve(void *owner, const union wireguard_endpoint *to, size_t length)
{
	struct gatherer *end = owner;

	assert_true(endpoint_equal(to, &ends[end == &ends[0]].address));
	assert_true(end->count < TRAIN && length <= SIZE);
	end->reserved = length;
	return end->room[end->count];
}

static void gather_commit(void *owner, size_t length)
{
	struct gatherer *end = owner;

	assert_int_equal(length, end->reserved);
	end->lengths[end->count++] = length;
}

static void gather_deliver(void *owner, struct wireguard_peer *peer, uint8_t *packet, size_t length)
{
	struct gatherer *end = owner;
	(void)peer;

	assert_int_equal(length, 100);
	for (size_t i = 20; i < length; i++)
		assert_int_equal(packet[i], 0x77);
	end->delivered++;
}

static void gather_notify(void *owner, struct wireguard_peer *peer, enum wireguard_event event)
{
	(void)owner;
	(void)peer;
	(void)event;
}

static void gather_start(unsigned n)
{
	struct gatherer *end = &ends[n];
	struct wireguard_env env = { end, gather_random, gather_clock, gather_reserve, gather_commit, gather_deliver, gather_notify };
	static const uint8_t floor[12];

	memset(end, 0, sizeof(*end));
	memset(end->private_key.bytes, 0x40 + (int)n, sizeof(end->private_key.bytes));
	end->address = link_ipv4(0xc0000201 + n, 51820);
	assert_int_equal(wireguard_key_public(&end->public_key, &end->private_key), 0);
	assert_int_equal(wireguard_device_create(&end->device, &end->private_key, floor, &env), 0);
}

static struct wireguard_peer *gather_join(unsigned n)
{
	static const struct wireguard_network all = { .family = AF_INET };
	struct wireguard_peer_config config = {
		.public_key = ends[!n].public_key, .endpoint = ends[!n].address, .allowed_ips = &all, .allowed_ip_count = 1
	};
	struct wireguard_peer *peer;

	assert_int_equal(config_add(ends[n].device, &config, NULL, &peer, SECOND), 0);
	return peer;
}

static void gather_send(unsigned n)
{
	uint8_t packet[100];
	struct iovec part = { packet, sizeof(packet) };

	memset(packet, 0x77, sizeof(packet));
	memset(packet, 0, 20);
	packet[0] = 0x45;
	packet[3] = sizeof(packet);
	assert_int_equal(wireguard_device_send(ends[n].device, &part, 1, sizeof(packet), SECOND), WIREGUARD_OK);
}

/* Sends the train. */
static void gather_flush(unsigned n)
{
	struct wireguard_datagram list[TRAIN];

	assert_true(wireguard_sealing_finish());
	for (size_t i = 0; i < ends[n].count; i++)
		list[i] = (struct wireguard_datagram){ ends[n].room[i], ends[n].lengths[i], &ends[n].address };
	size_t count = ends[n].count;
	ends[n].count = 0;
	wireguard_device_receive(ends[!n].device, list, count, SECOND);
}

static struct wireguard_peer *gather_meet(void)
{
	gather_start(0);
	gather_start(1);
	struct wireguard_peer *peer = gather_join(0);
	gather_join(1);
	wireguard_peer_initiate(peer, SECOND);
	gather_flush(0); /* initiation */
	gather_flush(1); /* response */
	gather_flush(0); /* keepalive, which confirms */
	return peer;
}

static void gather_end(void)
{
	for (unsigned n = 0; n < 2; n++) {
		config_forget(ends[n].device);
		wireguard_device_free(ends[n].device);
	}
}

static void test_train_is_sealed_when_it_goes(void **state)
{
	(void)state;
	for (unsigned backend = 0; backend < AEAD_BACKENDS; backend++) {
		if (!wireguard_aead_select((enum aead_backend)backend))
			continue;
		gather_meet();
		for (unsigned count = 1; count <= TRAIN; count += 7) { /* also longer than a batch */
			unsigned before = ends[1].delivered;
			for (unsigned i = 0; i < count; i++)
				gather_send(0);
			gather_flush(0);
			assert_int_equal(ends[1].delivered - before, count);
		}
		gather_end();
	}
}

/* P4: what was written with a session's keys is sealed with them, also when the session ends before the train goes. */
static void test_p4_train_outlives_its_session(void **state)
{
	(void)state;
	for (unsigned backend = 0; backend < AEAD_BACKENDS; backend++) {
		if (!wireguard_aead_select((enum aead_backend)backend))
			continue;
		struct wireguard_peer *peer = gather_meet();
		for (unsigned i = 0; i < 10; i++)
			gather_send(0);
		wireguard_peer_stop(peer);
		gather_flush(0);
		assert_int_equal(ends[1].delivered, 10);
		gather_end();
	}
}

/* Data of both directions and of two devices at a time waits in one list. */
static void test_trains_of_two_devices(void **state)
{
	(void)state;
	gather_meet();
	for (unsigned i = 0; i < 40; i++)
		gather_send(i % 2);
	gather_flush(0);
	gather_flush(1);
	assert_int_equal(ends[0].delivered, 20);
	assert_int_equal(ends[1].delivered, 20);
	gather_end();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		link_test(test_p4_together_is_as_one_by_one), link_test(test_session_that_ends_within_a_train),
		link_test(test_train_is_sealed_when_it_goes), link_test(test_p4_train_outlives_its_session),
		link_test(test_trains_of_two_devices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
