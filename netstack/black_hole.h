/* A path that drops packets over some size and tells nobody (RFC 2923, 2.1). How it is told from a path that loses, or that is down: a full
 * segment is lost twice in a row, the same bytes pass in smaller packets, and then again. Pure: no I/O and no clock.
 *
 *   OPEN      segments have their full size. After two timeouts of a full one: TRYING.
 *   TRYING    segments have a smaller size, after two more timeouts the next smaller one. When one passes: CHECKING, or the second time the
 *             size is found, and the state is OPEN again with this size for the full one.
 *   CHECKING  segments have their full size again. When one passes: OPEN, there is no such path. After a timeout: TRYING, from the top. */
#ifndef WARREN_NETSTACK_BLACK_HOLE_H
#define WARREN_NETSTACK_BLACK_HOLE_H

#include <stdbool.h>
#include <stdint.h>

enum black_hole_state {
	BLACK_HOLE_OPEN,
	BLACK_HOLE_TRYING,
	BLACK_HOLE_CHECKING,
};

struct black_hole {
	enum black_hole_state state;
	uint8_t family;
	bool is_watched;    /* a timeout came: sender.c tells of progress and packets */
	uint8_t timeouts;   /* in a row */
	uint8_t passes;     /* of small packets, with no full one between */
	uint32_t full;      /* bytes of a full segment */
	uint32_t small;     /* and of the one that is tried */
	uint64_t place;     /* acknowledged at the last timeout */
	uint64_t large_end; /* CHECKING: the end of a full segment that was sent, 0: none */
};

/* The next smaller packet that a path may be limited to, 0: none. The smallest is what every path has to carry: 1,280 bytes of IPv6 (RFC 8200,
 * 5), 576 of IPv4 (RFC 791, 3.2). So no far end can make segments smaller than 1,220 or 536 bytes. */
uint32_t black_hole_below(uint8_t family, uint32_t packet);
/* Bytes of payload in a packet without TCP options. */
uint32_t black_hole_payload(uint8_t family, uint32_t packet);

void black_hole_init(struct black_hole *hole, uint8_t family);
/* The retransmission timeout fired for a segment of `length` bytes at `place`, with segments of `segment` bytes; `large_passed`: a full one that
 * was sent once was acknowledged behind it. Returns the segment size from now on. */
uint32_t black_hole_timed_out(struct black_hole *hole, uint32_t segment, uint32_t length, uint64_t place, bool large_passed);
/* While is_watched: a packet leaves. */
void black_hole_sent(struct black_hole *hole, uint64_t end, uint32_t length);
/* While is_watched: everything before `place` is acknowledged. Returns the segment size from now on; `*found` gets the packet size that
 * passes where `segment` does not, or stays. */
uint32_t black_hole_progress(struct black_hole *hole, uint32_t segment, uint64_t place, uint32_t *found);

#endif
