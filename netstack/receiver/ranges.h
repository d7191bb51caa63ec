/* A sorted set of half-open ranges of a stream that do not touch each other. */
#ifndef WARREN_NETSTACK_RECEIVER_RANGES_H
#define WARREN_NETSTACK_RECEIVER_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGES_MAX 16384 /* the startup on a fast path has 5,000 holes; this bounds a peer that sends every second byte */

struct budget;

struct range {
	uint64_t left;
	uint64_t right;
};

struct ranges {
	struct budget *budget;
	struct range *all; /* the allocation */
	size_t capacity;
	struct range *first; /* removals are at the front; that room is reused only when it is large */
	size_t count;
};

enum ranges_outcome {
	RANGES_ADDED,
	RANGES_KNOWN, /* every byte was already included */
	RANGES_FULL,  /* too many, or out of memory or budget: nothing changed */
};

/* The index of the first range that ends at or after `place`; `count` if there is none. */
size_t ranges_find(const struct ranges *ranges, uint64_t place);
/* `merged` gets the range that then contains it. */
enum ranges_outcome ranges_add(struct ranges *ranges, struct range added, struct range *merged);
bool ranges_contain(const struct ranges *ranges, struct range range, struct range *in);
/* Removes everything before `place`. */
void ranges_trim(struct ranges *ranges, uint64_t place);
void ranges_clear(struct ranges *ranges);

#endif
