#include "netstack/sender/sender.h"

#include <assert.h>

#include "netstack/packet/budget.h"
#include "netstack/packet/netstack_types.h"
#include "netstack/packet/random.h"
#include "netstack/sender/transmit.h"

#define MS 1000000ull
#define GIVE_UP (300000 * MS) /* without progress; RFC 1122, 4.2.3.5 requires at least 100 s */
#define BUFFER_GAIN 2         /* times the bandwidth-delay product: the data in flight, and as much waiting */
#define BUFFER_GAIN_LOSS 4    /* acknowledgements are delayed for several rounds */
#define OLD_MAX (1u << 30)    /* no window is larger */

void sender_init(struct sender *sender, const struct sender_env *env, struct budget *budget, uint32_t first, uint32_t segment, bool has_sack,
                 uint64_t round_trip, uint64_t now)
{
	assert(env->emit != NULL);
	*sender = (struct sender){
		.env = *env,
		.budget = budget,
		.queue.budget = budget,
		.first = first,
		.segment = segment,
		.has_sack = has_sack,
		.limit = BUDGET_FLOOR,
		.next_send = now,
	};
	for (size_t i = 0; i < SENDER_TIMERS; i++)
		sender->deadlines[i] = NETSTACK_NEVER;
	scoreboard_init(&sender->board, budget);
	rtt_init(&sender->rtt);
	if (round_trip > 0)
		rtt_sample(&sender->rtt, round_trip);
	rack_init(&sender->rack);
	black_hole_init(&sender->hole, env->family);
	bbr_init(&sender->bbr, segment, round_trip, now);
}

void sender_clear(struct sender *sender)
{
	budget_release(sender->budget, (size_t)(sender->queue.end - sender->queue.start));
	queue_clear(&sender->queue);
	scoreboard_clear(&sender->board);
	for (size_t i = 0; i < SENDER_TIMERS; i++)
		sender->deadlines[i] = NETSTACK_NEVER;
}

size_t sender_room(const struct sender *sender)
{
	size_t held = (size_t)(sender->queue.end - sender->queue.start);
	size_t limit = budget_is_spent(sender->budget) ? BUDGET_LEAST : sender->limit;
	return held < limit ? limit - held : 0;
}

size_t sender_write(struct sender *sender, const void *bytes, size_t length)
{
	size_t room = sender_room(sender);

	if (sender->has_finished)
		return 0;
	if (length > room)
		length = room;
	if (length == 0 || !queue_append(&sender->queue, bytes, length))
		return 0;
	budget_charge(sender->budget, length);
	return length;
}

void sender_finish(struct sender *sender)
{
	sender->has_finished = true;
}

bool sender_is_done(const struct sender *sender)
{
	return sender->has_finished && sender->acknowledged > sender->queue.end;
}

bool sender_has_unsent(const struct sender *sender)
{
	return sender->next < sender->queue.end + sender->has_finished;
}

/* --- acknowledgements --- */

static void deliver(struct sender *sender, uint32_t index, uint64_t now)
{
	const struct sent *sent = scoreboard_at(&sender->board, index);

	scoreboard_land(&sender->board, index);
	rate_delivered(&sender->rate, &sender->sample, sent, now);
	rack_delivered(&sender->rack, &sender->rtt, sent, now);
	sender->has_progress = true;
}

static void sack(struct sender *sender, uint64_t left, uint64_t right, uint64_t now)
{
	struct scoreboard *board = &sender->board;

	/* Each iteration advances by a segment, or over a known run: in total at most as many as are outstanding. */
	for (uint32_t i = scoreboard_find(board, left); i != board->tail;) {
		const struct sent *sent = scoreboard_at(board, i);
		if (scoreboard_end(sent) > right)
			break;
		if (sent->flags & SENT_SACKED) {
			i = scoreboard_skip(board, i);
			continue;
		}
		deliver(sender, i, now);
		scoreboard_mark_sacked(board, i);
		i++;
	}
}

