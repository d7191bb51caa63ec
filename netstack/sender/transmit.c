#include "netstack/sender/transmit.h"

#include <assert.h>

#include "netstack/netstack.h"

#define MS 1000000ull
#define OVERHEAD 60 /* headers and tunnel, so that pacing counts what the path carries */
#define LEAD (MS / 2)
#define LEAD_MOST (10 * MS) /* a slow sender does not burst */
#define TRAIN (64u * 1024)
#define PAUSE_CREDIT (2 * MS) /* what may go at once after the window or the application held it */
#define LATE_CREDIT (20 * MS) /* and at least after a late timer, which on a busy machine each is */
#define LATE_CREDIT_MAX (50 * MS)
#define MEMORY_DELAY (10 * MS)
#define PERSIST_MAX (10000 * MS)
#define PARTS_MAX 32

enum outcome {
	SENT,
	REFUSED, /* by the env */
	OUT_OF_MEMORY,
};

static uint64_t stream_end(const struct sender *sender)
{
	return sender->queue.end + sender->has_finished;
}

/* One packet with at most `length` bytes from `place`, and the FIN when it comes next and is wanted; says how far it got. */
static bool emit(struct sender *sender, uint64_t place, uint64_t end, uint64_t *reached)
{
	struct iovec parts[PARTS_MAX];
	uint64_t data_end = end < sender->queue.end ? end : sender->queue.end;
	size_t length = place < data_end ? (size_t)(data_end - place) : 0;
	uint8_t flags = SEGMENT_ACK;

	if (length > sender->segment)
		length = sender->segment;
	size_t count = queue_gather(&sender->queue, place, length, parts, PARTS_MAX, &length);
	*reached = place + length;
	if (length > 0 && *reached == sender->queue.end)
		flags |= SEGMENT_PSH;
	if (*reached == sender->queue.end && end > sender->queue.end) {
		flags |= SEGMENT_FIN;
		*reached += 1;
	}
	if (sender->env.emit(sender->env.owner, place, parts, count, length, flags)) {
		if (sender->hole.is_watched)
			black_hole_sent(&sender->hole, place + length, (uint32_t)length);
		return true;
	}
	sender->is_blocked = true;
	return false;
}

static void note_sent(struct sender *sender, uint32_t index, uint64_t in_flight_before, uint64_t now)
{
	struct sent *sent = scoreboard_at(&sender->board, index);

	rate_sent(&sender->rate, sent, in_flight_before, now);
	if (sender->deadlines[SENDER_TIMEOUT] == NETSTACK_NEVER)
		sender->deadlines[SENDER_TIMEOUT] = now + rtt_timeout(&sender->rtt);
	sender->deadlines[SENDER_PERSIST] = NETSTACK_NEVER;
	/* The bandwidth was measured without headers: a full segment counts as its own length, and a small one as its share of the path. */
	double bytes = (double)(sent->length + OVERHEAD) * sender->segment / (sender->segment + OVERHEAD);
	sender->next_send += (uint64_t)(bytes * 1e9 / sender->bbr.pacing_rate);
}

static enum outcome send_new(struct sender *sender, uint64_t end, uint64_t now)
{
	uint64_t reached, in_flight = sender->board.in_flight;

	if (!scoreboard_reserve(&sender->board))
		return OUT_OF_MEMORY;
	if (!emit(sender, sender->next, end, &reached))
		return REFUSED;
	assert(reached > sender->next); /* the callers' `end` lies ahead */
	uint32_t index = scoreboard_append(&sender->board, sender->next, (uint32_t)(reached - sender->next));
	sender->next = reached;
	note_sent(sender, index, in_flight, now);
	return SENT;
}

/* A segment that was cut for a larger path leaves as several packets; what of it is acknowledged is not sent again. */
static enum outcome send_again(struct sender *sender, uint32_t index, uint64_t now)
{
	struct sent *sent = scoreboard_at(&sender->board, index);
	uint64_t place = sent->start > sender->acknowledged ? sent->start : sender->acknowledged;

	while (place < scoreboard_end(sent)) { /* a byte or the FIN at least a round: all of it is still queued */
		if (!emit(sender, place, scoreboard_end(sent), &place))
			return REFUSED;
	}
	uint64_t in_flight = sender->board.in_flight - (sent->flags & SENT_LOST ? 0 : sent->length);
	scoreboard_fly(&sender->board, index);
	sent->flags |= SENT_AGAIN;
	note_sent(sender, index, in_flight, now);
	return SENT;
}

/* Where the next new segment may end; `next` itself when none may leave. Small segments do not nibble at a window that is almost
 * closed (RFC 1122, 4.2.3.4), and a FIN needs no window. */
static uint64_t next_end(const struct sender *sender)
{
	uint64_t end = sender->next + sender->segment;

	if (end >= sender->queue.end)
		end = stream_end(sender);
	if (sender->next >= sender->queue.end || end <= sender->window_end)
		return end;
	if (sender->queue.end <= sender->window_end && end == stream_end(sender))
		return sender->queue.end;
	if (sender->window_end > sender->next && scoreboard_is_empty(&sender->board) && sender->window_end - sender->next >= sender->window_max / 2)
		return sender->window_end;
	return sender->next;
}

