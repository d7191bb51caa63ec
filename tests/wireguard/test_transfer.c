/* A peer's state moves from one device to another, as a tunnel does from one worker to another: sessions go on without a handshake. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"
#include "tunnel/wireguard/transfer.h"

/* Each data message's receiver and counter are sent once (P4). */
enum { SENT_MOST = 1 << 16 };
static struct {
	uint32_t receiver;
	uint64_t counter;
} sent[SENT_MOST];
static size_t sent_count;
static bool is_repeated;

static bool see(struct link *link, struct link_node *from, uint8_t *bytes, size_t length)
{
	const struct wireguard_message_data *message = (const void *)bytes;
	(void)link;

	if (from->number != 0 || bytes[0] != WIREGUARD_DATA || length < WIREGUARD_OVERHEAD)
		return true;
	uint32_t receiver = wireguard_message_get32(message->receiver);
	uint64_t counter = wireguard_message_get64(message->counter);
	for (size_t i = sent_count; i > 0 && !is_repeated; i--)
		is_repeated = sent[i - 1].receiver == receiver && sent[i - 1].counter == counter;
	assert_true(sent_count < SENT_MOST);
	sent[sent_count].receiver = receiver;
	sent[sent_count++].counter = counter;
	return true;
}

static struct link *joined(void)
{
	struct link *link = link_create(2);

	link_join(link, 0, 1);
	link->filter = see;
	sent_count = 0;
	is_repeated = false;
	return link;
}

/* A second device for a node, with the same key and the same peers, and no session. */
static struct wireguard_device *successor(struct link *link, unsigned node)
{
	static const uint8_t floor[12];
	struct wireguard_device *before = link->nodes[node].device, *after = NULL;

	assert_int_equal(wireguard_device_create(&after, &link->nodes[node].private_key, floor, &before->env), 0);
	for (unsigned other = 0; other < link->count; other++) {
		struct wireguard_network networks[2];
		struct wireguard_peer_config config;
		struct wireguard_peer *peer;
		if (other == node || link_peer(link, node, other) == NULL)
			continue;
		link_config(link, other, &config, networks);
		assert_int_equal(config_add(after, &config, (void *)(uintptr_t)other, &peer, link->now), 0);
	}
	return after;
}

/* From here on the node has that device. */
static void take_place(struct link *link, unsigned node, struct wireguard_device *device)
{
	config_forget(link->nodes[node].device);
	wireguard_device_free(link->nodes[node].device);
	link->nodes[node].device = device;
}

static struct message_writer give(struct link *link, unsigned node)
{
	struct message_writer writer;

	message_writer_init(&writer);
	wireguard_transfer_give(link->nodes[node].device->first, &writer);
	assert_false(writer.failed);
	assert_true(writer.length <= WIREGUARD_TRANSFER_MOST);
	return writer;
}

static int take(struct wireguard_device *device, const void *bytes, size_t length, uint64_t now)
{
	uint8_t *copy = malloc(length > 0 ? length : 1); /* so that a read beyond the end is seen */
	struct message_reader reader = { .bytes = copy, .left = length };

	memcpy(copy, bytes, length);
	int result = wireguard_transfer_take(device, &reader, now, NULL);
	free(copy);
	return result;
}

static void move(struct link *link, unsigned node)
{
	struct wireguard_device *after = successor(link, node);

	for (struct wireguard_peer *peer = link->nodes[node].device->first; peer != NULL; peer = peer->next) {
		struct message_writer writer;
		message_writer_init(&writer);
		wireguard_transfer_give(peer, &writer);
		assert_int_equal(take(after, writer.bytes, writer.length, link->now), WIREGUARD_OK);
		message_writer_clear(&writer);
	}
	take_place(link, node, after);
}

static unsigned handshakes(const struct link *link)
{
	return link->nodes[0].sent[WIREGUARD_INITIATION] + link->nodes[1].sent[WIREGUARD_INITIATION];
}

static void exchange(struct link *link, unsigned from, unsigned to)
{
	unsigned before = link->nodes[to].delivered;

	assert_int_equal(link_send(link, from, to, 100), WIREGUARD_OK);
	link_run(link, link->delay);
	assert_int_equal(link->nodes[to].delivered, before + 1);
}

static void test_both_ends_go_on_without_a_handshake(void **state)
{
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	for (unsigned i = 0; i < 6; i++) {
		move(link, i % 2);
		exchange(link, 0, 1);
		exchange(link, 1, 0);
	}
	assert_int_equal(handshakes(link), 1);
	assert_false(is_repeated);
	link_free(link);
}

