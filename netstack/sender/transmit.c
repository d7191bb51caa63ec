#include "netstack/sender/transmit.h"

#include <assert.h>

#include "netstack/packet/netstack_types.h"

#define MS 1000000ull
#define OVERHEAD 60 /* headers and tunnel, so that pacing counts the bytes that the path carries */
#define LEAD (MS / 2)
#define LEAD_MOST (10 * MS) /* a slow sender does not burst */
#define TRAIN (64u * 1024)
#define PAUSE_CREDIT (2 * MS) /* may be sent at once after the window or the application was the limit */
#define LATE_CREDIT (20 * MS) /* the minimum after a late timer; on a busy machine every timer is late */
#define LATE_CREDIT_MAX (50 * MS)
#define MEMORY_DELAY (10 * MS)
/* A datagram costs the same whatever it holds. A far end that wants segments under 536 bytes gets 10,000 a second at most (P7). */
#define SMALL_SEGMENT 536
#define SMALL_PAUSE (MS / 10)
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

/* Sends one packet with at most `length` bytes from `place`, and the FIN if it is next and wanted. Returns the place reached. */
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
	/* The bandwidth was measured without headers: a full segment counts with its own length, a small one with its share of the path. */
	double bytes = (double)(sent->length + OVERHEAD) * sender->segment / (sender->segment + OVERHEAD);
	uint64_t pause = (uint64_t)(bytes * 1e9 / sender->bbr.pacing_rate);
	sender->next_send += sender->segment < SMALL_SEGMENT && pause < SMALL_PAUSE ? SMALL_PAUSE : pause;
}

static enum outcome send_new(struct sender *sender, uint64_t end, uint64_t now)
{
	uint64_t reached, in_flight = sender->board.in_flight;

	if (!scoreboard_reserve(&sender->board))
		return OUT_OF_MEMORY;
	if (!emit(sender, sender->next, end, &reached))
		return REFUSED;
	assert(reached > sender->next); /* the callers' `end` is ahead */
	uint32_t index = scoreboard_append(&sender->board, sender->next, (uint32_t)(reached - sender->next));
	sender->next = reached;
	note_sent(sender, index, in_flight, now);
	return SENT;
}

/* A segment from before the segment size shrank is sent as several packets; acknowledged parts of it are not sent again. */
static enum outcome send_again(struct sender *sender, uint32_t index, uint64_t now)
{
	struct sent *sent = scoreboard_at(&sender->board, index);
	uint64_t place = sent->start > sender->acknowledged ? sent->start : sender->acknowledged;

	while (place < scoreboard_end(sent)) { /* each iteration sends at least a byte or the FIN: all of it is still queued */
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

/* The application or the peer is the limit: rate samples until all of this has arrived say little about the path. */
static void note_limited(struct sender *sender)
{
	if (sender->board.in_flight >= sender->bbr.window)
		return;
	uint64_t until = sender->rate.delivered + sender->board.in_flight;
	sender->rate.limited_until = until > 0 ? until : 1;
}

/* At most half a round trip: a smaller queue than startup's. */
static uint64_t late_credit(const struct sender *sender)
{
	uint64_t half = sender->bbr.min_rtt / 2;

	if (half < LATE_CREDIT)
		return LATE_CREDIT;
	return half < LATE_CREDIT_MAX ? half : LATE_CREDIT_MAX;
}

/* The delay of a late timer is made up for. Otherwise a worker that wakes rarely sends less than it measured, measures that, and so on
 * downwards. Beyond that limit the samples describe this machine and not the path. */
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

/* How far ahead of its time a train is extended: half a millisecond, or until it holds TRAIN bytes, halved for each half millisecond of the
 * round trip. Otherwise many streams on a short path would send a segment or two at a time, and each would be acknowledged separately. */
static uint64_t lead_of(const struct sender *sender)
{
	uint64_t halvings = sender->bbr.min_rtt / LEAD;
	uint64_t train = halvings < 16 ? (uint64_t)((double)(TRAIN >> halvings) * 1e9 / sender->bbr.pacing_rate) : 0;

	if (train > LEAD_MOST)
		return LEAD_MOST;
	return train > LEAD ? train : LEAD;
}

/* Whether the next segment may be sent now; otherwise sets the timer. */
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
	/* Each iteration ends the loop or puts at least a byte in flight, and the window bounds those. */
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

/* An empty segment before the window elicits an acknowledgement with the current window (RFC 9293, 3.8.6.1) and consumes no sequence number. */
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