static uint64_t place_of(const struct sender *sender, uint32_t sequence)
{
	uint32_t acknowledged = sender->first + (uint32_t)sender->acknowledged;
	return sender->acknowledged + (uint64_t)(int64_t)(int32_t)(sequence - acknowledged);
}

/* The first block may be a DSACK: below the acknowledgement, or inside the second block (RFC 2883, 4). */
static bool is_duplicate(const struct sender *sender, const struct segment *segment, size_t index, uint64_t left, uint64_t right)
{
	uint64_t acknowledged = place_of(sender, segment->acknowledgement);

	if (index > 0)
		return false;
	if ((int64_t)(right - acknowledged) <= 0)
		return true;
	if (segment->sack_count < 2)
		return false;
	return (int64_t)(left - place_of(sender, packet_read32(segment->sack + 8))) >= 0 &&
	       (int64_t)(right - place_of(sender, packet_read32(segment->sack + 12))) <= 0;
}

struct block {
	uint64_t left, right;
};

/* The newest block comes first. But blocks of an earlier acknowledgement that was lost must not look like reordering. */
static void insert(struct block *blocks, size_t count, struct block block)
{
	while (count > 0 && blocks[count - 1].left > block.left) {
		blocks[count] = blocks[count - 1];
		count--;
	}
	blocks[count] = block;
}

static void note_duplicate(struct sender *sender, uint64_t left, uint64_t right)
{
	rack_duplicate(&sender->rack, sender->acknowledged, sender->next);
	if (sender->hole.is_watched)
		black_hole_doubled(&sender->hole, left, right);
}

static void read_sack(struct sender *sender, const struct segment *segment, uint64_t now)
{
	struct block blocks[SEGMENT_SACK_MAX];
	size_t count = 0;

	for (size_t i = 0; i < segment->sack_count; i++) { /* SEGMENT_SACK_MAX at most */
		uint64_t left = place_of(sender, packet_read32(segment->sack + 8 * i));
		uint64_t right = place_of(sender, packet_read32(segment->sack + 8 * i + 4));
		if ((int64_t)(right - left) <= 0 || (int64_t)(right - sender->next) > 0)
			continue;
		if (is_duplicate(sender, segment, i, left, right))
			note_duplicate(sender, left, right);
		else if ((int64_t)(left - sender->acknowledged) > 0)
			insert(blocks, count++, (struct block){ left, right });
	}
	for (size_t i = 0; i < count; i++)
		sack(sender, blocks[i].left, blocks[i].right, now);
}

static void pop_acknowledged(struct sender *sender, uint64_t place, uint64_t now)
{
	struct scoreboard *board = &sender->board;

	sender->acknowledged = place;
	while (!scoreboard_is_empty(board) && scoreboard_end(scoreboard_at(board, board->head)) <= place) {
		if (!(scoreboard_at(board, board->head)->flags & SENT_SACKED))
			deliver(sender, board->head, now);
		scoreboard_pop(board);
	}
	uint64_t data = place < sender->queue.end ? place : sender->queue.end;
	budget_release(sender->budget, (size_t)(data - sender->queue.start));
	queue_release(&sender->queue, data);
	sender->rtt.backoff = 0;
	sender->duplicates = 0;
	sender->has_progress = true;
}

static void lose(void *owner, uint32_t index);

/* Loss detection for a peer without SACK: three duplicate acknowledgements, or a partial one during recovery (RFC 6582). */
static void read_reno(struct sender *sender, const struct segment *segment, bool is_repeated, bool is_partial)
{
	struct scoreboard *board = &sender->board;

	if (scoreboard_is_empty(board))
		return;
	const struct sent *head = scoreboard_at(board, board->head);
	if (is_repeated && segment->length == 0)
		sender->duplicates++;
	if ((sender->duplicates == 3 || is_partial) && !(head->flags & SENT_LOST) && !(head->flags & SENT_AGAIN))
		lose(sender, board->head);
}

