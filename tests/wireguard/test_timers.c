/* Timers (paper, 6): which message is sent when, on a fake clock. */
#include <string.h>

#include "tests/wireguard/link.h"

/* Two that have a session, node 0 being its initiator, and nothing else to say. */
static struct link *link_of_two(void)
{
	struct link *link = link_create(2);

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	return link;
}

static void set_persistent(struct link *link, unsigned of, unsigned to, uint16_t seconds)
{
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;

	link_config(link, to, &config, networks);
	config.persistent_keepalive = seconds;
	assert_int_equal(config_change(link_peer(link, of, to), &config, link->now), 0);
}

static void test_w11_rekey_after_messages(void **state)
{
	struct link *link = link_of_two();
	(void)state;

	link_run(link, 10 * SECOND);
	for (unsigned node = 0; node < 2; node++) {
		unsigned before = link->nodes[node].sent[WIREGUARD_INITIATION];
		link_peer(link, node, 1 - node)->sessions.current->counter = WIREGUARD_REKEY_AFTER_MESSAGES;
		assert_int_equal(link_send(link, node, 1 - node, 100), WIREGUARD_OK);
		assert_int_equal(link->nodes[node].sent[WIREGUARD_INITIATION], before + 1);
		assert_int_equal(link_send(link, node, 1 - node, 100), WIREGUARD_OK);
		assert_int_equal(link->nodes[node].sent[WIREGUARD_INITIATION], before + 1);
		link_run(link, 10 * SECOND);
	}
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 3);
	link_free(link);
}

/* P4 too: a counter that went round would be a nonce used twice. */
static void test_w11_nothing_is_sent_at_the_limit(void **state)
{
	struct link *link = link_of_two();
	struct wireguard_peer *peer = link_peer(link, 0, 1);
	(void)state;

	link_run(link, 10 * SECOND);
	peer->sessions.current->counter = WIREGUARD_REJECT_AFTER_MESSAGES - 1;
	link->is_cut = true;
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_OK);
	unsigned data = link->nodes[0].sent[WIREGUARD_DATA];
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_STAGED);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], data);
	assert_null(peer->sessions.current);
	assert_int_equal(link->nodes[0].events[WIREGUARD_SESSION_EXPIRED], 1);
	link->is_cut = false;
	link_run(link, 6 * SECOND);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 2);
	assert_int_equal(link->nodes[1].delivered, 2);
	link_free(link);
}

static void test_w11_received_counter_at_the_limit(void **state)
{
	struct link *link = link_of_two();
	(void)state;

	struct wireguard_session *session = link_peer(link, 0, 1)->sessions.current;
	for (uint64_t counter = WIREGUARD_REJECT_AFTER_MESSAGES - 1; counter <= WIREGUARD_REJECT_AFTER_MESSAGES; counter++) {
		uint8_t message[32];
		session->counter = counter;
		link_seal(session, message, 0);
		link_inject(link, 1, &link->nodes[0].address, message, sizeof(message));
		uint64_t expired = link->nodes[1].device->dropped[WIREGUARD_DROP_EXPIRED];
		assert_int_equal(expired, counter == WIREGUARD_REJECT_AFTER_MESSAGES);
	}
	assert_int_equal(link_drops(link, 1), 1);
	link_free(link);
}

static void test_w12_rekey_by_time_is_the_initiators(void **state)
{
	struct link *link = link_of_two();
	(void)state;

	uint64_t age = link->now - link_peer(link, 0, 1)->sessions.current->created;
	link_run(link, 120 * SECOND - 1 - age);
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_OK);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 1);
	link_run(link, SECOND);
	assert_int_equal(link_send(link, 1, 0, 100), WIREGUARD_OK);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_INITIATION], 0);
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_OK);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_OK);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 2);
	assert_int_equal(link->nodes[1].events[WIREGUARD_HANDSHAKE_COMPLETED], 2);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_INITIATION], 0);
	link_free(link);
}

