/* Real-world paths, on a fake clock: what must arrive, and how fast. The first argument is a number of seeds (default one); the second names the
 * test. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "netstack/stream.h"
#include "tests/netstack/peer.h"

static int seeds = 1;

/* A sanitizer makes a gigabit a matter of minutes, and finds in slower paths what there is to find. */
#ifdef WARREN_SANITIZED
static const int crowds = 10;
static const bool is_slow = true;
#else
static const int crowds = 40;
static const bool is_slow = false;
#endif

static void skip_when_slow(void)
{
	if (!is_slow)
		return;
	print_message("skipped: a simulated gigabit takes a sanitizer too long\n");
	skip();
}

struct run {
	struct link *link;
	struct peer sender, receiver;
	double megabits;              /* a second, after a quarter of the time */
	double queue_mean, queue_max; /* ms */
	size_t memory;                /* of all streams, at the end */
};

/* One bulk stream for so many seconds. */
static void start(struct run *run, const struct link_profile *profile, int seed)
{
	run->link = link_create((uint64_t)seed, 256 << 20);
	link_set(run->link, profile);
	peer_init(&run->sender, run->link, UINT64_MAX);
	peer_init(&run->receiver, run->link, 0);
	run->receiver.keeps_open = true;
	peer_listen(&run->receiver, 1, AF_INET, 80);
	assert_int_equal(peer_connect(&run->sender, 0, AF_INET, 80), 0);
}

static void finish(struct run *run)
{
	assert_false(run->receiver.is_wrong);
	assert_false(run->sender.is_closed);
	link_free(run->link);
}

static void measure(struct run *run, const struct link_profile *profile, double seconds, int seed)
{
	start(run, profile, seed);
	uint64_t begin = link_now(run->link);
	link_run(run->link, begin + (uint64_t)(seconds / 4 * 1e9), NULL, NULL);
	uint64_t before = run->receiver.received;
	struct link_side *side = link_side(run->link, 0);
	uint64_t packets = side->packets, queued = side->queue_sum;
	side->queue_max = 0;
	link_run(run->link, begin + (uint64_t)(seconds * 1e9), NULL, NULL);
	run->megabits = (double)(run->receiver.received - before) * 8 / (seconds * 0.75) / 1e6;
	run->queue_mean = (double)(side->queue_sum - queued) / 1e6 / (double)(side->packets - packets + 1);
	run->queue_max = (double)side->queue_max / 1e6;
	run->memory = netstack_memory_used();
	printf("    %.1f Mbit/s, queue mean %.1f max %.1f ms, %llu packets, %llu dropped, %llu lost, memory %zu\n", run->megabits, run->queue_mean,
	       run->queue_max, (unsigned long long)side->data_packets, (unsigned long long)side->queue_drops, (unsigned long long)side->losses,
	       run->memory);
	finish(run);
}

static bool has_arrived(void *owner)
{
	struct run *run = owner;
	return run->receiver.received >= run->sender.to_send;
}

/* Mbit/s of so many bytes, from the SYN to the last byte's arrival. */
static double transfer(const struct link_profile *profile, uint64_t wake_grain, uint64_t bytes, int seed)
{
	struct run run;

	start(&run, profile, seed);
	run.sender.to_send = bytes;
	link_side(run.link, 0)->wake_grain = wake_grain;
	uint64_t begin = link_now(run.link);
	assert_true(link_run(run.link, begin + 600 * SECOND, has_arrived, &run));
	double seconds = (double)(run.receiver.last_at - begin) / 1e9;
	double megabits = (double)bytes * 8 / 1e6 / seconds;
	printf("    %.2f s, %.1f Mbit/s\n", seconds, megabits);
	finish(&run);
	return megabits;
}

static void is_full_over_100_ms(void **state)
{
	const struct link_profile profile = { .rate = 1e9, .delay = 50 * MS, .queue = 50 * MS };
	struct run run;

	(void)state;
	skip_when_slow();
	for (int seed = 1; seed <= seeds; seed++) {
		measure(&run, &profile, 8, seed);
		assert_true(run.megabits > 800);
		assert_true(run.memory < 50000000); /* four times what the path holds */
	}
}