static bool read_window(struct sender *sender, const struct segment *segment, uint64_t place, unsigned shift)
{
	bool is_newer = (int32_t)(segment->sequence - sender->window_sequence) > 0 ||
	                (segment->sequence == sender->window_sequence && place >= sender->window_acknowledged);
	uint64_t window = (uint64_t)segment->window << shift;
	uint64_t end = place + window;

	if (!is_newer && sender->window_max > 0)
		return false;
	bool has_changed = end != sender->window_end;
	sender->window_sequence = segment->sequence;
	sender->window_acknowledged = place;
	sender->window_end = end;
	if (window > sender->window_max)
		sender->window_max = window;
	if (has_changed) {
		sender->deadlines[SENDER_PERSIST] = NETSTACK_NEVER;
		if (scoreboard_is_empty(&sender->board))
			sender->rtt.backoff = 0;
	}
	return has_changed;
}

bool sender_heard(struct sender *sender, const struct segment *segment, unsigned window_shift, uint64_t now)
{
	uint64_t place = place_of(sender, segment->acknowledgement);
	int64_t ahead = (int64_t)(place - sender->acknowledged);

	if ((int64_t)(place - sender->next) > 0 || ahead < -(int64_t)OLD_MAX)
		return false;
	rate_open(&sender->sample, sender->board.in_flight);
	sender->stalled_since = 0;
	if (ahead < 0)
		return true;
	bool has_changed = read_window(sender, segment, place, window_shift);
	bool is_partial = ahead > 0 && sender->phase == SENDER_RECOVERY && place < sender->recovery_point;
	if (ahead > 0)
		pop_acknowledged(sender, place, now);
	if (!sender->has_sack)
		read_reno(sender, segment, ahead == 0 && !has_changed, is_partial);
	if (sender->has_sack && segment->sack_count > 0 && !scoreboard_is_empty(&sender->board))
		read_sack(sender, segment, now);
	return true;
}

/* --- evaluation --- */

static struct bbr_context context_of(const struct sender *sender, uint64_t now)
{
	return (struct bbr_context){
		.delivered = sender->rate.delivered,
		.in_flight = sender->board.in_flight,
		.is_window_limited = sender->is_window_limited,
		.now = now,
		.random = random_number(),
	};
}

static void lose(void *owner, uint32_t index)
{
	struct sender *sender = owner;
	const struct sent *sent = scoreboard_at(&sender->board, index);

	scoreboard_lose(&sender->board, index);
	sender->rate.lost += sent->length;
	if (sent->delivered >= sender->bbr.steady_from)
		sender->sample.newly_lost += sent->length;
	if (sender->bbr.samples_probe) {
		struct bbr_context context = context_of(sender, sender->rate.delivered_at);
		bbr_lost(&sender->bbr, sent->in_flight, sender->rate.lost - sent->lost, (sent->flags & SENT_LIMITED) != 0, &context);
	}
}

static void detect_losses(struct sender *sender, uint64_t now)
{
	uint64_t window = rack_window(&sender->rack, &sender->rtt, sender->phase != SENDER_OPEN, sender->board.sacked >= 3ull * sender->segment);

	sender->deadlines[SENDER_REORDER] = rack_detect(&sender->rack, &sender->board, window, now, lose, sender);
}

/* Recovery begins with the first loss, however it was detected, and ends when everything sent before that is acknowledged. */
static void check_recovery(struct sender *sender)
{
	if (sender->phase == SENDER_OPEN && sender->board.lost > 0) {
		sender->phase = SENDER_RECOVERY;
		sender->recovery_point = sender->next;
	}
	if (sender->phase == SENDER_OPEN || sender->acknowledged < sender->recovery_point || sender->board.lost > 0)
		return;
	sender->phase = SENDER_OPEN;
	rack_recovered(&sender->rack);
	bbr_recovered(&sender->bbr);
}

static void check_reneging(struct sender *sender)
{
	struct scoreboard *board = &sender->board;

	if (!scoreboard_is_empty(board) && (scoreboard_at(board, board->head)->flags & SENT_SACKED))
		scoreboard_renege(board);
}

