/* Handshakes between devices: which peers get one, and what happens when messages cross, are lost or are duplicated. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/hex.h"
#include "tests/wireguard/link.h"

static void set_preshared(struct link *link, unsigned of, unsigned to, uint8_t byte)
{
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;

	link_config(link, to, &config, networks);
	memset(&config.preshared_key, byte, sizeof(config.preshared_key));
	assert_int_equal(config_change(link_peer(link, of, to), &config, link->now), 0);
}

static void no_session(struct link *link, unsigned initiations, unsigned responses)
{
	link_send(link, 0, 1, 50);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], initiations);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_RESPONSE], responses);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], 0);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_DATA], 0);
	assert_null(link_peer(link, 0, 1)->sessions.current);
}

static bool spoil_mac1(struct link *link, struct link_node *from, uint8_t *bytes, size_t length)
{
	(void)link;
	(void)from;
	bytes[length - 32] ^= 1;
	return true;
}

static void test_w4_wrong_mac1(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link->filter = spoil_mac1;
	no_session(link, 1, 0);
	assert_int_equal(link->nodes[1].device->dropped[WIREGUARD_DROP_MAC1], 1);
	link_free(link);
}

static bool spoil_response(struct link *link, struct link_node *from, uint8_t *bytes, size_t length)
{
	if (bytes[0] == WIREGUARD_RESPONSE)
		spoil_mac1(link, from, bytes, length);
	return true;
}

static void test_w4_wrong_mac1_of_response(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link->filter = spoil_response;
	no_session(link, 1, 1);
	assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_MAC1], 1);
	link_free(link);
}

static void test_w4_unknown_static_key(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	wireguard_peer_remove(link_peer(link, 1, 0));
	no_session(link, 1, 0);
	assert_int_equal(link->nodes[1].device->dropped[WIREGUARD_DROP_UNKNOWN_PEER], 1);
	link_free(link);
}

static void test_w4_preshared_keys_that_differ(void **state)
{
	(void)state;

	for (unsigned both = 0; both < 2; both++) {
		struct link *link = link_create(2);
		link_join(link, 0, 1);
		set_preshared(link, 0, 1, 0xaa);
		if (both)
			set_preshared(link, 1, 0, 0xbb);
		/* The responder learns it only by the silence that follows its response. */
		no_session(link, 1, 1);
		assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_HANDSHAKE], 1);
		set_preshared(link, 1, 0, 0xaa);
		link_run(link, 6 * SECOND);
		assert_int_equal(link->nodes[1].delivered, 1);
		link_free(link);
	}
}

/* The seven points whose shared secret with anyone is zero. */
static const char *const low_order[] = {
	"0000000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

static void test_w5_low_order_peers_are_taken_and_get_nothing(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	struct wireguard_peer *peer;
	struct wireguard_peer_stats stats;
	(void)state;

	link_config(link, 1, &config, networks);
	for (size_t i = 0; i < sizeof(low_order) / sizeof(low_order[0]); i++) {
		hex_read(config.public_key.bytes, 32, low_order[i]);
		assert_int_equal(config_add(link->nodes[0].device, &config, NULL, &peer, link->now), 0);
		assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_STAGED);
		wireguard_peer_initiate(peer, link->now);
		link_run(link, 200 * SECOND);
		assert_int_equal(link->nodes[0].sent_bytes, 0);
		/* Who waits for this tunnel learns that it does not come up. */
		wireguard_peer_stats(peer, &stats, link->now);
		assert_int_equal(stats.unanswered, 20);
		assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_GAVE_UP], i + 1);
		assert_int_equal(link->nodes[0].events[WIREGUARD_INITIATION_SENT], 0);
		wireguard_peer_remove(peer);
	}
	link_free(link);
}

/* Anyone could make an initiation in the name of such a peer, since the secret it shares with all is zero. */
static void test_w5_initiation_of_a_low_order_peer(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	struct wireguard_message_initiation message;
	struct wireguard_peer *peer;
	union wireguard_secrets *slot;
	static const uint8_t zero[32];
	uint8_t low[32], timestamp[12] = { 0x40 };
	(void)state;

	link_config(link, 1, &config, networks);
	hex_read(low, sizeof(low), low_order[2]);
	memcpy(config.public_key.bytes, low, sizeof(low));
	assert_int_equal(config_add(link->nodes[0].device, &config, NULL, &peer, link->now), 0);
	assert_int_equal(wireguard_arena_acquire(&slot, 1), 0);
	memset(slot->handshake.ephemeral, 7, 32);
	struct wireguard_noise noise = { .secrets = slot };
	struct wireguard_noise_local local = { WIREGUARD_NOISE_PROLOGUE, zero, low };
	struct wireguard_noise_remote remote = { link->nodes[0].device->public_key.bytes, zero, zero };
	struct wireguard_cookie_maker maker;
	wireguard_cookie_maker_init(&maker);
	memset(&message, 0, sizeof(message));
	assert_int_equal(wireguard_noise_write_initiation(&noise, &local, &remote, message.ephemeral, timestamp, sizeof(timestamp)), 0);
	wireguard_message_put32(message.header.type, WIREGUARD_INITIATION);
	assert_int_equal(wireguard_cookie_add_macs(&maker, remote.public_key, (uint8_t *)&message, sizeof(message), link->now), 0);
	link_inject(link, 0, &link->nodes[1].address, &message, sizeof(message));
	assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_HANDSHAKE], 1);
	assert_int_equal(link->nodes[0].sent_bytes, 0);
	wireguard_arena_release(&slot, 1);
	link_free(link);
}