/* The initiator still replaces the session at its time, and not earlier (W12). */
static void test_age_and_timers_move(void **state)
{
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	for (unsigned i = 0; i < 110; i++) {
		link_run(link, SECOND);
		move(link, 0);
		exchange(link, 0, 1);
	}
	assert_int_equal(handshakes(link), 1);
	for (unsigned i = 0; i < 15; i++) {
		link_run(link, SECOND);
		move(link, 0);
		(void)link_send(link, 0, 1, 100);
	}
	link_run(link, SECOND);
	assert_int_equal(handshakes(link), 2);
	assert_int_equal(link->nodes[0].sent_at[WIREGUARD_INITIATION] / SECOND, 1120);
	assert_false(is_repeated);
	link_free(link);
}

static void test_w18_keepalive_moves(void **state)
{
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	link_run(link, 20 * SECOND);
	unsigned before = link->nodes[0].sent[WIREGUARD_DATA];
	exchange(link, 1, 0);
	link_run(link, 5 * SECOND);
	move(link, 0);
	link_run(link, 4 * SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], before);
	link_run(link, 2 * SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], before + 1);
	link_free(link);
}

/* A session that the initiator has not used yet: the responder moves, and still takes it for unconfirmed (W20). */
static void test_unconfirmed_session_moves(void **state)
{
	struct link *link = joined();
	(void)state;

	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_STAGED);
	link_run(link, link->delay);
	assert_non_null(link_peer(link, 1, 0)->sessions.next);
	move(link, 1);
	assert_non_null(link_peer(link, 1, 0)->sessions.next);
	assert_int_equal(link_send(link, 1, 0, 100), WIREGUARD_STAGED);
	link_run(link, 2 * link->delay);
	assert_int_equal(link->nodes[1].delivered, 1);
	link_run(link, link->delay);
	assert_int_equal(link->nodes[0].delivered, 1);
	exchange(link, 1, 0);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 1);
	link_free(link);
}

/* A packet of the session before arrives late, and one that was received is not received again (W9). */
static void test_replay_windows_move(void **state)
{
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	for (unsigned i = 0; i < 100; i++) /* with a ring */
		exchange(link, 1, 0);
	assert_int_equal(link_send(link, 1, 0, 200), WIREGUARD_OK);
	struct link_datagram *seen = link_take(link);
	assert_int_equal(link_send(link, 1, 0, 300), WIREGUARD_OK);
	struct link_datagram *late = link_take(link);
	link_inject(link, 0, &seen->from, seen->bytes, seen->length);
	unsigned before = link->nodes[0].delivered;
	wireguard_peer_restart(link_peer(link, 0, 1), link->now);
	link_run(link, 5 * link->delay);
	assert_non_null(link_peer(link, 0, 1)->sessions.previous);
	move(link, 0);
	link_inject(link, 0, &seen->from, seen->bytes, seen->length);
	assert_int_equal(link->nodes[0].delivered, before);
	link_inject(link, 0, &late->from, late->bytes, late->length);
	assert_int_equal(link->nodes[0].delivered, before + 1);
	link_inject(link, 0, &late->from, late->bytes, late->length);
	assert_int_equal(link->nodes[0].delivered, before + 1);
	assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_REPLAY], 2);
	free(seen);
	free(late);
	link_free(link);
}

/* A peer that has roamed is found where it is, and its cookie and the label of the last initiation go with it (W8). */
/* The answer comes to the next device, which cannot read it. Nobody waits for REKEY_TIMEOUT, and the peer takes no second initiation within 20 ms. */
static void test_first_handshake_is_begun_anew_at_once(void **state)
{
	(void)state;

	for (unsigned i = 0; i < 40; i += 4) {
		struct link *link = joined();
		uint64_t start = link->now;
		(void)link_send(link, 0, 1, 100);
		link_run(link, i * MILLISECOND);
		move(link, 0);
		(void)link_send(link, 0, 1, 100);
		link_run(link, 150 * MILLISECOND);
		assert_int_equal(link->nodes[1].delivered, 1);
		assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
		assert_int_equal(link->nodes[1].sent[WIREGUARD_RESPONSE], 2);
		assert_in_range(link->nodes[0].sent_at[WIREGUARD_INITIATION] - start, 20 * MILLISECOND, 100 * MILLISECOND);
		link_free(link);
	}
}

/* A session is there for what is to be sent, and the answer may be another's turn: the next initiation is due when it was. */
static void test_a_later_handshake_waits_as_before(void **state)
{
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	link_run(link, 121 * SECOND);
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_OK);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
	move(link, 0);
	link_run(link, 2 * SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
	exchange(link, 0, 1);
	link_run(link, 5 * SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 3);
	link_free(link);
}

