#include "netstack/receiver/receiver.h"

#include <assert.h>

#include "netstack/packet/budget.h"
#include "netstack/packet/netstack_types.h"

#define MS 1000000ull
#define DELAY (25 * MS) /* RFC 9293, 3.8.6.3 allows 500 */
#define ANSWER_INTERVAL (100 * MS)
#define QUICK_COUNT 16
#define UPDATE_MAX ((uint64_t)1024 * 1024)
#define REPEATS_MAX 8

void receiver_init(struct receiver *receiver, uint32_t first, uint8_t scale, bool has_sack, uint64_t window, uint64_t round_trip,
                   struct budget *budget, struct retired *retired)
{
	uint64_t most = (uint64_t)UINT16_MAX << scale;

	*receiver = (struct receiver){
		.first = first,
		.scale = scale,
		.has_sack = has_sack,
		.segment = 536,
		.retired = retired,
		.budget = budget,
		.held.budget = budget,
		.pages.budget = budget,
		.quick = QUICK_COUNT,
		.deadline = NETSTACK_NEVER,
	};
	gap_init(&receiver->gap);
	window_init(&receiver->window, window, most, round_trip);
	receiver->edge = receiver->window.size;
}

void receiver_clear(struct receiver *receiver)
{
	budget_release(receiver->budget, (size_t)(receiver->next - receiver->consumed));
	receiver->consumed = receiver->next;
	ranges_clear(&receiver->held);
	pages_clear(&receiver->pages, receiver->retired);
	receiver->recent_count = 0;
	receiver->deadline = NETSTACK_NEVER;
	gap_init(&receiver->gap);
}

static uint64_t place_of(const struct receiver *receiver, uint32_t sequence)
{
	uint32_t next = receiver->first + (uint32_t)receiver->next;
	return receiver->next + (uint64_t)(int64_t)(int32_t)(sequence - next);
}

static void acknowledge_now(struct receiver *receiver)
{
	receiver->must_acknowledge = true;
	if (!receiver->has_sack && receiver->repeats < REPEATS_MAX)
		receiver->repeats++;
}

/* --- held data --- */

static void remember(struct receiver *receiver, struct range range)
{
	struct range kept[RECEIVER_SACK_MAX];
	uint8_t count = 0;

	kept[count++] = range;
	for (uint8_t i = 0; i < receiver->recent_count && count < RECEIVER_SACK_MAX; i++) {
		if (receiver->recent[i].right < range.left || receiver->recent[i].left > range.right)
			kept[count++] = receiver->recent[i];
	}
	for (uint8_t i = 0; i < count; i++)
		receiver->recent[i] = kept[i];
	receiver->recent_count = count;
}

static void forget_before(struct receiver *receiver, uint64_t place)
{
	uint8_t count = 0;

	ranges_trim(&receiver->held, place);
	for (uint8_t i = 0; i < receiver->recent_count; i++) {
		if (receiver->recent[i].right > place)
			receiver->recent[count++] = receiver->recent[i];
	}
	receiver->recent_count = count;
	if (receiver->held.count == 0) {
		pages_clear(&receiver->pages, receiver->retired);
		gap_init(&receiver->gap);
	} else {
		pages_release(&receiver->pages, place, receiver->retired);
	}
}

/* The bytes are stored before the range is recorded, so that recorded bytes are always stored. */
static void hold(struct receiver *receiver, struct range range, const uint8_t *bytes)
{
	struct range merged;

	acknowledge_now(receiver);
	if (ranges_contain(&receiver->held, range, &merged)) {
		receiver->doubled = range;
		remember(receiver, merged);
		return;
	}
	if (!pages_store(&receiver->pages, receiver->next, range.left, bytes, (size_t)(range.right - range.left)))
		return;
	if (ranges_add(&receiver->held, range, &merged) != RANGES_ADDED)
		return;
	window_arrived(&receiver->window, range.right - range.left);
	remember(receiver, merged);
}

/* --- a segment --- */

/* The first FIN counts, unless data is held behind it; anything behind the end is ignored. */
static uint64_t clip(struct receiver *receiver, uint64_t start, uint64_t end, bool has_fin)
{
	uint64_t limit = receiver->edge;

	if (has_fin && !receiver->has_end && end <= limit && start <= limit) {
		const struct ranges *held = &receiver->held;
		if (end >= receiver->next && (held->count == 0 || held->first[held->count - 1].right <= end)) {
			receiver->has_end = true;
			receiver->end = end;
		}
	}
	if (receiver->has_end && receiver->end < limit)
		limit = receiver->end;
	return end < limit ? end : limit;
}