static void survives_one_percent(void **state)
{
	const struct link_profile profile = { .rate = 1e9, .delay = 25 * MS, .queue = 50 * MS, .loss = 0.01, .reorder = 0.001 };
	struct run run;

	(void)state;
	skip_when_slow();
	for (int seed = 1; seed <= seeds; seed++) {
		measure(&run, &profile, 8, seed);
		assert_true(run.megabits > 600);
	}
}

/* Losses in bursts of eight are no congestion, though now and then a round has many of them; also where a busy machine lets the sender run each
 * 10 ms only. */
static void is_full_despite_bursts(void **state)
{
	const struct link_profile profile = {
		.rate = 300e6, .delay = 25 * MS, .queue = 50 * MS, .loss = 0.01 / 8, .burst = 1, .burst_length = 7, .reorder = 0.001
	};

	(void)state;
	skip_when_slow();
	double sum = 0;
	for (int seed = 1; seed <= 3 * seeds; seed++)
		sum += transfer(&profile, 0, 400000000, seed) + transfer(&profile, 10 * MS, 400000000, seed);
	assert_true(sum / (6 * seeds) > 268); /* with the startup; the path carries 291 */
}

/* A loop that counts milliseconds, and packets that come in lumps. */
static void is_full_with_late_timers(void **state)
{
	const struct link_profile profile = { .rate = 1e9, .delay = 10 * MS, .queue = 10 * MS };
	struct run run;

	(void)state;
	skip_when_slow();
	start(&run, &profile, 1);
	link_set_timer_grain(run.link, MS);
	link_set_batch(run.link, MS / 4);
	link_run(run.link, 1002 * SECOND, NULL, NULL);
	uint64_t before = run.receiver.received;
	link_run(run.link, 1006 * SECOND, NULL, NULL);
	assert_true((double)(run.receiver.received - before) * 8 / 4 > 800e6);
	finish(&run);
}

/* So many streams, each begun some time after the one before: the Mbit/s of all together, and Jain's index. */
static double share(const struct link_profile *profile, int count, uint64_t gap, double *fairness)
{
	struct link *link = link_create(1, 256 << 20);
	struct peer senders[4], receivers[4];
	uint64_t before[4];

	link_set(link, profile);
	for (int i = 0; i < count; i++) {
		peer_init(&senders[i], link, UINT64_MAX);
		peer_init(&receivers[i], link, 0);
		receivers[i].keeps_open = true;
		peer_listen(&receivers[i], 1, AF_INET, (uint16_t)(80 + i));
		assert_int_equal(peer_connect(&senders[i], 0, AF_INET, (uint16_t)(80 + i)), 0);
		link_run(link, link_now(link) + gap, NULL, NULL);
	}
	link_run(link, link_now(link) + 5 * SECOND, NULL, NULL);
	for (int i = 0; i < count; i++)
		before[i] = receivers[i].received;
	link_run(link, link_now(link) + 20 * SECOND, NULL, NULL);
	double sum = 0, squares = 0;
	for (int i = 0; i < count; i++) {
		double rate = (double)(receivers[i].received - before[i]) * 8 / 20 / 1e6;
		sum += rate;
		squares += rate * rate;
	}
	*fairness = sum * sum / count / squares;
	printf("    %.1f Mbit/s, fairness %.2f\n", sum, *fairness);
	link_free(link);
	return sum;
}

/* Who was there first holds what it has until the newcomer finds out by probing, so the start decides for some seconds; the mean of several
 * counts. */
static double share_evenly(const struct link_profile *profile, int count)
{
	static const uint64_t gaps[] = { 20 * MS, 700 * MS, 1900 * MS, 3000 * MS, 7300 * MS };
	const size_t starts = is_slow ? 1 : sizeof(gaps) / sizeof(gaps[0]);
	double sum = 0, fairness;

	for (size_t i = 0; i < starts; i++) {
		assert_true(share(profile, count, gaps[i], &fairness) > 0.86 * profile->rate / 1e6);
		sum += fairness;
	}
	printf("    fairness %.3f\n", sum / (double)starts);
	return sum / (double)starts;
}

