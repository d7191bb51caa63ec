/* A rate limit: a token bucket that holds a tenth of a second's worth, and at least one large read. Times are the loop's. */
#ifndef WARREN_TUNNEL_BUCKET_H
#define WARREN_TUNNEL_BUCKET_H

#include <stddef.h>
#include <stdint.h>

/* All zeros means no limit. */
struct bucket {
	uint64_t bits_per_second; /* 0: no limit */
	uint64_t tokens;          /* bytes */
	uint64_t filled_at;
};

/* A changed limit starts with an empty bucket; an unchanged one keeps its tokens. */
void bucket_set_limit(struct bucket *bucket, uint64_t bits_per_second, uint64_t now);
/* Returns how many bytes may pass now, at most `wanted`. If 0, `*again` is when to ask again; a sixteenth of the bucket is then available,
 * because small pieces would cost a wake-up each. */
size_t bucket_allowance(struct bucket *bucket, size_t wanted, uint64_t now, uint64_t *again);
void bucket_spend(struct bucket *bucket, size_t bytes);

#endif