static void test_w5_own_key_is_refused(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	struct wireguard_peer *peer = NULL;
	(void)state;

	link_config(link, 0, &config, networks);
	assert_int_equal(config_add(link->nodes[0].device, &config, NULL, &peer, link->now), WIREGUARD_OWN_KEY);
	link_join(link, 0, 1);
	assert_int_equal(config_set_private_key(link->nodes[0].device, &link->nodes[1].private_key, link->now), WIREGUARD_OWN_KEY);
	link_config(link, 1, &config, networks);
	assert_int_equal(config_add(link->nodes[0].device, &config, NULL, &peer, link->now), WIREGUARD_DUPLICATE);
	assert_null(peer);
	link_handshake(link, 0, 1);
	link_free(link);
}

static struct link_datagram *initiation_of(struct link *link, unsigned from, unsigned to)
{
	link_peer(link, from, to)->last_sent_handshake = WIREGUARD_NEVER; /* or it would keep the peer's limit */
	wireguard_peer_reconnect(link_peer(link, from, to), link->now);
	return link_take(link);
}

static void test_w6_replayed_older_and_quick_initiations(void **state)
{
	struct link *link = link_create(2);
	const uint32_t *drops = link->nodes[1].device->dropped;
	(void)state;

	link_join(link, 0, 1);
	struct link_datagram *first = initiation_of(link, 0, 1);
	link_run(link, SECOND);
	struct link_datagram *second = initiation_of(link, 0, 1), *third = initiation_of(link, 0, 1);
	struct wireguard_peer *peer = link_peer(link, 1, 0);

	link_inject(link, 1, &second->from, second->bytes, second->length);
	struct wireguard_tai64n latest = peer->latest_timestamp;
	assert_int_equal(link->nodes[1].sent[WIREGUARD_RESPONSE], 1);
	link->now += 19 * MILLISECOND;
	link_inject(link, 1, &third->from, third->bytes, third->length); /* newer, but within 20 ms */
	link->now += 5 * SECOND;
	link_inject(link, 1, &second->from, second->bytes, second->length); /* replayed */
	link_inject(link, 1, &first->from, first->bytes, first->length);    /* older */
	assert_int_equal(link->nodes[1].sent[WIREGUARD_RESPONSE], 1);
	assert_int_equal(drops[WIREGUARD_DROP_HANDSHAKE], 3);
	assert_memory_equal(&peer->latest_timestamp, &latest, sizeof(latest));
	link_inject(link, 1, &third->from, third->bytes, third->length);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_RESPONSE], 2);
	assert_memory_not_equal(&peer->latest_timestamp, &latest, sizeof(latest));
	free(first);
	free(second);
	free(third);
	link_free(link);
}

static void test_w20_responder_waits_for_the_first_packet(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	struct wireguard_peer *responder = link_peer(link, 1, 0);
	struct wireguard_session *old = responder->sessions.current, *initiators = link_peer(link, 0, 1)->sessions.current;

	link_run(link, 10 * SECOND);
	wireguard_handshake_initiate(link_peer(link, 0, 1), false, link->now);
	link_run(link, link->delay); /* the initiation has come, the response is on its way */
	assert_non_null(responder->sessions.next);
	assert_ptr_equal(responder->sessions.current, old);
	assert_int_equal(link->nodes[1].events[WIREGUARD_HANDSHAKE_COMPLETED], 1);
	/* It goes on sending with the session that is confirmed, and the initiator still takes that when its own has changed. */
	uint64_t counter = old->counter;
	assert_int_equal(link_send(link, 1, 0, 60), WIREGUARD_OK);
	assert_int_equal(old->counter, counter + 1);
	/* What was sent with the old session before the change comes after it. */
	assert_int_equal(link_send(link, 0, 1, 70), WIREGUARD_OK);
	struct link_datagram *response = link_take(link), *data = link_take(link), *late = link_take(link);
	assert_int_equal(response->bytes[0], WIREGUARD_RESPONSE);
	link_inject(link, 0, &response->from, response->bytes, response->length);
	assert_ptr_equal(link_peer(link, 0, 1)->sessions.previous, initiators);
	link_inject(link, 0, &data->from, data->bytes, data->length);
	assert_int_equal(link->nodes[0].packet_length, 60);
	link_run(link, link->delay); /* the keepalive confirms */
	assert_null(responder->sessions.next);
	assert_ptr_equal(responder->sessions.previous, old);
	assert_int_equal(link->nodes[1].events[WIREGUARD_HANDSHAKE_COMPLETED], 2);
	link_inject(link, 1, &late->from, late->bytes, late->length);
	assert_int_equal(link->nodes[1].packet_length, 70);
	free(response);
	free(data);
	free(late);
	link_free(link);
}