static void test_endpoint_cookie_and_label_move(void **state)
{
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	link->nodes[1].address = link_ipv6(0x20010db800000000, 7, 99);
	exchange(link, 1, 0);
	struct wireguard_cookie_maker *cookies = &link_peer(link, 0, 1)->cookies;
	cookies->cookie_since = link->now;
	memset(cookies->cookie, 7, sizeof(cookies->cookie));
	struct wireguard_tai64n label = link->nodes[0].device->last_timestamp;
	move(link, 0);
	assert_true(endpoint_equal(wireguard_peer_endpoint(link_peer(link, 0, 1)), &link->nodes[1].address));
	assert_int_equal(link_peer(link, 0, 1)->cookies.cookie_since, link->now);
	assert_int_equal(link_peer(link, 0, 1)->cookies.cookie[15], 7);
	assert_memory_equal(&link->nodes[0].device->last_timestamp, &label, sizeof(label));
	exchange(link, 0, 1);
	link_free(link);
}

/* Two devices on a bad link; one of them moves after each hundred packets. */
static void test_p4_moves_on_a_bad_link_repeat_no_counter(void **state)
{
	struct link *link = joined();
	(void)state;

	link->loss = 50;
	link->reorder = link->duplicate = 100;
	for (unsigned i = 0; i < 20000; i++) {
		(void)link_send(link, i % 2, 1 - i % 2, 60 + i % 1000);
		link_run(link, 30 * MILLISECOND);
		if (i % 100 == 99)
			move(link, 0);
	}
	assert_false(is_repeated);
	/* Of 20,000 packets in 600 s; a session a 120 s at most, and those whose handshake was lost. */
	assert_true(link->nodes[0].delivered + link->nodes[1].delivered > 18000);
	assert_in_range(handshakes(link), 5, 12);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_GAVE_UP] + link->nodes[1].events[WIREGUARD_HANDSHAKE_GAVE_UP], 0);
	link_free(link);
}

/* Whoever has given cannot send. */
static void test_p4_giving_wipes_the_sessions(void **state)
{
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	const union wireguard_secrets *const *slots = (const union wireguard_secrets *const *)link_peer(link, 0, 1)->sessions.slots;
	struct message_writer writer = give(link, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(sodium_is_zero((const uint8_t *)slots[i], sizeof(*slots[i])));
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_STAGED);
	message_writer_clear(&writer);
	link_free(link);
}

static void test_session_that_has_ended_is_not_taken(void **state)
{
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	struct wireguard_device *after = successor(link, 0);
	struct message_writer writer = give(link, 0);
	assert_int_equal(take(after, writer.bytes, writer.length, link->now + 180 * SECOND), WIREGUARD_OK);
	assert_null(after->first->sessions.current);
	assert_int_equal(after->indices.used, 0);
	message_writer_clear(&writer);
	take_place(link, 0, after);
	link_free(link);
}

/* The times of the device changed after the session was made: it goes on, by those that hold now. */
static void test_session_takes_the_times_of_its_device(void **state)
{
	static const struct obfuscation_range ranges[] = { { 60, 70 }, { 150, 160 } };
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	for (size_t i = 0; i < 2; i++) {
		struct wireguard_device *after = successor(link, 0);
		struct message_writer writer = give(link, 0);
		after->timings.rekey_after = ranges[i];
		assert_int_equal(take(after, writer.bytes, writer.length, link->now), WIREGUARD_OK);
		assert_in_range(after->first->sessions.current->rekey_after, ranges[i].low, ranges[i].high);
		message_writer_clear(&writer);
		take_place(link, 0, after);
	}
	link_free(link);
}

/* Without room for the jump nothing is sent with it any more (W11). */
static void test_w11_counter_at_the_limit(void **state)
{
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	link_peer(link, 0, 1)->sessions.current->counter = WIREGUARD_REJECT_AFTER_MESSAGES - WIREGUARD_TRANSFER_JUMP;
	move(link, 0);
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_STAGED);
	link_free(link);
}

/* What comes from another process is not trusted. */
static void test_cut_anywhere_is_refused(void **state)
{
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	struct wireguard_device *after = successor(link, 0);
	struct message_writer writer = give(link, 0);
	for (size_t length = 0; length < writer.length; length++) {
		assert_int_equal(take(after, writer.bytes, length, link->now), WIREGUARD_BAD_STATE);
		assert_int_equal(after->indices.used, 0);
		assert_int_equal(after->first->stats.last_handshake, 0);
	}
	message_put_u8(&writer, 0);
	assert_int_equal(take(after, writer.bytes, writer.length, link->now), WIREGUARD_BAD_STATE);
	assert_int_equal(take(after, writer.bytes, writer.length - 1, link->now), WIREGUARD_OK);
	/* And not twice. */
	assert_int_equal(take(after, writer.bytes, writer.length - 1, link->now), WIREGUARD_NO_PEER);
	message_writer_clear(&writer);
	take_place(link, 0, after);
	link_free(link);
}