static size_t advance(struct receiver *receiver, uint64_t until)
{
	size_t length = (size_t)(until - receiver->next);

	receiver->next = until;
	budget_charge(receiver->budget, length);
	return length;
}

static void note_in_order(struct receiver *receiver, size_t length, bool had_gap, uint64_t now)
{
	if (length > receiver->segment)
		receiver->segment = (uint32_t)length;
	receiver->pending += (uint32_t)length;
	if (had_gap || receiver->pending >= 2 * receiver->segment || receiver->quick > 0)
		receiver->must_acknowledge = true;
	else if (receiver->deadline == NETSTACK_NEVER)
		receiver->deadline = now + DELAY;
}

/* A window probe or a keepalive. One that answers ours must not be answered endlessly. */
static void answer(struct receiver *receiver, uint64_t now)
{
	if (receiver->answered_at != 0 && now - receiver->answered_at < ANSWER_INTERVAL)
		return;
	receiver->answered_at = now;
	receiver->must_acknowledge = true;
}

static void watch(struct receiver *receiver, uint64_t now)
{
	if (receiver->gap.deadline == NETSTACK_NEVER)
		gap_open(&receiver->gap, receiver->next, now);
}

/* Packets may overtake each other, so this alone says nothing: it is watched. */
static void note_claim(struct receiver *receiver, uint64_t place, uint64_t now)
{
	if (place <= receiver->next || place <= receiver->claimed || place > receiver->edge)
		return;
	receiver->claimed = place;
	watch(receiver, now);
}

size_t receiver_take_held(struct receiver *receiver, struct iovec *parts, size_t max, size_t *length)
{
	*length = 0;
	forget_before(receiver, receiver->next);
	if (receiver->held.count == 0 || receiver->held.first->left > receiver->next)
		return 0;
	size_t gathered;
	size_t run = (size_t)(receiver->held.first->right - receiver->next);
	size_t count = pages_gather(&receiver->pages, receiver->next, run, parts, max, &gathered);
	*length = advance(receiver, receiver->next + gathered);
	forget_before(receiver, receiver->next);
	return count;
}

/* Gathers bytes that are in order: the segment's own, and held ones that follow. */
static size_t take_in_order(struct receiver *receiver, const struct segment *segment, uint64_t start, uint64_t end, struct iovec *parts, size_t max,
                            size_t *length, uint64_t now)
{
	bool had_gap = receiver->held.count > 0;
	uint64_t skipped = receiver->next - start;
	size_t more = 0;

	*length = advance(receiver, end);
	parts[0] = (struct iovec){ segment->payload + skipped, *length };
	window_arrived(&receiver->window, *length);
	note_in_order(receiver, *length, had_gap, now);
	if (!had_gap)
		return 1;
	size_t count = 1 + receiver_take_held(receiver, parts + 1, max - 1, &more);
	*length += more;
	return count;
}

size_t receiver_take(struct receiver *receiver, const struct segment *segment, struct iovec *parts, size_t max, size_t *length, uint64_t now)
{
	uint64_t start = place_of(receiver, segment->sequence);
	bool has_fin = (segment->flags & SEGMENT_FIN) != 0;
	bool is_before = (int64_t)start < 0; /* the stream's first byte */

	*length = 0;
	if (is_before || (segment->length == 0 && !has_fin)) {
		if (is_before || start < receiver->next)
			answer(receiver, now);
		else
			note_claim(receiver, start, now);
		return 0;
	}
	uint64_t end = clip(receiver, start, start + segment->length, has_fin);
	if (start <= receiver->next && end > receiver->next)
		return take_in_order(receiver, segment, start, end, parts, max, length, now);
	if (start > receiver->next && end > start) {
		bool is_first = receiver->held.count == 0;
		hold(receiver, (struct range){ start, end }, segment->payload);
		if (is_first && receiver->held.count > 0)
			gap_open(&receiver->gap, receiver->next, now);
		return 0;
	}
	/* Known bytes, a lone FIN, or bytes beyond the window or the end. */
	if (segment->length > 0 && start < receiver->next)
		receiver->doubled = (struct range){ start, end };
	acknowledge_now(receiver);
	return 0;
}

void receiver_ask(struct receiver *receiver)
{
	receiver->asked = receiver->next;
}

void receiver_expect(struct receiver *receiver, uint64_t now)
{
	if (!receiver->has_end && receiver->next == receiver->asked)
		watch(receiver, now);
}

bool receiver_lacks_data(const struct receiver *receiver)
{
	return receiver->held.count > 0 || receiver->claimed > receiver->next;
}