static void test_w13_last_minute_initiation_once_a_session(void **state)
{
	struct link *link = link_of_two();
	(void)state;

	struct wireguard_session *session = link_peer(link, 0, 1)->sessions.current;
	link_run(link, session->created + 164 * SECOND - link->now);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 1);
	link_send(link, 1, 0, 50);
	link_run(link, link->delay);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 1); /* it is not the last minute yet */
	link_run(link, session->created + 165 * SECOND - link->now);
	link_send(link, 1, 0, 50);
	link->is_cut = true; /* the initiation is lost */
	link_run(link, link->delay);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
	assert_true(session->has_asked_to_replace);
	uint64_t until = link->now + 5 * SECOND;
	link->is_cut = false;
	while (link->now < until) {
		link_send(link, 1, 0, 50);
		link_run(link, 100 * MILLISECOND);
	}
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
	link->is_cut = true;
	link_run(link, SECOND); /* and is repeated by its own timer */
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 3);
	assert_int_equal(link_peer(link, 0, 1)->timers.attempts, 1);
	link->is_cut = false;
	link_send(link, 1, 0, 50);
	link_run(link, link->delay);
	assert_int_equal(link_peer(link, 0, 1)->timers.attempts, 1); /* which goes on counting */
	link_free(link);
}

static void test_w14_w15_a_session_ends_at_180_seconds(void **state)
{
	struct link *link = link_of_two();
	struct wireguard_peer *peers[2] = { link_peer(link, 0, 1), link_peer(link, 1, 0) };
	uint64_t born[2] = { peers[0]->sessions.current->created, peers[1]->sessions.current->created };
	uint8_t late[32], later[32];
	struct wireguard_peer_stats stats;
	(void)state;

	/* What is sealed in time and comes late is not opened; not even when the caller has forgotten to tick. */
	link_seal(peers[1]->sessions.current, late, 0);
	link_seal(peers[1]->sessions.current, later, 0);
	link_run(link, born[0] + 180 * SECOND - 1 - link->now);
	link_inject(link, 0, &link->nodes[1].address, late, sizeof(late));
	assert_int_equal(link_drops(link, 0), 0);
	wireguard_peer_stats(peers[0], &stats, link->now);
	assert_true(stats.can_send);
	link->now = born[0] + 180 * SECOND;
	wireguard_peer_stats(peers[0], &stats, link->now);
	assert_false(stats.can_send);
	link_inject(link, 0, &link->nodes[1].address, later, sizeof(later));
	assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_EXPIRED], 1);
	unsigned data = link->nodes[0].sent[WIREGUARD_DATA];
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_STAGED);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], data);
	assert_int_equal(link->nodes[0].events[WIREGUARD_SESSION_EXPIRED], 1);
	link_free(link);

	/* And by the timer, on both sides; all keys are gone then, which the paper wants after 540 s. */
	link = link_of_two();
	for (unsigned node = 0; node < 2; node++)
		peers[node] = link_peer(link, node, 1 - node);
	born[0] = peers[0]->sessions.current->created;
	link_run(link, born[0] + 180 * SECOND - 1 - link->now);
	assert_non_null(peers[0]->sessions.current);
	assert_int_equal(link->nodes[0].events[WIREGUARD_SESSION_EXPIRED], 0);
	link_run(link, 1);
	for (unsigned node = 0; node < 2; node++) {
		static const union wireguard_secrets zero;
		assert_null(peers[node]->sessions.current);
		assert_null(peers[node]->sessions.previous);
		assert_null(peers[node]->sessions.next);
		assert_int_equal(link->nodes[node].events[WIREGUARD_SESSION_EXPIRED], 1);
		for (unsigned slot = WIREGUARD_PEER_HANDSHAKE; slot < WIREGUARD_PEER_SLOTS; slot++)
			assert_memory_equal(peers[node]->slots[slot], &zero, sizeof(zero));
		assert_memory_equal(link->nodes[node].device->slots[WIREGUARD_DEVICE_SCRATCH], &zero, sizeof(zero));
		assert_int_equal(link->nodes[node].device->indices.used, 0);
	}
	link_free(link);
}

static uint64_t attempts[64];
static unsigned attempt_count;

static bool note_attempts(struct link *link, struct link_node *from, uint8_t *bytes, size_t length)
{
	(void)from;
	(void)length;
	assert_int_equal(bytes[0], WIREGUARD_INITIATION);
	attempts[attempt_count++ % 64] = link->now;
	return false;
}

