#include "tunnel/bucket.h"

#include "tunnel/io/loop.h"

#define LARGE_READ 65536
__extension__ typedef unsigned __int128 product; /* of a time and a rate */

#define BIT_TIME ((product)8 * LOOP_SECOND) /* of a byte at one bit a second */

static uint64_t depth_of(const struct bucket *bucket)
{
	uint64_t tenth = bucket->bits_per_second / 80;
	return tenth < LARGE_READ ? LARGE_READ : tenth;
}

/* Adds the tokens since the last time. A fraction of a byte is carried over. */
static void fill(struct bucket *bucket, uint64_t now)
{
	product fresh = (product)(now - bucket->filled_at) * bucket->bits_per_second / BIT_TIME;
	if (fresh >= depth_of(bucket) - bucket->tokens) {
		bucket->tokens = depth_of(bucket);
		bucket->filled_at = now;
		return;
	}
	bucket->tokens += (uint64_t)fresh;
	bucket->filled_at += (uint64_t)(fresh * BIT_TIME / bucket->bits_per_second);
}

void bucket_set_limit(struct bucket *bucket, uint64_t bits_per_second, uint64_t now)
{
	if (bucket->bits_per_second != bits_per_second)
		*bucket = (struct bucket){ .bits_per_second = bits_per_second, .filled_at = now };
}

size_t bucket_allowance(struct bucket *bucket, size_t wanted, uint64_t now, uint64_t *again)
{
	if (bucket->bits_per_second == 0)
		return wanted;
	fill(bucket, now);
	uint64_t least = depth_of(bucket) / 16;
	if (bucket->tokens < least) {
		*again = now + (uint64_t)((product)(least - bucket->tokens) * BIT_TIME / bucket->bits_per_second) + LOOP_MILLISECOND;
		return 0;
	}
	return wanted < bucket->tokens ? wanted : (size_t)bucket->tokens;
}

void bucket_spend(struct bucket *bucket, size_t bytes)
{
	if (bucket->bits_per_second != 0)
		bucket->tokens -= bytes < bucket->tokens ? bytes : bucket->tokens;
}
