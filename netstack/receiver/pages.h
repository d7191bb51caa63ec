/* Out-of-order bytes, stored on pages by their place in the stream: the window bounds the memory, whatever the sizes of the segments.
 * Pages that are no longer needed are retired, because the owner may still read them. */
#ifndef WARREN_NETSTACK_RECEIVER_PAGES_H
#define WARREN_NETSTACK_RECEIVER_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "netstack/packet/retired.h"

#define PAGES_SIZE 16384 /* BUDGET_LEAST is one */

struct budget;
struct page;

struct pages {
	struct budget *budget;
	struct page **table; /* a ring by page number */
	size_t size;
	uint64_t base; /* the lowest page that may exist */
	size_t count;
};

/* `floor`: nothing before it will be stored. false: out of memory or budget; some of the bytes may have been stored. */
bool pages_store(struct pages *pages, uint64_t floor, uint64_t place, const uint8_t *bytes, size_t length);
/* Gathers stored bytes. Returns the number of parts, and in `*gathered` their number of bytes. */
size_t pages_gather(const struct pages *pages, uint64_t place, size_t length, struct iovec *parts, size_t max, size_t *gathered);
/* Nothing before `place` is needed. */
void pages_release(struct pages *pages, uint64_t place, struct retired *retired);
void pages_clear(struct pages *pages, struct retired *retired);

#endif
