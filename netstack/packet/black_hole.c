#include "netstack/packet/black_hole.h"

#include <stddef.h>
#include <sys/socket.h>

#include "netstack/packet/packet.h"

#define PATIENCE 2 /* timeouts in a row */

/* From the largest. 1,200 is what QUIC expects of every path (RFC 9000, 14). */
static const uint32_t steps[] = { 1280, 1200, 576 };
#define STEPS (sizeof(steps) / sizeof(steps[0]))

uint32_t black_hole_below(uint8_t family, uint32_t packet)
{
	size_t count = family == AF_INET ? STEPS : 1;

	for (size_t i = 0; i < count; i++) {
		if (steps[i] < packet)
			return steps[i];
	}
	return 0;
}

uint32_t black_hole_above(uint32_t packet)
{
	for (size_t i = STEPS; i > 0; i--) {
		if (steps[i - 1] > packet)
			return steps[i - 1];
	}
	return 0;
}

static uint32_t headers_of(uint8_t family)
{
	return (family == AF_INET ? PACKET_IPV4_HEADER : PACKET_IPV6_HEADER) + PACKET_TCP_HEADER;
}

uint32_t black_hole_payload(uint8_t family, uint32_t packet)
{
	return packet - headers_of(family);
}

void black_hole_init(struct black_hole *hole, uint8_t family)
{
	*hole = (struct black_hole){ .state = BLACK_HOLE_OPEN, .family = family };
}

/* The next smaller payload to try, 0: none. */
static uint32_t smaller(const struct black_hole *hole, uint32_t segment)
{
	uint32_t packet = black_hole_below(hole->family, segment + headers_of(hole->family));

	return packet == 0 ? 0 : black_hole_payload(hole->family, packet);
}

static void forget(struct black_hole *hole)
{
	black_hole_init(hole, hole->family);
}

static uint32_t try_size(struct black_hole *hole, uint32_t small)
{
	hole->state = BLACK_HOLE_TRYING;
	hole->timeouts = 0;
	hole->had_arrived = false;
	hole->small = small;
	hole->large_end = 0;
	return small;
}

static uint32_t try_smaller(struct black_hole *hole, uint32_t than)
{
	uint32_t small = smaller(hole, than);

	return try_size(hole, small != 0 ? small : hole->small); /* not even the smallest passes: the path is down */
}

uint32_t black_hole_timed_out(struct black_hole *hole, uint32_t segment, uint32_t length, uint64_t place, bool large_passed)
{
	if (hole->state != BLACK_HOLE_TRYING) {
		uint32_t small = smaller(hole, segment);
		if (small == 0 || length <= small || large_passed) {
			if (large_passed)
				forget(hole);
			return segment;
		}
	}
	if (place != hole->place)
		hole->timeouts = 0;
	hole->is_watched = true;
	hole->place = place;
	hole->timeouts++;
	switch (hole->state) {
	case BLACK_HOLE_OPEN:
		if (hole->timeouts < PATIENCE)
			return segment;
		hole->full = segment;
		return try_smaller(hole, segment);
	case BLACK_HOLE_TRYING: return hole->timeouts < PATIENCE ? segment : try_smaller(hole, segment);
	case BLACK_HOLE_CHECKING: return hole->large_end == 0 ? segment : try_size(hole, hole->small);
	}
	return segment;
}

void black_hole_sent(struct black_hole *hole, uint64_t end, uint32_t length)
{
	if (hole->state == BLACK_HOLE_CHECKING && length > hole->small && end > hole->large_end)
		hole->large_end = end;
}

void black_hole_doubled(struct black_hole *hole, uint64_t left, uint64_t right)
{
	if (hole->state == BLACK_HOLE_TRYING && right > hole->place && left < hole->place + hole->full)
		hole->had_arrived = true;
}

static uint32_t note_pass(struct black_hole *hole, uint32_t segment, uint32_t *found)
{
	uint32_t full = hole->full;

	hole->timeouts = 0;
	if (hole->had_arrived) {
		forget(hole);
		return full;
	}
	if (++hole->passes < PATIENCE) {
		hole->state = BLACK_HOLE_CHECKING;
		return full;
	}
	*found = segment + headers_of(hole->family);
	forget(hole);
	return segment;
}

uint32_t black_hole_progress(struct black_hole *hole, uint32_t segment, uint64_t place, uint32_t *found)
{
	switch (hole->state) {
	case BLACK_HOLE_OPEN:
		if (place > hole->place)
			forget(hole);
		break;
	case BLACK_HOLE_TRYING:
		if (place > hole->place)
			return note_pass(hole, segment, found);
		break;
	case BLACK_HOLE_CHECKING:
		if (hole->large_end != 0 && place >= hole->large_end)
			forget(hole);
		break;
	}
	return segment;
}