static void test_w20_a_new_responder_stages(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	link_run(link, link->delay);
	assert_int_equal(link_send(link, 1, 0, 50), WIREGUARD_STAGED);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_DATA], 0);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_INITIATION], 0); /* it has just answered one */
	link_run(link, 3 * link->delay);
	assert_int_equal(link->nodes[0].delivered, 1);
	link_free(link);
}

static void test_w20_unconfirmed_response_leads_to_an_own_initiation(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	link_run(link, link->delay);
	free(link_take(link)); /* the response is lost, and so is its initiator */
	wireguard_peer_remove(link_peer(link, 0, 1));
	assert_int_equal(link_send(link, 1, 0, 50), WIREGUARD_STAGED);
	link_run(link, 4 * SECOND);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_INITIATION], 0);
	link_run(link, 2 * SECOND);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_INITIATION], 1);
	link_free(link);
}

static void test_w21_simultaneous_initiations(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	for (unsigned round = 0; round < 20; round++) {
		unsigned delivered = link->nodes[0].delivered + link->nodes[1].delivered;
		unsigned initiations = link->nodes[0].sent[WIREGUARD_INITIATION] + link->nodes[1].sent[WIREGUARD_INITIATION];
		link_send(link, 0, 1, 50);
		link_send(link, 1, 0, 50);
		link_run(link, 4 * link->delay);
		/* Both handshakes succeed and no third one is needed. */
		assert_int_equal(link->nodes[0].delivered + link->nodes[1].delivered, delivered + 2);
		assert_in_range(link->nodes[0].sent[WIREGUARD_INITIATION] + link->nodes[1].sent[WIREGUARD_INITIATION], initiations + 1,
		                initiations + 2);
		for (unsigned node = 0; node < 2; node++) {
			assert_int_equal(link_send(link, node, 1 - node, 50), WIREGUARD_OK);
			assert_int_equal(link_send(link, node, 1 - node, 50), WIREGUARD_OK);
		}
		link_run(link, 4 * link->delay);
		assert_int_equal(link->nodes[0].delivered + link->nodes[1].delivered, delivered + 6);
		link_run(link, (150 + round * 7) * SECOND);
	}
	assert_int_equal(link_drops(link, 0) + link_drops(link, 1), 0);
	link_free(link);
}

static void test_w21_lost_response(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link_send(link, 0, 1, 50);
	link_run(link, link->delay);
	free(link_take(link));
	link_run(link, 6 * SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
	assert_int_equal(link->nodes[1].delivered, 1);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 1);
	assert_int_equal(link_peer(link, 0, 1)->timers.attempts, 0);
	link_free(link);
}

static void test_w21_duplicated_response(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_peer_stats before, after;
	(void)state;

	link_join(link, 0, 1);
	link_send(link, 0, 1, 50);
	link_run(link, link->delay);
	struct link_datagram *response = link_take(link);
	link_inject(link, 0, &response->from, response->bytes, response->length);
	struct wireguard_session *session = link_peer(link, 0, 1)->sessions.current;
	wireguard_peer_stats(link_peer(link, 0, 1), &before, link->now);
	link_inject(link, 0, &response->from, response->bytes, response->length);
	wireguard_peer_stats(link_peer(link, 0, 1), &after, link->now);
	assert_ptr_equal(link_peer(link, 0, 1)->sessions.current, session);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_HANDSHAKE], 1);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], 1);
	/* A response that is not ours at all. */
	response->bytes[8] ^= 1;
	link_inject(link, 0, &response->from, response->bytes, response->length);
	assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_MAC1], 1);
	free(response);
	link_free(link);
}

static void test_w22_empty_queue_gives_one_keepalive(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	link_run(link, 30 * SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], 1);
	assert_int_equal(link->nodes[0].largest, 148);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_DATA], 0);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 1);
	assert_int_equal(link->nodes[1].events[WIREGUARD_HANDSHAKE_COMPLETED], 1);
	assert_int_equal(link->nodes[1].delivered, 0);
	/* With a packet waiting there is none besides it. */
	wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
	link_send(link, 0, 1, 50);
	link_run(link, 5 * SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], 2);
	link_free(link);
}

