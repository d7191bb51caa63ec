/* Detects a path that silently drops packets over some size (RFC 2923, 2.1). To tell it from a path that loses packets or is down: a full
 * segment is lost twice in a row, the same bytes pass in smaller packets, and both happen again. Pure: no I/O and no clock.
 *
 *   OPEN      Segments have their full size. After two timeouts of a full one: TRYING.
 *   TRYING    Segments are smaller; after two more timeouts they get the next smaller size. The first time one passes: CHECKING. The second
 *             time the size is known: OPEN, with this size as the full one. If what timed out had arrived, the timeouts say nothing of
 *             sizes: OPEN.
 *   CHECKING  Segments have their full size again. If one passes, the path is no black hole: OPEN. After a timeout: TRYING, with the size that
 *             passed. */
#ifndef WARREN_NETSTACK_PACKET_BLACK_HOLE_H
#define WARREN_NETSTACK_PACKET_BLACK_HOLE_H

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
	bool is_watched;    /* after a timeout: sender.c reports progress and packets */
	bool had_arrived;   /* TRYING: a part of what timed out; its acknowledgement was lost */
	uint8_t timeouts;   /* in a row */
	uint8_t passes;     /* of small packets, with no full one between */
	uint32_t full;      /* bytes of a full segment */
	uint32_t small;     /* bytes of the segment size being tried */
	uint64_t place;     /* acknowledged at the last timeout */
	uint64_t large_end; /* CHECKING: the end of a full segment that was sent, 0: none */
};

/* The next smaller packet size to try, 0: none. The smallest is what every path must carry: 1,280 bytes for IPv6 (RFC 8200, 5), 576 for IPv4
 * (RFC 791, 3.2). So a far end that loses packets makes segments no smaller than 1,220 or 536 bytes. */
uint32_t black_hole_below(uint8_t family, uint32_t packet);
/* The next larger packet size that was tried, 0: a full one. */
uint32_t black_hole_above(uint32_t packet);
/* Bytes of payload in a packet without TCP options. */
uint32_t black_hole_payload(uint8_t family, uint32_t packet);

void black_hole_init(struct black_hole *hole, uint8_t family);
/* The retransmission timeout fired for a segment of `length` bytes at `place`, while segments had `segment` bytes. `large_passed`: a full segment
 * behind it, sent only once, was acknowledged. Returns the segment size from now on. */
uint32_t black_hole_timed_out(struct black_hole *hole, uint32_t segment, uint32_t length, uint64_t place, bool large_passed);
/* While is_watched: a packet is sent. */
void black_hole_sent(struct black_hole *hole, uint64_t end, uint32_t length);
/* While is_watched: these bytes arrived twice, as the far end says (RFC 2883). */
void black_hole_doubled(struct black_hole *hole, uint64_t left, uint64_t right);
/* While is_watched: everything before `place` is acknowledged. Returns the segment size from now on. `*found` gets the packet size that
 * passes where `segment` does not, or is left unchanged. */
uint32_t black_hole_progress(struct black_hole *hole, uint32_t segment, uint64_t place, uint32_t *found);

#endif
