/* A path that silently drops large packets is detected, worked around and remembered; one that only looks like it is not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "netstack/packet/black_hole.h"
#include "netstack/path.h"
#include "netstack/receiver/gap.h"
#include "netstack/stream.h"
#include "tests/netstack/peer.h"

#define FULL 1380u

/* --- the decision --- */

static uint32_t time_out(struct black_hole *hole, uint32_t segment, uint64_t place)
{
	return black_hole_timed_out(hole, segment, segment, place, false);
}

static void a_size_is_found_when_small_ones_pass_twice(void **state)
{
	struct black_hole hole;
	uint32_t found = 0;

	(void)state;
	black_hole_init(&hole, AF_INET);
	assert_false(hole.is_watched);
	assert_int_equal(time_out(&hole, FULL, 0), FULL);
	assert_true(hole.is_watched);
	assert_int_equal(time_out(&hole, FULL, 0), 1240);
	assert_int_equal(black_hole_progress(&hole, 1240, 0, &found), 1240);
	assert_int_equal(black_hole_progress(&hole, 1240, 1240, &found), FULL);
	assert_int_equal(found, 0);
	black_hole_sent(&hole, 1240 + FULL, FULL);
	assert_int_equal(time_out(&hole, FULL, 1240), 1240);
	assert_int_equal(black_hole_progress(&hole, 1240, 2480, &found), 1240);
	assert_int_equal(found, 1280);
	assert_false(hole.is_watched);
}

