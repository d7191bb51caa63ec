/* A sender on a fake clock: what it emits is kept and compared with what was written, and acknowledgements are made by hand. */
#ifndef WARREN_TESTS_NETSTACK_LINE_H
#define WARREN_TESTS_NETSTACK_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netstack/packet/budget.h"
#include "netstack/receiver/ranges.h"
#include "netstack/sender/sender.h"

#define MS 1000000ull
#define LINE_SIZE 1000         /* of a segment */
#define LINE_FIRST 0xfffffff0u /* sequence number of place 0: it wraps soon */
#define LINE_LIMIT ((size_t)64 << 20)
#define LINE_MOST 4096

struct emitted {
	uint64_t place;
	size_t length;
	uint8_t flags;
};

struct line {
	struct sender sender;
	struct budget budget;
	uint64_t now;
	uint64_t window; /* that acknowledgements tell */
	bool is_refusing;
	struct emitted emitted[LINE_MOST];
	size_t count;
};

/* With all windows open and a pace that holds nothing back; the clock is at 1 s. */
void line_start(struct line *line, bool has_sack, uint64_t round_trip);
/* Everything is given back. */
void line_end(struct line *line);
void line_write(struct line *line, size_t length);
void line_update(struct line *line);
/* Forgets what was emitted so far. */
void line_forget(struct line *line);
/* The packets since then. */
void line_expect(const struct line *line, size_t count, const struct emitted *wanted);
/* An acknowledgement up to `place` with these blocks, and the update after it. */
void line_acknowledge(struct line *line, uint64_t place, size_t blocks, const struct range *ranges);
/* The clock goes to the timer that is due first. */
void line_run_timer(struct line *line);
/* The header's invariants. */
void line_check(const struct line *line);

#endif