static void test_w16_twenty_initiations_then_it_gives_up(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_peer_stats stats;
	(void)state;

	link_join(link, 0, 1);
	link->filter = note_attempts;
	attempt_count = 0;
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_STAGED);
	link_run(link, 200 * SECOND);
	assert_int_equal(attempt_count, 20);
	bool is_jittered = false;
	for (unsigned i = 1; i < attempt_count; i++) {
		uint64_t gap = attempts[i] - attempts[i - 1];
		assert_true(gap >= 5 * SECOND && gap <= 5334 * MILLISECOND);
		is_jittered = is_jittered || gap / MILLISECOND != (attempts[1] - attempts[0]) / MILLISECOND;
	}
	assert_true(is_jittered);
	assert_int_equal(link->nodes[0].events[WIREGUARD_INITIATION_SENT], 20);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_GAVE_UP], 1);
	assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_STAGED], 1);
	assert_int_equal(link_peer(link, 0, 1)->staged.count, 0);
	assert_int_equal(link->nodes[0].device->indices.used, 0);
	wireguard_peer_stats(link_peer(link, 0, 1), &stats, link->now);
	assert_int_equal(stats.unanswered, 20);
	assert_int_equal(stats.handshake_failures, 20);
	assert_int_equal(stats.last_received, 0);
	assert_true(wireguard_device_deadline(link->nodes[0].device) == WIREGUARD_NEVER);

	/* New traffic, or the owner's wish, starts it again. */
	link->filter = NULL;
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	link_run(link, SECOND);
	wireguard_peer_stats(link_peer(link, 0, 1), &stats, link->now);
	assert_int_equal(stats.unanswered, 0);
	assert_int_equal(stats.handshakes, 1);
	assert_int_equal(link_peer(link, 0, 1)->timers.attempts, 0);
	assert_true(stats.can_send);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	link_free(link);
}

static void test_w16_traffic_keeps_the_attempts_going(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link->is_cut = true;
	for (unsigned second = 0; second < 300; second++) {
		assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_STAGED);
		link_run(link, SECOND);
	}
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_GAVE_UP], 0);
	assert_in_range(link->nodes[0].sent[WIREGUARD_INITIATION], 50, 61);
	/* The oldest of the staged packets went. */
	assert_int_equal(link_peer(link, 0, 1)->staged.count, WIREGUARD_STAGED_MAX);
	assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_STAGED], 300 - WIREGUARD_STAGED_MAX);
	link->is_cut = false;
	link_run(link, 6 * SECOND);
	assert_int_equal(link->nodes[1].delivered, WIREGUARD_STAGED_MAX);
	link_free(link);
}

static void test_w17_data_that_nothing_answers(void **state)
{
	struct link *link = link_of_two();
	(void)state;

	link_run(link, 15 * SECOND);
	link->is_cut = true;
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	uint64_t sent = link->now;
	link_run(link, SECOND);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK); /* it is the first one that counts */
	link_run(link, 14 * SECOND - 1);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 1);
	link_run(link, 334 * MILLISECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
	uint64_t gap = link->nodes[0].sent_at[WIREGUARD_INITIATION] - sent;
	assert_true(gap >= 15 * SECOND && gap <= 15334 * MILLISECOND);
	assert_int_equal(link->nodes[0].events[WIREGUARD_PEER_SILENT], 1);
	link_free(link);
}

static void test_w18_passive_keepalive(void **state)
{
	struct link *link = link_of_two();
	(void)state;

	link_run(link, 30 * SECOND);
	unsigned data[2] = { link->nodes[0].sent[WIREGUARD_DATA], link->nodes[1].sent[WIREGUARD_DATA] };
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	link_run(link, link->delay);
	uint64_t received = link->now;
	link_run(link, 10 * SECOND - 1);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_DATA], data[1]);
	link_run(link, 1);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_DATA], data[1] + 1);
	assert_true(link->nodes[1].sent_at[WIREGUARD_DATA] == received + 10 * SECOND);
	/* A keepalive answers no keepalive: both are silent from now on. */
	link_run(link, 3600 * SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], data[0] + 1);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_DATA], data[1] + 1);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 1);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_INITIATION], 0);
	assert_true(wireguard_device_deadline(link->nodes[0].device) == WIREGUARD_NEVER);
	link_free(link);
}

static void test_w18_more_data_means_another_keepalive(void **state)
{
	struct link *link = link_of_two();
	(void)state;

	link_run(link, 30 * SECOND);
	unsigned data = link->nodes[1].sent[WIREGUARD_DATA];
	link_send(link, 0, 1, 50);
	link_run(link, SECOND);
	link_send(link, 0, 1, 50);
	link_run(link, 10 * SECOND);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_DATA], data + 1);
	link_run(link, 10 * SECOND);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_DATA], data + 2);
	link_run(link, 60 * SECOND);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_DATA], data + 2);
	/* Data of its own is answer enough. */
	link_send(link, 0, 1, 50);
	link_run(link, SECOND);
	link_send(link, 1, 0, 50);
	link_run(link, 30 * SECOND);
	assert_int_equal(link->nodes[1].sent[WIREGUARD_DATA], data + 3);
	link_free(link);
}