static void shares_a_bottleneck(void **state)
{
	const struct link_profile four = { .rate = 50e6, .delay = 20 * MS, .queue = 40 * MS };
	const struct link_profile two = { .rate = 100e6, .delay = 50 * MS, .queue = 50 * MS };

	(void)state;
	assert_true(share_evenly(&four, 4) > 0.85);
	assert_true(share_evenly(&two, 2) > 0.95);
}

static void keeps_the_queue_short(void **state)
{
	const struct link_profile profile = { .rate = 50e6, .delay = 10 * MS, .queue = 40 * MS };
	struct run run;

	(void)state;
	for (int seed = 1; seed <= seeds; seed++) {
		measure(&run, &profile, 20, seed);
		assert_true(run.megabits > 40);
		assert_true(run.queue_mean < 30);
	}
}

static void survives_three_percent(void **state)
{
	const struct link_profile profile = { .rate = 100e6, .delay = 100 * MS, .queue = 50 * MS, .loss = 0.03 };
	struct run run;

	(void)state;
	for (int seed = 1; seed <= seeds; seed++) {
		measure(&run, &profile, 30, seed);
		assert_true(run.megabits > 60);
	}
}

static const struct link_profile satellite = { .rate = 100e6, .delay = 100 * MS, .queue = 100 * MS, .loss = 0.03 };

/* With the startup, and the last losses' round trips. */
static void crosses_a_satellite(void **state)
{
	(void)state;
	for (int seed = 1; seed <= seeds; seed++)
		assert_true(transfer(&satellite, 0, 100000000, seed) > 68);
}

/* A machine with other work lets the sender run each 10 ms only, or 40. */
static void is_full_on_a_busy_machine(void **state)
{
	const struct link_profile narrow = { .rate = 50e6, .delay = 10 * MS, .queue = 40 * MS };

	(void)state;
	for (int seed = 1; seed <= seeds; seed++) {
		assert_true(transfer(&narrow, 10 * MS, 20000000, seed) > 40);
		assert_true(transfer(&satellite, 10 * MS, 40000000, seed) > 40);
		assert_true(transfer(&satellite, 40 * MS, 40000000, seed) > 40);
	}
}

static bool is_pausing(void *owner)
{
	const struct peer *sender = owner;
	return sender->stream != NULL && sender->stream->sender.bbr.state == BBR_PROBE_RTT;
}

/* The pause that shows the round trip gives room to others: alone and without a queue it would be for nobody. */
static void pauses_where_a_queue_stands(void **state)
{
	struct run run;
	struct peer other_sender, other_receiver;

	(void)state;
	for (int seed = 1; seed <= seeds; seed++) {
		start(&run, &satellite, seed);
		assert_false(link_run(run.link, 1020 * SECOND, is_pausing, &run.sender));
		peer_init(&other_sender, run.link, UINT64_MAX);
		peer_init(&other_receiver, run.link, 0);
		peer_listen(&other_receiver, 1, AF_INET, 81);
		assert_int_equal(peer_connect(&other_sender, 0, AF_INET, 81), 0);
		assert_true(link_run(run.link, 1060 * SECOND, is_pausing, &run.sender));
		finish(&run);
	}
}

/* Acknowledgements get lost too, and what the next one tells of is older than what it begins with. */
static void takes_no_loss_for_reordering(void **state)
{
	struct run run;

	(void)state;
	for (int seed = 1; seed <= seeds; seed++) {
		start(&run, &satellite, seed);
		link_run(run.link, 1006 * SECOND, NULL, NULL);
		assert_false(run.sender.stream->sender.rack.saw_reordering);
		finish(&run);
	}
}

static void comes_back_after_an_outage(void **state)
{
	struct link_profile profile = { .rate = 100e6, .delay = 25 * MS, .queue = 50 * MS };
	struct run run;

	(void)state;
	for (int seed = 1; seed <= seeds; seed++) {
		profile.down_from = 1003 * SECOND;
		profile.down_until = 1013 * SECOND;
		start(&run, &profile, seed);
		link_run(run.link, profile.down_until, NULL, NULL);
		uint64_t before = run.receiver.received;
		link_run(run.link, profile.down_until + 2100 * MS, NULL, NULL);
		assert_true(run.receiver.received > before);
		link_run(run.link, profile.down_until + 8 * SECOND, NULL, NULL);
		uint64_t later = run.receiver.received;
		link_run(run.link, profile.down_until + 12 * SECOND, NULL, NULL);
		double megabits = (double)(run.receiver.received - later) * 8 / 4 / 1e6;
		printf("    %.1f Mbit/s 8 to 12 s after the return\n", megabits);
		assert_true(megabits > 60);
		finish(&run);
	}
}