/* The buffer follows the path: large enough to keep it full while the oldest hole is repaired. */
static void set_limit(struct sender *sender)
{
	unsigned gain = sender->phase == SENDER_OPEN ? BUFFER_GAIN : BUFFER_GAIN_LOSS;
	uint64_t want = gain * (sender->bbr.window > bbr_inflight(&sender->bbr, 1) ? sender->bbr.window : bbr_inflight(&sender->bbr, 1));
	size_t share = budget_share(sender->budget);

	if (want < BUDGET_FLOOR)
		want = BUDGET_FLOOR;
	sender->limit = want < share ? (size_t)want : share;
}

static void arm(struct sender *sender, uint64_t now)
{
	const struct scoreboard *board = &sender->board;

	sender->deadlines[SENDER_PROBE] = NETSTACK_NEVER;
	if (scoreboard_is_empty(board)) {
		sender->deadlines[SENDER_TIMEOUT] = NETSTACK_NEVER;
		return;
	}
	if (sender->has_progress || sender->deadlines[SENDER_TIMEOUT] == NETSTACK_NEVER)
		sender->deadlines[SENDER_TIMEOUT] = now + rtt_timeout(&sender->rtt);
	if (sender->phase != SENDER_OPEN || board->sacked > 0 || sender->probe_end != 0 || sender->rtt.smoothed == 0 || board->in_flight == 0)
		return;
	uint64_t due = scoreboard_at(board, board->flying.newest)->sent_at + rack_probe_delay(&sender->rtt, board->in_flight <= sender->segment);
	if (due < sender->deadlines[SENDER_TIMEOUT])
		sender->deadlines[SENDER_PROBE] = due > now ? due : now + MS;
}

static void resize(struct sender *sender, uint32_t segment)
{
	sender->segment = segment;
	sender->bbr.segment = segment;
}

/* A sample stays open until data arrives, so that losses detected by a timer are counted with it. */
static void conclude(struct sender *sender, uint64_t now)
{
	check_reneging(sender);
	if (sender->hole.is_watched)
		resize(sender, black_hole_progress(&sender->hole, sender->segment, sender->acknowledged, &sender->path_limit));
	if (sender->has_progress) {
		if (sender->sample.round_trip > 0)
			rtt_sample(&sender->rtt, sender->sample.round_trip);
		if (sender->acknowledged >= sender->probe_end)
			sender->probe_end = 0;
		detect_losses(sender, now);
	}
	check_recovery(sender);
	if (!sender->has_progress)
		return;
	rate_close(&sender->rate, &sender->sample, sender->rtt.minimum, now);
	struct bbr_context context = context_of(sender, now);
	bbr_update(&sender->bbr, &sender->sample, &context);
	sender->is_window_limited = false;
	set_limit(sender);
}

void sender_update(struct sender *sender, uint64_t now)
{
	sender->is_blocked = false;
	if (sender->sample.is_open)
		conclude(sender, now);
	transmit_pump(sender, now);
	arm(sender, now);
	sender->has_progress = false;
}

/* --- timers --- */

uint64_t sender_deadline(const struct sender *sender)
{
	uint64_t deadline = NETSTACK_NEVER;

	for (size_t i = 0; i < SENDER_TIMERS; i++) {
		if (sender->deadlines[i] < deadline)
			deadline = sender->deadlines[i];
	}
	return deadline;
}

static void note_stall(struct sender *sender, uint64_t now)
{
	if (sender->stalled_since == 0)
		sender->stalled_since = now;
	else if (now - sender->stalled_since > GIVE_UP)
		sender->has_given_up = true;
}

/* A full segment behind the first hole arrived without retransmission: the path carries that size. */
static bool has_large_passed(const struct sender *sender)
{
	const struct scoreboard *board = &sender->board;

	for (uint32_t i = board->head; board->sacked > 0 && i != board->tail; i++) {
		const struct sent *sent = scoreboard_at(board, i);
		if ((sent->flags & (SENT_SACKED | SENT_AGAIN)) == SENT_SACKED && sent->length >= sender->segment)
			return true;
	}
	return false;
}