static void test_w28_indices_are_random_unique_and_freed(void **state)
{
	enum { REKEYS = 100000, PLACES = 1 << 20 };
	struct link *link = link_create(2);
	uint32_t *seen = calloc(PLACES, sizeof(*seen));
	uint64_t bits = 0, repeats = 0;
	(void)state;

	link_join(link, 0, 1);
	link->delay = 0;
	for (unsigned i = 0; i < REKEYS / 100; i++) {
		wireguard_peer_reconnect(link_peer(link, i % 2, 1 - i % 2), link->now);
		link_run(link, 25 * MILLISECOND);
		for (unsigned node = 0; node < 2; node++)
			assert_in_range(link->nodes[node].device->indices.used, 1, WIREGUARD_INDICES_PER_PEER);
	}
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], REKEYS / 100);
	/* The table alone, for the rest of them: a handshake costs a quarter of a millisecond. */
	struct wireguard_index indices[3 * WIREGUARD_INDICES_PER_PEER] = { { 0 } };
	struct wireguard_indices table = { 0 };
	assert_int_equal(wireguard_indices_reserve(&table, 3), 0);
	for (unsigned i = 0; i < REKEYS; i++) {
		struct wireguard_index *index = &indices[i % (3 * WIREGUARD_INDICES_PER_PEER)];
		wireguard_indices_remove(&table, index);
		wireguard_indices_add(&table, index, &link->nodes[0].device->env);
		assert_ptr_equal(wireguard_indices_find(&table, index->number), index);
		uint32_t place = index->number * UINT32_C(2654435761) >> 12;
		repeats += seen[place % PLACES] == index->number;
		seen[place % PLACES] = index->number;
		bits += (unsigned)__builtin_popcount(index->number);
	}
	assert_int_equal(table.used, 12);
	assert_in_range(bits, REKEYS * 16 - 3000, REKEYS * 16 + 3000);
	assert_in_range(repeats, 0, 5);
	for (unsigned i = 0; i < 12; i++)
		wireguard_indices_remove(&table, &indices[i]);
	wireguard_indices_clear(&table);
	free(seen);
	link_free(link);
}

static unsigned given;

/* Gives a number that is taken, twice, then another. */
static void repeating_random(void *owner, void *bytes, size_t length)
{
	(void)owner;
	memset(bytes, given++ < 3 ? 5 : 6, length);
}

static void test_w28_a_number_that_is_taken_is_not_given_again(void **state)
{
	struct wireguard_env env = { .random = repeating_random };
	struct wireguard_index indices[2] = { { 0 } };
	struct wireguard_indices table = { 0 };
	(void)state;

	assert_null(wireguard_indices_find(&table, 5));
	assert_int_equal(wireguard_indices_reserve(&table, 1), 0);
	wireguard_indices_add(&table, &indices[0], &env);
	wireguard_indices_add(&table, &indices[1], &env);
	assert_int_equal(indices[0].number, 0x05050505);
	assert_int_equal(indices[1].number, 0x06060606);
	/* Growing keeps what is listed. */
	assert_int_equal(wireguard_indices_reserve(&table, 100), 0);
	assert_ptr_equal(wireguard_indices_find(&table, 0x05050505), &indices[0]);
	assert_ptr_equal(wireguard_indices_find(&table, 0x06060606), &indices[1]);
	wireguard_indices_remove(&table, &indices[0]);
	wireguard_indices_remove(&table, &indices[0]);
	wireguard_indices_remove(&table, &indices[1]);
	wireguard_indices_clear(&table);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		link_test(test_w4_wrong_mac1),
		link_test(test_w4_wrong_mac1_of_response),
		link_test(test_w4_unknown_static_key),
		link_test(test_w4_preshared_keys_that_differ),
		link_test(test_w5_low_order_peers_are_taken_and_get_nothing),
		link_test(test_w5_initiation_of_a_low_order_peer),
		link_test(test_w5_own_key_is_refused),
		link_test(test_w6_replayed_older_and_quick_initiations),
		link_test(test_w20_responder_waits_for_the_first_packet),
		link_test(test_w20_a_new_responder_stages),
		link_test(test_w20_unconfirmed_response_leads_to_an_own_initiation),
		link_test(test_w21_simultaneous_initiations),
		link_test(test_w21_lost_response),
		link_test(test_w21_duplicated_response),
		link_test(test_w22_empty_queue_gives_one_keepalive),
		link_test(test_w28_indices_are_random_unique_and_freed),
		link_test(test_w28_a_number_that_is_taken_is_not_given_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