/* --- many random links --- */

struct crowd {
	struct link *link;
	struct peer clients[4], servers[4];
	int count;
	uint64_t refused_until;
	uint64_t reads_at; /* a slow reader reads once a second at least, while something happens */
};

/* While something is outstanding or unsent, something will happen by itself (netstack/sender/sender.h). */
static void assert_cannot_stall(const struct netstack *stack)
{
	for (const struct netstack_stream *stream = stack->all_streams; stream != NULL; stream = stream->next) {
		const struct sender *sender = &stream->sender;
		if (stream->state != STREAM_OPEN || stream->is_queued)
			continue;
		assert_int_equal(sender->board.in_flight + sender->board.sacked + sender->board.lost,
		                 sender->next -
		                     (scoreboard_is_empty(&sender->board) ? sender->next : scoreboard_at(&sender->board, sender->board.head)->start));
		if (sender->next > sender->acknowledged)
			assert_true(sender->deadlines[SENDER_TIMEOUT] != NETSTACK_NEVER);
		else if (sender_has_unsent(sender))
			assert_true(sender->deadlines[SENDER_PERSIST] != NETSTACK_NEVER || sender->deadlines[SENDER_PACE] != NETSTACK_NEVER);
		if (sender_deadline(sender) != NETSTACK_NEVER)
			assert_true(stream->timer.at <= sender_deadline(sender));
		const struct receiver *receiver = &stream->receiver;
		assert_true(receiver->consumed <= receiver->next);
		assert_true(receiver->held.count == 0 || receiver->held.first->left > receiver->next);
	}
}

/* Now and then the tunnel has no room, and says so when it has. */
static void step(void *owner)
{
	struct crowd *crowd = owner;
	uint64_t now = link_now(crowd->link);

	for (int i = 0; i < 2; i++) {
		struct link_side *side = link_side(crowd->link, i);
		assert_cannot_stall(side->stack);
		if (side->is_refusing && now >= crowd->refused_until) {
			side->is_refusing = false;
			netstack_writable(side->stack, now);
		} else if (!side->is_refusing && link_random(crowd->link) < 0.001) {
			side->is_refusing = true;
			crowd->refused_until = now + (uint64_t)(link_random(crowd->link) * 20 * (double)MS);
			link_wake(crowd->link, crowd->refused_until);
		}
	}
	bool read_all = now >= crowd->reads_at;
	if (read_all)
		crowd->reads_at = now + SECOND;
	for (int i = 0; i < crowd->count; i++) {
		if (crowd->clients[i].does_not_read && (read_all || link_random(crowd->link) < 0.02))
			peer_read(&crowd->clients[i]);
		if (crowd->servers[i].does_not_read && (read_all || link_random(crowd->link) < 0.02))
			peer_read(&crowd->servers[i]);
	}
}

static bool is_over(void *owner)
{
	struct crowd *crowd = owner;

	for (int i = 0; i < crowd->count; i++) {
		const struct peer *client = &crowd->clients[i], *server = &crowd->servers[i];
		bool was_never_heard = client->is_closed && !server->is_connected;
		if (!was_never_heard && (!client->is_closed || !server->is_closed))
			return false;
	}
	return true;
}

static double some(struct link *link, double most)
{
	double share = link_random(link);
	return share * share * most;
}