static void suspect_size(struct sender *sender)
{
	const struct scoreboard *board = &sender->board;

	if (!scoreboard_is_empty(board))
		resize(sender, black_hole_timed_out(&sender->hole, sender->segment, scoreboard_at(board, board->head)->length, sender->acknowledged,
		                                    has_large_passed(sender)));
}

/* Everything outstanding for a round trip and a reordering window is lost, the first segment in any case (RFC 8985, 6.3). Segments are
 * sent again in the order of the stream. Otherwise data that arrived unacknowledged would be sent before the first hole, for ever if a path
 * carries one packet at a time (RFC 6298, 5.4). */
static void run_timeout(struct sender *sender, uint64_t now)
{
	struct scoreboard *board = &sender->board;
	uint64_t age = sender->rack.round_trip + rack_window(&sender->rack, &sender->rtt, true, true);

	note_stall(sender, now);
	suspect_size(sender);
	rate_open(&sender->sample, board->in_flight);
	bbr_timeout(&sender->bbr, sender->rate.delivered);
	/* Up to the tail, once: lost segments keep their place in the ring. */
	for (uint32_t i = board->head; (i = scoreboard_skip(board, i)) != board->tail; i++) {
		const struct sent *sent = scoreboard_at(board, i);
		if (sent->flags & SENT_LOST)
			scoreboard_lose(board, i); /* again, to get its place in the order */
		else if (i == board->head || sent->sent_at + age <= now)
			lose(sender, i);
	}
	bbr_spared(&sender->bbr, board->in_flight);
	sender->phase = SENDER_LOSS;
	sender->recovery_point = sender->next;
	sender->probe_end = 0;
	sender->deadlines[SENDER_REORDER] = NETSTACK_NEVER;
	sender->rtt.backoff++;
	sender->next_send = now;
	sender->deadlines[SENDER_TIMEOUT] = now + rtt_timeout(&sender->rtt);
}

static bool take(struct sender *sender, enum sender_timer timer, uint64_t now)
{
	if (sender->deadlines[timer] > now)
		return false;
	sender->deadlines[timer] = NETSTACK_NEVER;
	return true;
}

void sender_expire(struct sender *sender, uint64_t now)
{
	sender->is_blocked = false;
	if (take(sender, SENDER_REORDER, now)) {
		rate_open(&sender->sample, sender->board.in_flight);
		detect_losses(sender, now);
		check_recovery(sender);
	}
	if (take(sender, SENDER_TIMEOUT, now)) {
		sender->deadlines[SENDER_PROBE] = NETSTACK_NEVER;
		run_timeout(sender, now);
	}
	if (take(sender, SENDER_PROBE, now)) {
		transmit_probe(sender, now);
		sender->deadlines[SENDER_TIMEOUT] = now + rtt_timeout(&sender->rtt);
	}
	if (take(sender, SENDER_PERSIST, now)) {
		note_stall(sender, now);
		transmit_persist(sender, now);
	}
	transmit_pump(sender, now);
	arm(sender, now);
}

void sender_kick(struct sender *sender, uint64_t now)
{
	if (sender->rtt.backoff == 0)
		return;
	sender->rtt.backoff = 0;
	if (sender->deadlines[SENDER_TIMEOUT] != NETSTACK_NEVER)
		sender->deadlines[SENDER_TIMEOUT] = now;
	if (sender->deadlines[SENDER_PERSIST] != NETSTACK_NEVER)
		sender->deadlines[SENDER_PERSIST] = now;
	sender_expire(sender, now);
}

void sender_shrink(struct sender *sender, uint32_t segment)
{
	if (segment >= sender->segment)
		return;
	black_hole_init(&sender->hole, sender->env.family);
	resize(sender, segment);
}