static void test_w19_persistent_keepalive(void **state)
{
	static const uint16_t intervals[] = { 1, 25, 65535 };
	(void)state;

	for (size_t i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++) {
		struct link *link = link_of_two();
		uint64_t interval = intervals[i] * SECOND;
		link_run(link, 30 * SECOND);
		unsigned data = link->nodes[0].sent[WIREGUARD_DATA];
		set_persistent(link, 0, 1, intervals[i]);
		link_run(link, 1); /* the first one at once */
		assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], data + 1);
		uint64_t first = link->nodes[0].sent_at[WIREGUARD_DATA];
		if (intervals[i] == 65535) {
			/* The session is long over: the keepalive brings a new one. */
			link_run(link, interval + SECOND);
			assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
			assert_true(link->nodes[0].sent_at[WIREGUARD_INITIATION] == first + interval);
			link_free(link);
			continue;
		}
		link_run(link, interval);
		assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], data + 2);
		assert_true(link->nodes[0].sent_at[WIREGUARD_DATA] == first + interval);
		/* Any authenticated packet, in or out, puts it off. */
		link_run(link, interval / 2);
		link_send(link, 1, 0, 50);
		link_run(link, link->delay);
		uint64_t received = link->now;
		link_run(link, interval - 1);
		assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], data + 2 + (interval > 10 * SECOND)); /* or a passive one */
		if (interval < 10 * SECOND) {
			link_run(link, 1);
			assert_true(link->nodes[0].sent_at[WIREGUARD_DATA] == received + interval);
		}
		set_persistent(link, 0, 1, 0);
		link_run(link, 40 * SECOND);
		data = link->nodes[0].sent[WIREGUARD_DATA];
		link_run(link, 100 * SECOND);
		assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], data);
		link_free(link);
	}
}

static void test_w19_persistent_keepalive_changed_and_alone(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	/* Without a session it begins a handshake, and goes on trying after giving up. */
	link_join(link, 0, 1);
	link->is_cut = true;
	set_persistent(link, 0, 1, 25);
	link_run(link, 600 * SECOND);
	assert_true(link->nodes[0].sent[WIREGUARD_INITIATION] > 60);
	link->is_cut = false;
	link_run(link, 30 * SECOND);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 1);
	/* The session is renewed for ever, with nothing but keepalives to send. */
	link_run(link, 3600 * SECOND);
	assert_in_range(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 25, 31);
	assert_int_equal(link->nodes[0].events[WIREGUARD_SESSION_EXPIRED], 0);
	/* Another interval counts from now. */
	set_persistent(link, 0, 1, 40);
	uint64_t changed = link->now;
	link_run(link, 40 * SECOND);
	assert_true(link->nodes[0].sent_at[WIREGUARD_DATA] == changed + 40 * SECOND || link->nodes[0].sent_at[WIREGUARD_INITIATION] > changed);
	link_free(link);
}

/* F5: the clock of a suspended machine jumps; every timer that is due then comes once. */
static void test_w33_suspend_and_resume(void **state)
{
	struct link *link = link_of_two();
	(void)state;

	set_persistent(link, 0, 1, 25);
	link_send(link, 0, 1, 50);
	link_send(link, 1, 0, 50);
	link_run(link, SECOND);
	link->now += 8 * 3600 * SECOND;
	unsigned initiations = link->nodes[0].sent[WIREGUARD_INITIATION];
	link_run(link, SECOND);
	assert_int_equal(link->nodes[0].events[WIREGUARD_SESSION_EXPIRED], 1);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], initiations + 1);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 2);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	link_free(link);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		link_test(test_w11_rekey_after_messages),
		link_test(test_w11_nothing_is_sent_at_the_limit),
		link_test(test_w11_received_counter_at_the_limit),
		link_test(test_w12_rekey_by_time_is_the_initiators),
		link_test(test_w13_last_minute_initiation_once_a_session),
		link_test(test_w14_w15_a_session_ends_at_180_seconds),
		link_test(test_w16_twenty_initiations_then_it_gives_up),
		link_test(test_w16_traffic_keeps_the_attempts_going),
		link_test(test_w17_data_that_nothing_answers),
		link_test(test_w18_passive_keepalive),
		link_test(test_w18_more_data_means_another_keepalive),
		link_test(test_w19_persistent_keepalive),
		link_test(test_w19_persistent_keepalive_changed_and_alone),
		link_test(test_w33_suspend_and_resume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
