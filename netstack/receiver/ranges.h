/* A sorted set of half-open ranges of a stream that do not touch each other. */
#ifndef WARREN_NETSTACK_RECEIVER_RANGES_H
#define WARREN_NETSTACK_RECEIVER_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGES_MAX 16384 /* a fast path's startup has 5,000 holes; a peer that sends every second byte gets no more */

struct budget;

struct range {
	uint64_t left;
	uint64_t right;
};

struct ranges {
	struct budget *budget;
	struct range *all; /* what was allocated */
	size_t capacity;
	struct range *first; /* the front leaves first, and its room is used again only when it is large */
	size_t count;
};

enum ranges_outcome {
	RANGES_ADDED,
	RANGES_KNOWN, /* every byte was there already */
	RANGES_FULL,  /* too many, or out of memory or budget: nothing changed */
};

/* The first range that ends at `place` or behind it: an index, `count` if there is none. */
size_t ranges_find(const struct ranges *ranges, uint64_t place);
/* `merged` is the range that holds it then. */
enum ranges_outcome ranges_add(struct ranges *ranges, struct range added, struct range *merged);
bool ranges_contain(const struct ranges *ranges, struct range range, struct range *in);
/* Forgets what lies before `place`. */
void ranges_trim(struct ranges *ranges, uint64_t place);
void ranges_clear(struct ranges *ranges);

#endif