static void await_window(struct sender *sender, uint64_t now)
{
	if (!scoreboard_is_empty(&sender->board) || sender->deadlines[SENDER_PERSIST] != NETSTACK_NEVER)
		return;
	uint64_t delay = rtt_timeout(&(struct rtt){ .smoothed = sender->rtt.smoothed, .variation = sender->rtt.variation });
	unsigned shift = sender->rtt.backoff < 6 ? sender->rtt.backoff : 6;
	delay = delay << shift < PERSIST_MAX ? delay << shift : PERSIST_MAX;
	sender->deadlines[SENDER_PERSIST] = now + delay;
}

/* The application has no more, or the peer takes no more: rate samples until all of this has arrived say little about the path. */
static void note_limited(struct sender *sender)
{
	if (sender->board.in_flight >= sender->bbr.window)
		return;
	uint64_t until = sender->rate.delivered + sender->board.in_flight;
	sender->rate.limited_until = until > 0 ? until : 1;
}

/* Half a round trip at most: as a queue, less than the startup's. */
static uint64_t late_credit(const struct sender *sender)
{
	uint64_t half = sender->bbr.min_rtt / 2;

	if (half < LATE_CREDIT)
		return LATE_CREDIT;
	return half < LATE_CREDIT_MAX ? half : LATE_CREDIT_MAX;
}

/* What a late timer kept back is made up for, or else a worker that wakes rarely sends less than was measured, measures that, and so on
 * down. Later than that, the samples tell of this machine and not of the path. */
static void take_credit(struct sender *sender, uint64_t now)
{
	bool was_waiting = sender->deadlines[SENDER_PACE] != NETSTACK_NEVER;
	uint64_t credit = was_waiting ? late_credit(sender) : PAUSE_CREDIT;

	sender->deadlines[SENDER_PACE] = NETSTACK_NEVER;
	if (sender->next_send + credit >= now)
		return;
	sender->next_send = now - credit;
	if (was_waiting)
		note_limited(sender);
}

/* How far ahead of its time a train goes on: for half a millisecond, or until it holds TRAIN bytes, halved for each half millisecond of the
 * round trip. Many streams that share a short path would else send a segment or two at a time, and each would be acknowledged by itself. */
static uint64_t lead_of(const struct sender *sender)
{
	uint64_t halvings = sender->bbr.min_rtt / LEAD;
	uint64_t train = halvings < 16 ? (uint64_t)((double)(TRAIN >> halvings) * 1e9 / sender->bbr.pacing_rate) : 0;

	if (train > LEAD_MOST)
		return LEAD_MOST;
	return train > LEAD ? train : LEAD;
}

/* May the next one leave now? Sets the timer when not. */
static bool is_due(struct sender *sender, bool has_begun, uint64_t now)
{
	if (sender->next_send <= now || (has_begun && sender->next_send <= now + lead_of(sender)))
		return true;
	sender->deadlines[SENDER_PACE] = sender->next_send;
	return false;
}

static enum outcome send_one(struct sender *sender, uint64_t end, uint64_t now)
{
	if (sender->board.missing.oldest != SCOREBOARD_NONE)
		return send_again(sender, sender->board.missing.oldest, now);
	return send_new(sender, end, now);
}

void transmit_pump(struct sender *sender, uint64_t now)
{
	bool has_begun = false;

	take_credit(sender, now);
	if (sender->board.in_flight == 0 && sender->rate.limited_until != 0 && sender_has_unsent(sender))
		bbr_restart(&sender->bbr, now);
	/* Each round ends the loop or puts a byte at least in flight, of which the window holds so many. */
	while (!sender->is_blocked) {
		bool again = sender->board.missing.oldest != SCOREBOARD_NONE;
		uint64_t end = next_end(sender);
		if (!again && !sender_has_unsent(sender)) {
			if (sender_room(sender) >= sender->segment)
				note_limited(sender);
			break;
		}
		if (!again && end == sender->next) {
			note_limited(sender);
			await_window(sender, now);
			break;
		}
		if (sender->board.in_flight >= sender->bbr.window) {
			sender->is_window_limited = true;
			break;
		}
		if (!is_due(sender, has_begun, now))
			break;
		if (send_one(sender, end, now) == OUT_OF_MEMORY) {
			sender->deadlines[SENDER_PACE] = now + MEMORY_DELAY;
			break;
		}
		has_begun = true;
	}
}

void transmit_probe(struct sender *sender, uint64_t now)
{
	uint64_t end = next_end(sender);

	if (sender_has_unsent(sender) && end > sender->next) {
		send_new(sender, end, now);
	} else if (!scoreboard_is_empty(&sender->board)) {
		uint32_t last = sender->board.tail - 1;
		if (!(scoreboard_at(&sender->board, last)->flags & (SENT_SACKED | SENT_LOST)))
			send_again(sender, last, now);
	}
	sender->probe_end = sender->next;
}

/* An empty segment before the window is answered with an acknowledgement that tells it (RFC 9293, 3.8.6.1), and consumes nothing. */
void transmit_persist(struct sender *sender, uint64_t now)
{
	if (sender->rtt.backoff < 16)
		sender->rtt.backoff++;
	if (sender->window_end > sender->next)
		send_new(sender, sender->window_end, now);
	else
		sender->env.emit(sender->env.owner, sender->acknowledged - 1, NULL, 0, 0, SEGMENT_ACK);
	await_window(sender, now);
}