/* The smaller step is tried when the larger passes neither, and nothing below the smallest (P6). */
static void nothing_is_tried_below_the_floors(void **state)
{
	static const struct {
		uint8_t family;
		uint32_t full, sizes[7];
	} cases[] = {
		{ AF_INET, 1380, { 1380, 1240, 1240, 1160, 1160, 536, 536 } },    { AF_INET, 8960, { 8960, 1240, 1240, 1160, 1160, 536, 536 } },
		{ AF_INET, 1240, { 1240, 1160, 1160, 536, 536, 536, 536 } },      { AF_INET, 536, { 536, 536, 536, 536, 536, 536, 536 } },
		{ AF_INET6, 1360, { 1360, 1220, 1220, 1220, 1220, 1220, 1220 } }, { AF_INET6, 1220, { 1220, 1220, 1220, 1220, 1220, 1220, 1220 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct black_hole hole;
		uint32_t segment = cases[i].full;
		black_hole_init(&hole, cases[i].family);
		for (size_t n = 0; n < 7; n++) {
			segment = time_out(&hole, segment, 0);
			assert_int_equal(segment, cases[i].sizes[n]);
		}
	}
	assert_int_equal(black_hole_below(AF_INET, 576), 0);
	assert_int_equal(black_hole_below(AF_INET6, 1280), 0);
}

/* After an outage the small one passes first, and then the full one as well. */
static void an_outage_is_no_black_hole(void **state)
{
	struct black_hole hole;
	uint32_t found = 0, segment = FULL;

	(void)state;
	black_hole_init(&hole, AF_INET);
	for (int i = 0; i < 9; i++)
		segment = time_out(&hole, segment, 5000);
	assert_int_equal(segment, 536);
	segment = black_hole_progress(&hole, segment, 5536, &found);
	assert_int_equal(segment, FULL);
	black_hole_sent(&hole, 5536 + FULL, FULL);
	segment = black_hole_progress(&hole, segment, 5536 + FULL, &found);
	assert_int_equal(segment, FULL);
	assert_int_equal(found, 0);
	assert_false(hole.is_watched);
}

static void timeouts_with_progress_between_are_loss(void **state)
{
	struct black_hole hole;
	uint32_t found = 0;

	(void)state;
	black_hole_init(&hole, AF_INET);
	for (uint64_t place = 0; place < 100 * FULL; place += FULL) {
		assert_int_equal(time_out(&hole, FULL, place), FULL);
		assert_int_equal(black_hole_progress(&hole, FULL, place + FULL, &found), FULL);
	}
	/* A full one behind the hole arrived; and a small one that is lost says nothing of sizes. */
	for (int i = 0; i < 9; i++) {
		assert_int_equal(black_hole_timed_out(&hole, FULL, FULL, 0, true), FULL);
		assert_int_equal(black_hole_timed_out(&hole, FULL, 100, 0, false), FULL);
	}
	assert_int_equal(found, 0);
}

/* RFC 2883: the far end has the bytes twice, so an acknowledgement was lost. */
static void timeouts_of_what_arrived_are_loss(void **state)
{
	static const struct {
		uint64_t left, right;
		int more; /* timeouts, of the small one */
		bool had_arrived;
	} cases[] = { { 1000, 2240, 0, true },
		      { 2240, 1000 + FULL, 0, true },
		      { 1000, 2240, 1, true },
		      { 0, 1000, 0, false },
		      { FULL + 1000, 5000, 0, false } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct black_hole hole;
		uint32_t found = 0;
		black_hole_init(&hole, AF_INET);
		for (int n = 0; n < 2 + cases[i].more; n++)
			time_out(&hole, n < 2 ? FULL : 1240, 1000);
		black_hole_doubled(&hole, cases[i].left, cases[i].right);
		assert_int_equal(black_hole_progress(&hole, 1240, 2240, &found), FULL);
		assert_int_equal(hole.is_watched, !cases[i].had_arrived);
	}
}

static void a_gap_is_judged_after_the_far_end_was_asked(void **state)
{
	struct gap gap;

	(void)state;
	gap_init(&gap);
	assert_int_equal(gap_expire(&gap, 0, true, 100 * SECOND), GAP_WAIT);
	gap_open(&gap, 500, 100 * SECOND);
	assert_int_equal(gap_expire(&gap, 500, true, 101 * SECOND), GAP_WAIT);
	assert_int_equal(gap_expire(&gap, 900, true, 103 * SECOND), GAP_WAIT); /* it is another one now */
	assert_int_equal(gap_expire(&gap, 900, true, 106 * SECOND), GAP_ASK);
	assert_int_equal(gap_expire(&gap, 900, true, 109 * SECOND), GAP_WAIT);
	assert_int_equal(gap_expire(&gap, 900, true, 110 * SECOND), GAP_JUDGE);
	assert_int_equal(gap_expire(&gap, 900, true, 200 * SECOND), GAP_WAIT);
	/* What came was all there is. */
	gap_open(&gap, 900, 300 * SECOND);
	assert_int_equal(gap_expire(&gap, 950, false, 303 * SECOND), GAP_WAIT);
	assert_int_equal(gap.deadline, NETSTACK_NEVER);
}

/* When data that was sent at time 0 arrives over a path that is down until then: the timeout doubles (RFC 6298, 5.5). */
static uint64_t repeated_at(uint64_t timeout, uint64_t down_until)
{
	uint64_t at = timeout;

	for (uint64_t pause = timeout; at < down_until; at += pause)
		pause *= 2;
	return at;
}

/* The far end is heard as soon as the path is up, and repeats its data only when it is due, at most twice as late. */
static void a_far_end_with_a_long_timeout_is_waited_for(void **state)
{
	(void)state;
	for (uint64_t timeout = 200 * MS; timeout <= SECOND; timeout += 10 * MS) {
		for (uint64_t down_until = 0; down_until < 3 * SECOND; down_until += 10 * MS) {
			uint64_t arrives_at = repeated_at(timeout, down_until);
			struct gap gap;
			gap_open(&gap, 0, 0);
			while (gap.deadline < arrives_at)
				assert_int_not_equal(gap_expire(&gap, 0, true, gap.deadline), GAP_JUDGE);
		}
	}
}

/* --- through two stacks --- */

struct scene {
	struct link *link;
	struct peer sender, receiver;
};

static void set_up(struct scene *scene, size_t size_max, uint8_t family, uint64_t bytes)
{
	const struct link_profile profile = { .delay = 20 * MS, .size_max = size_max };

	scene->link = link_create(1, 64 << 20);
	link_set(scene->link, &profile);
	peer_init(&scene->sender, scene->link, bytes);
	peer_init(&scene->receiver, scene->link, 0);
	peer_listen(&scene->receiver, 1, family, 80);
	assert_int_equal(peer_connect(&scene->sender, 0, family, 80), 0);
}

static bool has_ended(void *owner)
{
	struct scene *scene = owner;
	return scene->sender.is_closed && scene->receiver.is_closed;
}

static uint16_t limit_of(struct scene *scene, int side)
{
	return netstack_path_limit(link_side(scene->link, side)->stack, link_now(scene->link));
}

static uint8_t other_family(uint8_t family)
{
	return family == AF_INET ? AF_INET6 : AF_INET;
}

/* A second upload, to the far end's address of the other family. */
static void upload_elsewhere(struct scene *scene, uint8_t family, struct peer *near, struct peer *far)
{
	peer_init(near, scene->link, 400000);
	peer_init(far, scene->link, 0);
	peer_listen(far, 1, family, 90);
	assert_int_equal(peer_connect(near, 0, family, 90), 0);
	link_run(scene->link, link_now(scene->link) + 20 * SECOND, NULL, NULL);
	assert_int_equal(far->received, 400000);
}

static void is_got_round(uint8_t family, size_t size_max)
{
	struct scene scene;
	struct peer nears[2], fars[2];

	set_up(&scene, size_max, family, 400000);
	uint64_t begin = link_now(scene.link);
	assert_true(link_run(scene.link, begin + 20 * SECOND, has_ended, &scene));
	assert_int_equal(scene.receiver.received, 400000);
	assert_false(scene.receiver.is_wrong);
	uint64_t took = link_now(scene.link) - begin;
	assert_true(took < 10 * SECOND);

	/* The next one knows: it is as quick as on a path without a limit, in both directions. */
	for (int side = 0; side < 2; side++) {
		struct peer *near = &nears[side], *far = &fars[side];
		uint16_t port = (uint16_t)(81 + side);
		peer_init(near, scene.link, side == 0 ? 400000 : 0);
		peer_init(far, scene.link, side == 0 ? 0 : 400000);
		near->keeps_open = far->keeps_open = true;
		peer_listen(far, 1, family, port);
		begin = link_now(scene.link);
		assert_int_equal(peer_connect(near, 0, family, port), 0);
		link_run(scene.link, begin + 600 * MS, NULL, NULL);
		assert_int_equal(side == 0 ? far->received : near->received, 400000);
	}
	link_free(scene.link);
}

static void a_stream_gets_round_a_limit(void **state)
{
	(void)state;
	is_got_round(AF_INET, 1400);
	is_got_round(AF_INET6, 1400);
	is_got_round(AF_INET, 1264);
	is_got_round(AF_INET, 1000);
}

/* One address alone may have a rule of its own, so the tunnel is not told to be limited, and other addresses get full segments. */
static void a_limit_of_the_path_takes_two_far_ends(void **state)
{
	(void)state;
	for (int n = 0; n < 2; n++) {
		uint8_t family = n == 0 ? AF_INET : AF_INET6;
		struct scene scene;
		struct peer near, far;

		set_up(&scene, 1400, family, 400000);
		assert_true(link_run(scene.link, link_now(scene.link) + 20 * SECOND, has_ended, &scene));
		assert_int_equal(limit_of(&scene, 0), 0);
		upload_elsewhere(&scene, other_family(family), &near, &far);
		assert_int_equal(limit_of(&scene, 0), 1280);
		assert_int_equal(netstack_path_refused(link_side(scene.link, 0)->stack), LINK_MTU);
		link_free(scene.link);
	}
}

static void a_rule_of_one_far_end_is_its_own(void **state)
{
	const struct link_profile profile = { .delay = 20 * MS, .size_max = 600, .is_size_of4 = true };
	struct scene scene;
	struct peer near, far;

	(void)state;
	set_up(&scene, 0, AF_INET, 100000);
	link_set(scene.link, &profile);
	assert_true(link_run(scene.link, link_now(scene.link) + 30 * SECOND, has_ended, &scene));
	peer_init(&near, scene.link, UINT64_MAX);
	peer_init(&far, scene.link, 0);
	peer_listen(&far, 1, AF_INET6, 90);
	assert_int_equal(peer_connect(&near, 0, AF_INET6, 90), 0);
	link_run(scene.link, link_now(scene.link) + SECOND, NULL, NULL);
	assert_int_equal(near.stream->sender.segment, LINK_MTU - 60);
	assert_int_equal(limit_of(&scene, 0), 0);
	link_free(scene.link);
}

static void find_at(struct scene *scene, uint8_t host, uint32_t packet)
{
	const struct netstack_stream stream = { .stack = link_side(scene->link, 0)->stack,
		                                .remote = { .family = AF_INET, .bytes = { 198, 51, 100, host } } };
	path_limit(&stream, packet, link_now(scene->link));
}

/* Two far ends have a limit in common, which is the tunnel's, unless a third one shows that larger packets pass. */
static void a_third_far_end_may_disprove_it(void **state)
{
	static const struct {
		uint64_t silent;         /* since it was heard */
		unsigned backoff;        /* timeouts in a row */
		uint32_t received, sent; /* its largest segment, and ours */
		uint64_t delivered;
		bool is_limited;
	} cases[] = {
		{ 0, 0, LINK_MTU - 40, 536, 0, false },                /* it sent large ones */
		{ 0, 0, 536, LINK_MTU - 40, 1 << 20, false },          /* it has many of ours */
		{ 0, 0, 536, LINK_MTU - 40, 0, true },                 /* it has none yet */
		{ 0, 0, 536, 536, 1 << 20, true },                     /* they were small */
		{ 0, 1, LINK_MTU - 40, LINK_MTU - 40, 1 << 20, true }, /* it does not answer now */
		{ 3600 * SECOND, 0, LINK_MTU - 40, LINK_MTU - 40, 1 << 20, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scene scene;
		set_up(&scene, 0, AF_INET, UINT64_MAX);
		link_run(scene.link, link_now(scene.link) + 200 * MS, NULL, NULL);
		struct netstack_stream *third = scene.sender.stream;
		third->heard_at = link_now(scene.link) - cases[i].silent;
		third->sender.rtt.backoff = cases[i].backoff;
		third->receiver.segment = cases[i].received;
		third->sender.segment = cases[i].sent;
		third->sender.rate.delivered = cases[i].delivered;
		find_at(&scene, 1, 1280);
		assert_int_equal(limit_of(&scene, 0), 0); /* one alone */
		find_at(&scene, 2, LINK_MTU);             /* no limit */
		find_at(&scene, 2, 1200);
		assert_int_equal(limit_of(&scene, 0), cases[i].is_limited ? 1280 : 0);
		link_free(scene.link);
	}
}

/* P6: of so many the oldest are forgotten. */
static void findings_are_few(void **state)
{
	struct scene scene;

	(void)state;
	set_up(&scene, 0, AF_INET, 0);
	for (unsigned host = 1; host < 250; host++) {
		const struct netstack_endpoint at = { .family = AF_INET, .bytes = { 198, 51, 100, (uint8_t)host } };
		find_at(&scene, (uint8_t)host, 1200);
		find_at(&scene, (uint8_t)host, 1100); /* the same again */
		assert_int_equal(path_mtu(link_side(scene.link, 0)->stack, &at), 1100);
		link_run(scene.link, link_now(scene.link) + MS, NULL, NULL);
	}
	assert_int_equal(limit_of(&scene, 0), 1100);
	link_free(scene.link);
}

static void it_is_forgotten_after_ten_minutes(void **state)
{
	struct scene scene;
	struct peer near, far;

	(void)state;
	set_up(&scene, 1400, AF_INET, 400000);
	assert_true(link_run(scene.link, link_now(scene.link) + 20 * SECOND, has_ended, &scene));
	upload_elsewhere(&scene, AF_INET6, &near, &far);
	assert_int_equal(limit_of(&scene, 0), 1280);
	link_run(scene.link, link_now(scene.link) + 621 * SECOND, NULL, NULL);
	assert_int_equal(limit_of(&scene, 0), 0);
	link_free(scene.link);
}

/* Outages, and losses of every kind, are not taken for a limit. */
static void a_bad_path_is_no_black_hole(void **state)
{
	(void)state;
	for (int n = 0; n < 12; n++) {
		struct scene scene;
		set_up(&scene, 0, AF_INET, 3000000);
		uint64_t begin = link_now(scene.link);
		struct link_profile profile = { .rate = 2e7, .delay = 20 * MS, .queue = 40 * MS };
		profile.loss = n % 3 * 0.03;
		profile.burst = n % 2 * 0.5;
		profile.down_from = begin + 400 * MS;
		profile.down_until = profile.down_from + (uint64_t)n * 700 * MS;
		link_set(scene.link, &profile);
		assert_true(link_run(scene.link, begin + 120 * SECOND, has_ended, &scene));
		assert_int_equal(scene.receiver.received, 3000000);
		assert_int_equal(limit_of(&scene, 0), 0);
		link_free(scene.link);
	}
}

/* --- downloads --- */

struct download {
	struct link *link;
	struct peer near, far;
};

/* A request of 10 bytes. */
static void open_download(struct download *download, const struct link_profile *profile, uint8_t family, uint64_t answer)
{
	download->link = link_create(1, 64 << 20);
	link_set(download->link, profile);
	peer_init(&download->near, download->link, 10);
	peer_init(&download->far, download->link, answer);
	download->near.keeps_open = download->far.keeps_open = true;
	peer_listen(&download->far, 1, family, 80);
	assert_int_equal(peer_connect(&download->near, 0, family, 80), 0);
}

static uint16_t mtu_of(const struct download *download, uint8_t family)
{
	struct netstack_endpoint remote = link_address(1, family, 80);

	return path_mtu(link_side(download->link, 0)->stack, &remote);
}

/* Nothing that has data passes, however the far end cuts it: its empty segments show that it was sent. */
static void an_answer_of_which_nothing_comes_is_a_sign(void **state)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	const struct link_profile profile = { .delay = 20 * MS, .size_max = 100 };

	(void)state;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		struct download download;
		open_download(&download, &profile, families[i], 400000);
		link_run(download.link, link_now(download.link) + 10 * SECOND, NULL, NULL);
		assert_int_equal(download.near.received, 0);
		assert_int_equal(mtu_of(&download, families[i]), 1280);
		link_free(download.link);
	}
}

/* It is asked once whether it has sent anything. */
static void a_far_end_that_takes_its_time_is_no_black_hole(void **state)
{
	const struct link_profile profile = { .delay = 20 * MS };
	struct download download;

	(void)state;
	open_download(&download, &profile, AF_INET, 0);
	link_run(download.link, link_now(download.link) + 2 * SECOND, NULL, NULL);
	uint64_t packets = link_side(download.link, 0)->packets;
	link_run(download.link, link_now(download.link) + 60 * SECOND, NULL, NULL);
	assert_int_equal(link_side(download.link, 0)->packets, packets + 1);
	download.far.to_send = 400000;
	peer_pump(&download.far);
	link_run(download.link, link_now(download.link) + 10 * SECOND, NULL, NULL);
	assert_int_equal(download.near.received, 400000);
	assert_int_equal(mtu_of(&download, AF_INET), LINK_MTU);
	link_free(download.link);
}

/* Losses of every kind, and outages that begin before, with and after the answer. */
static void a_download_on_a_bad_path_is_no_black_hole(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 60; n++) {
		struct link_profile profile = { .rate = 2e7, .delay = 20 * MS, .queue = 40 * MS };
		struct download download;
		profile.loss = n % 4 * 0.05;
		profile.burst = n % 2 * 0.5;
		open_download(&download, &profile, n % 2 == 0 ? AF_INET : AF_INET6, 300000);
		profile.down_from = link_now(download.link) + n % 5 * 30 * MS;
		profile.down_until = profile.down_from + n * 200 * MS;
		link_set(download.link, &profile);
		link_run(download.link, link_now(download.link) + 150 * SECOND, NULL, NULL);
		assert_int_equal(download.near.received, 300000);
		assert_int_equal(mtu_of(&download, n % 2 == 0 ? AF_INET : AF_INET6), LINK_MTU);
		link_free(download.link);
	}
}