/* Any path, with up to four connections that carry up to `most` bytes each way. */
static void run_crowd(uint64_t seed, int connections, double most)
{
	struct crowd crowd = { .link = link_create(seed, 64 << 20), .refused_until = 0 };
	struct link *link = crowd.link;
	struct link_profile profile = {
		.rate = 1e6 + some(link, 200e6),
		.delay = (uint64_t)some(link, 150e6),
		.queue = 5 * MS + (uint64_t)some(link, 200e6),
		.loss = link_random(link) < 0.3 ? 0 : some(link, 0.2),
		.burst = link_random(link) < 0.5 ? 0 : link_random(link) * 0.5,
		.reorder = link_random(link) < 0.5 ? 0 : some(link, 0.3),
		.duplicate = link_random(link) < 0.5 ? 0 : some(link, 0.2),
	};

	link_set(link, &profile);
	link_set_batch(link, link_random(link) < 0.5 ? 0 : MS / 2);
	link_on_step(link, step, &crowd);
	crowd.count = 1 + (int)(link_random(link) * connections);
	double carried = profile.rate / 8 * 4 / (1 + 30 * profile.loss);
	if (most > carried)
		most = carried;
	for (int i = 0; i < crowd.count; i++) {
		peer_init(&crowd.clients[i], link, (uint64_t)some(link, most));
		peer_init(&crowd.servers[i], link, (uint64_t)some(link, most));
		crowd.servers[i].does_not_read = link_random(link) < 0.2;
		crowd.clients[i].does_not_read = link_random(link) < 0.2;
		uint8_t family = i % 2 ? AF_INET6 : AF_INET;
		peer_listen(&crowd.servers[i], 1, family, (uint16_t)(80 + i));
		assert_int_equal(peer_connect(&crowd.clients[i], 0, family, (uint16_t)(80 + i)), 0);
	}
	if (!link_run(link, link_now(link) + 1800 * SECOND, is_over, &crowd))
		fail_msg("seed %llu stalls", (unsigned long long)seed);
	for (int i = 0; i < crowd.count; i++) {
		const struct peer *client = &crowd.clients[i], *server = &crowd.servers[i];
		if (!server->is_connected) { /* all that the client said was lost */
			assert_int_not_equal(client->why, NETSTACK_OK);
			continue;
		}
		if (client->is_wrong || server->is_wrong || client->received != server->to_send || server->received != client->to_send)
			fail_msg("seed %llu: bytes are wrong", (unsigned long long)seed);
	}
	link_free(link);
	assert_int_equal(netstack_memory_used(), 0);
}

static void never_stalls(void **state)
{
	(void)state;
	for (int seed = 1; seed <= crowds * seeds; seed++)
		run_crowd((uint64_t)seed, 4, 3e6);
}

/* A queue of one packet, in which what is sent first at a timeout is all that arrives. */
static void the_first_hole_goes_first(void **state)
{
	(void)state;
	run_crowd((uint64_t)3371 << 32, 1, 60e3);
}

/* Acknowledgements lost for 20 s, then one that measures them. */
static void a_late_sample_silences_nobody(void **state)
{
	(void)state;
	run_crowd((uint64_t)22319 << 32, 1, 60e3);
}

/* The beginning and the end of a connection are where a lost packet finds the fewest others to tell of it. With 1,000 seeds these are a
 * million patterns of loss. */
static void short_ones_never_stall(void **state)
{
	(void)state;
	for (int seed = 1; seed <= 25 * crowds * seeds; seed++)
		run_crowd((uint64_t)seed << 32, 1, 60e3);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_full_over_100_ms),
		cmocka_unit_test(survives_one_percent),
		cmocka_unit_test(is_full_with_late_timers),
		cmocka_unit_test(shares_a_bottleneck),
		cmocka_unit_test(keeps_the_queue_short),
		cmocka_unit_test(survives_three_percent),
		cmocka_unit_test(crosses_a_satellite),
		cmocka_unit_test(is_full_on_a_busy_machine),
		cmocka_unit_test(pauses_where_a_queue_stands),
		cmocka_unit_test(takes_no_loss_for_reordering),
		cmocka_unit_test(is_full_despite_bursts),
		cmocka_unit_test(comes_back_after_an_outage),
		cmocka_unit_test(never_stalls),
		cmocka_unit_test(the_first_hole_goes_first),
		cmocka_unit_test(a_late_sample_silences_nobody),
		cmocka_unit_test(short_ones_never_stall),
	};
	if (argc > 1)
		seeds = atoi(argv[1]);
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