bool receiver_lacks_large(const struct receiver *receiver, uint32_t payload)
{
	const struct ranges *held = &receiver->held;
	uint64_t end = held->count > 0 ? held->first->left : receiver->claimed;

	if (end <= receiver->next + payload || receiver->segment > payload)
		return false;
	for (size_t i = 0; i < held->count; i++) { /* RANGES_MAX at most */
		if (held->first[i].right - held->first[i].left > payload)
			return false;
	}
	return true;
}

bool receiver_is_at_end(const struct receiver *receiver)
{
	return receiver->has_end && receiver->next == receiver->end;
}

/* --- the window and acknowledgements --- */

void receiver_consume(struct receiver *receiver, size_t bytes)
{
	uint64_t unread = receiver->next - receiver->consumed;

	if (bytes > unread)
		bytes = (size_t)unread;
	receiver->consumed += bytes;
	budget_release(receiver->budget, bytes);
}

/* The edge never moves back, whatever the budget does (RFC 9293, 3.8.6). */
static uint64_t next_edge(const struct receiver *receiver)
{
	uint64_t share = budget_share(receiver->budget);
	uint64_t size = receiver->window.size < share ? receiver->window.size : share;
	uint64_t edge = receiver->consumed + size;

	edge = receiver->next + ((edge > receiver->next ? edge - receiver->next : 0) >> receiver->scale << receiver->scale);
	return edge > receiver->edge ? edge : receiver->edge;
}

/* A window update deserves a packet (RFC 9293, 3.8.6.2.2) if it is a quarter of the window, or the window was almost closed. */
static bool should_update(const struct receiver *receiver)
{
	uint64_t gain = next_edge(receiver) - receiver->edge;
	uint64_t open = receiver->edge > receiver->next ? receiver->edge - receiver->next : 0;
	uint64_t worth = receiver->window.size / 4 < UPDATE_MAX ? receiver->window.size / 4 : UPDATE_MAX;

	if (receiver->has_end)
		return false;
	return gain >= worth || (open < 2ull * receiver->segment && gain >= 2ull * receiver->segment);
}

void receiver_expire(struct receiver *receiver, uint64_t now)
{
	if (receiver->deadline > now)
		return;
	receiver->deadline = NETSTACK_NEVER;
	receiver->must_acknowledge = true;
}

bool receiver_settle(struct receiver *receiver, uint64_t now)
{
	uint64_t held = receiver->held.count > 0 ? receiver->held.first[receiver->held.count - 1].right - receiver->next : 0;

	window_adjust(&receiver->window, receiver->next, receiver->next - receiver->consumed, held, budget_share(receiver->budget), now);
	receiver_expire(receiver, now);
	if (should_update(receiver))
		receiver->must_acknowledge = true;
	return receiver->must_acknowledge;
}

void receiver_acknowledged(struct receiver *receiver)
{
	receiver->must_acknowledge = false;
	receiver->repeats = 0;
	receiver->pending = 0;
	receiver->deadline = NETSTACK_NEVER;
	receiver->doubled = (struct range){ 0, 0 };
	if (receiver->quick > 0)
		receiver->quick--;
}

uint16_t receiver_offer(struct receiver *receiver)
{
	receiver->edge = next_edge(receiver);
	uint64_t window = (receiver->edge > receiver->next ? receiver->edge - receiver->next : 0) >> receiver->scale;
	assert(window <= UINT16_MAX); /* window_init was given this limit */
	return (uint16_t)window;
}

static bool is_listed(const struct range *blocks, size_t count, struct range range)
{
	for (size_t i = 0; i < count; i++) {
		if (blocks[i].left == range.left && blocks[i].right == range.right)
			return true;
	}
	return false;
}

/* A held FIN takes a sequence number behind the data (RFC 9293, 3.4), and is reported with it. */
static void tell_end(const struct receiver *receiver, struct range *blocks, size_t count)
{
	for (size_t i = 0; i < count && receiver->has_end; i++)
		if (blocks[i].right == receiver->end)
			blocks[i].right++;
}

size_t receiver_sack(struct receiver *receiver, struct range blocks[RECEIVER_SACK_MAX])
{
	size_t count = 0;

	if (!receiver->has_sack)
		return 0;
	if (receiver->doubled.right > receiver->doubled.left)
		blocks[count++] = receiver->doubled;
	for (size_t i = 0; i < receiver->recent_count && count < RECEIVER_SACK_MAX; i++)
		blocks[count++] = receiver->recent[i];
	for (size_t i = 0; i < receiver->held.count && i < RECEIVER_SACK_MAX && count < RECEIVER_SACK_MAX; i++) {
		if (!is_listed(blocks, count, receiver->held.first[i]))
			blocks[count++] = receiver->held.first[i];
	}
	tell_end(receiver, blocks, count);
	return count;
}