/* One far end that takes no large segments, while another one does, is its own matter. */
static void one_far_end_cannot_slow_the_others(void **state)
{
	const struct link_profile profile = { .rate = 1e7, .delay = 20 * MS, .queue = 50 * MS, .size_max = 1400, .is_size_of4 = true };
	struct scene scene;
	struct peer good, taker;

	(void)state;
	set_up(&scene, 0, AF_INET, 400000);
	link_set(scene.link, &profile);
	peer_init(&good, scene.link, UINT64_MAX);
	peer_init(&taker, scene.link, 0);
	peer_listen(&taker, 1, AF_INET6, 80);
	assert_int_equal(peer_connect(&good, 0, AF_INET6, 80), 0);
	assert_true(link_run(scene.link, link_now(scene.link) + 20 * SECOND, has_ended, &scene));
	assert_int_equal(scene.receiver.received, 400000);
	assert_int_equal(limit_of(&scene, 0), 0);
	assert_int_equal(good.stream->sender.segment, LINK_MTU - 60);
	link_free(scene.link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_size_is_found_when_small_ones_pass_twice),
		cmocka_unit_test(nothing_is_tried_below_the_floors),
		cmocka_unit_test(an_outage_is_no_black_hole),
		cmocka_unit_test(timeouts_with_progress_between_are_loss),
		cmocka_unit_test(timeouts_of_what_arrived_are_loss),
		cmocka_unit_test(a_gap_is_judged_after_the_far_end_was_asked),
		cmocka_unit_test(a_far_end_with_a_long_timeout_is_waited_for),
		cmocka_unit_test(a_stream_gets_round_a_limit),
		cmocka_unit_test(a_limit_of_the_path_takes_two_far_ends),
		cmocka_unit_test(a_rule_of_one_far_end_is_its_own),
		cmocka_unit_test(a_third_far_end_may_disprove_it),
		cmocka_unit_test(findings_are_few),
		cmocka_unit_test(it_is_forgotten_after_ten_minutes),
		cmocka_unit_test(a_bad_path_is_no_black_hole),
		cmocka_unit_test(an_answer_of_which_nothing_comes_is_a_sign),
		cmocka_unit_test(a_far_end_that_takes_its_time_is_no_black_hole),
		cmocka_unit_test(a_download_on_a_bad_path_is_no_black_hole),
		cmocka_unit_test(one_far_end_cannot_slow_the_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
