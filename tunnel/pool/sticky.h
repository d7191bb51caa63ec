/* Which member of a pool a key has: it keeps it while it has connections and for `ttl` after the last. Pure: times are the loop's, in nanoseconds.
 *
 * It is bounded: by a number of keys, and by STICKY_BYTES a key on average, their text included. When it is full, the oldest idle key of the owner
 * with the most keys goes (owners share 64 places by hash), so that a flood of one owner's keys throws out its own. A key with connections never
 * goes.
 *
 * What is to be stored is told by notes. The store forgets by itself what has expired, and those who call the functions that forget see to the store
 * themselves: neither makes a note. */
#ifndef WARREN_TUNNEL_POOL_STICKY_H
#define WARREN_TUNNEL_POOL_STICKY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STICKY_KEY_MAX 263
#define STICKY_BYTES 200u
#define STICKY_HASH_KEY 16

struct sticky;
struct sticky_entry; /* a key that connections hold */

/* A key to be stored, or to be deleted from the store. */
struct sticky_note {
	const char *key; /* valid until the next call */
	size_t key_length;
	uint32_t member; /* 0: deleted */
	uint64_t expires_at;
};

/* For at most `capacity` keys. The hash key is random, against chosen keys. NULL when out of memory. */
struct sticky *sticky_create(size_t capacity, uint64_t ttl, const uint8_t hash_key[STICKY_HASH_KEY]);
/* No entry may be used afterwards. NULL is allowed. */
void sticky_free(struct sticky *sticky);
/* Counts for idle keys, too. */
void sticky_set_ttl(struct sticky *sticky, uint64_t ttl);

/* The member's number (pool_message.h), or 0 when the key has none. */
uint32_t sticky_find(const struct sticky *sticky, const char *key, size_t length, uint64_t now);
/* Its connections; 0 when there is no such key. */
uint32_t sticky_open(const struct sticky *sticky, const char *key, size_t length);
/* A connection of the key goes through `member`, which is the key's from now on. `owner` is who chose the key: a hash of the user, else the client's
 * address_source. Returns the entry for sticky_release, or NULL when the key cannot be kept: out of memory, or all keys have connections. */
struct sticky_entry *sticky_hold(struct sticky *sticky, const char *key, size_t length, uint64_t owner, uint32_t member, uint64_t now);
/* A connection has ended. NULL is allowed. */
void sticky_release(struct sticky *sticky, struct sticky_entry *entry, uint64_t now);
/* A key that was stored, with its owner unknown. Expired ones are ignored, and so is a key that is known already. */
void sticky_load(struct sticky *sticky, const char *key, size_t length, uint32_t member, uint64_t expires_at, uint64_t now);

/* The next connection of the key chooses anew. False: there is no such key. */
bool sticky_forget(struct sticky *sticky, const char *key, size_t length, uint64_t now);
/* All of them; returns how many there were. */
size_t sticky_forget_all(struct sticky *sticky, uint64_t now);

/* To be called about once a second: expires idle keys and renews the notes of those with connections; a bounded number at a time. */
void sticky_tick(struct sticky *sticky, uint64_t now);
/* Fills in what is to be stored or deleted, oldest first; returns the count. A key is noted when it is new or has moved, and now
 * and then while it is used, so that the store is never more than half of the ttl behind. At most 1,024 deletions wait; what is beyond them stays in
 * the store until it expires. */
size_t sticky_take_notes(struct sticky *sticky, struct sticky_note *notes, size_t most, uint64_t now);

/* Keys, some of which may have expired since the last tick. */
size_t sticky_count(const struct sticky *sticky);
/* All of its memory. */
size_t sticky_bytes(const struct sticky *sticky);

#endif