/* Each byte is changed. Whatever is taken then, the device keeps its rules. */
static void test_changed_anywhere_does_no_harm(void **state)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	struct link *link = joined();
	(void)state;

	link_handshake(link, 0, 1);
	struct message_writer writer = give(link, 0);
	for (size_t i = 0; i < writer.length * sizeof(values); i++) {
		struct wireguard_device *after = successor(link, 0);
		uint8_t *byte = &writer.bytes[i / sizeof(values)], before = *byte;
		*byte ^= values[i % sizeof(values)];
		int result = take(after, writer.bytes, writer.length, link->now);
		*byte = before;
		take_place(link, 0, after);
		assert_true(result == WIREGUARD_OK || result == WIREGUARD_NO_PEER || result == WIREGUARD_BAD_STATE);
		assert_true(after->indices.used <= 1);
		const struct wireguard_session *session = after->first->sessions.current;
		assert_true(session == NULL || link->now - session->created < 180 * SECOND);
		wireguard_device_tick(after, link->now);
		assert_true(wireguard_device_deadline(after) > link->now);
	}
	message_writer_clear(&writer);
	link_free(link);
}

static void test_index_in_use_is_refused(void **state)
{
	struct link *link = joined();
	struct wireguard_index index = { 0 };
	(void)state;

	link_handshake(link, 0, 1);
	uint32_t number = link_peer(link, 0, 1)->sessions.current->index.number;
	struct wireguard_device *after = successor(link, 0);
	struct message_writer writer = give(link, 0);
	assert_true(wireguard_indices_put(&after->indices, &index, number));
	assert_int_equal(take(after, writer.bytes, writer.length, link->now), WIREGUARD_BAD_STATE);
	wireguard_indices_remove(&after->indices, &index);
	assert_int_equal(take(after, writer.bytes, writer.length, link->now), WIREGUARD_OK);
	message_writer_clear(&writer);
	take_place(link, 0, after);
	link_free(link);
}

/* The longest form: a peer has two sessions between handshakes, each with its ring. */
static void test_longest_fits(void **state)
{
	struct link *link = joined();
	(void)state;

	link->nodes[1].address = link_ipv6(0x20010db800000000, 7, 99);
	wireguard_peer_set_endpoint(link_peer(link, 0, 1), &link->nodes[1].address);
	for (unsigned i = 0; i < 2; i++) {
		link_run(link, 6 * SECOND);
		wireguard_peer_restart(link_peer(link, 0, 1), link->now);
		link_run(link, 5 * link->delay);
		for (unsigned k = 0; k < 100; k++)
			exchange(link, 1, 0);
	}
	struct wireguard_sessions *sessions = &link_peer(link, 0, 1)->sessions;
	assert_true(sessions->previous->replay.ring != NULL && sessions->current->replay.ring != NULL);
	struct wireguard_device *after = successor(link, 0);
	struct message_writer writer = give(link, 0);
	/* A third one would fit, too. */
	assert_true(writer.length + 1200 < WIREGUARD_TRANSFER_MOST);
	assert_int_equal(take(after, writer.bytes, writer.length, link->now), WIREGUARD_OK);
	assert_int_equal(after->indices.used, 2);
	message_writer_clear(&writer);
	take_place(link, 0, after);
	link_free(link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		link_test(test_both_ends_go_on_without_a_handshake),
		link_test(test_age_and_timers_move),
		link_test(test_w18_keepalive_moves),
		link_test(test_unconfirmed_session_moves),
		link_test(test_replay_windows_move),
		link_test(test_first_handshake_is_begun_anew_at_once),
		link_test(test_a_later_handshake_waits_as_before),
		link_test(test_endpoint_cookie_and_label_move),
		link_test(test_p4_moves_on_a_bad_link_repeat_no_counter),
		link_test(test_p4_giving_wipes_the_sessions),
		link_test(test_session_that_has_ended_is_not_taken),
		link_test(test_session_takes_the_times_of_its_device),
		link_test(test_w11_counter_at_the_limit),
		link_test(test_cut_anywhere_is_refused),
		link_test(test_changed_anywhere_does_no_harm),
		link_test(test_index_in_use_is_refused),
		link_test(test_longest_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
