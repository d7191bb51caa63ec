#include "tunnel/pool/sticky.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Theory of operation: a key is an entry of a hash table that doubles and never shrinks, and is in one list:
 *
 *     held      it has connections; by `since`, when its note was last found fresh enough.
 *     idle      it has none; a list for each place of owners, by `since`, when its last connection ended. So the first expires first.
 *
 * An entry that has left the table is in one of these:
 *
 *     gone      it was thrown out, and the store must be told.
 *     told      the same; its note was taken, and the key may still be read.
 *     forgotten it has connections; the last of them frees it.
 *
 * An entry whose note is due is also in the list of notes. Times wrap: `since` may be before the clock's start. */

#define OWNERS 64
#define BUCKETS_MIN 8
#define GONE_MAX 1024
#define TICK_MAX 4096 /* entries of a tick */
#define LOAD_STEPS 32

/* Two neighbours in a ring, which begins and ends at its head. */
struct links {
	struct links *before, *after;
};

enum place { PLACE_HELD, PLACE_IDLE, PLACE_GONE, PLACE_TOLD, PLACE_FORGOTTEN };

struct sticky_entry {
	struct sticky_entry *next; /* in its bucket */
	struct links list;
	struct links notes; /* NULL: no note is due */
	uint64_t since;
	uint64_t stored_until; /* when the store's copy expires */
	uint32_t hash;
	uint32_t member;
	uint32_t open;
	unsigned owner : 8;
	unsigned place : 7; /* enum place */
	unsigned is_stored : 1;
	unsigned length : 16;
	char key[];
};

struct sticky {
	uint8_t hash_key[STICKY_HASH_KEY];
	uint64_t ttl;
	size_t capacity;
	struct sticky_entry **buckets;
	size_t mask;
	size_t count;          /* in the table */
	size_t entry_bytes;    /* of all entries in the table */
	size_t owners[OWNERS]; /* entries in the table */
	struct links held, idle[OWNERS], gone, told, forgotten, notes;
	size_t gone_count;
};

/* Rings. */

static void ring_init(struct links *head)
{
	head->before = head->after = head;
}

/* At the end, if `next` is the head. */
static void ring_insert(struct links *next, struct links *links)
{
	links->before = next->before;
	links->after = next;
	next->before->after = links;
	next->before = links;
}

static void ring_remove(struct links *links)
{
	links->before->after = links->after;
	links->after->before = links->before;
	*links = (struct links){ NULL, NULL };
}

static bool ring_is_empty(const struct links *head)
{
	return head->after == head;
}

static struct sticky_entry *in_list(struct links *links)
{
	return (struct sticky_entry *)(void *)((char *)links - offsetof(struct sticky_entry, list));
}

static struct sticky_entry *in_notes(struct links *links)
{
	return (struct sticky_entry *)(void *)((char *)links - offsetof(struct sticky_entry, notes));
}

/* Entries. */

/* What the allocator takes: a word more, in steps of 16 bytes. */
static size_t size_of(size_t key_length)
{
	return (sizeof(struct sticky_entry) + key_length + sizeof(size_t) + 15) & ~(size_t)15;
}

static bool is_older(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

static bool is_expired(const struct sticky *sticky, const struct sticky_entry *entry, uint64_t now)
{
	return entry->place == PLACE_IDLE && now - entry->since >= sticky->ttl;
}

static void note(struct sticky *sticky, struct sticky_entry *entry)
{
	if (entry->notes.after == NULL)
		ring_insert(&sticky->notes, &entry->notes);
}

/* Unless the store's copy expires at most a quarter of the ttl before a key that was used now. */
static void note_if_old(struct sticky *sticky, struct sticky_entry *entry, uint64_t now)
{
	if (now + sticky->ttl - entry->stored_until >= sticky->ttl / 4)
		note(sticky, entry);
}

static void unnote(struct sticky_entry *entry)
{
	if (entry->notes.after != NULL)
		ring_remove(&entry->notes);
}

static void move(struct sticky_entry *entry, enum place place, struct links *before)
{
	ring_remove(&entry->list);
	entry->place = place;
	ring_insert(before, &entry->list);
}

static void entry_free(struct sticky_entry *entry)
{
	unnote(entry);
	ring_remove(&entry->list);
	free(entry);
}

/* The table. */

static uint32_t hash_of(const struct sticky *sticky, const char *key, size_t length)
{
	uint64_t hash;
	static_assert(sizeof(hash) == crypto_shorthash_BYTES && STICKY_HASH_KEY == crypto_shorthash_KEYBYTES, "SipHash-2-4");
	crypto_shorthash((unsigned char *)&hash, (const unsigned char *)key, length, sticky->hash_key);
	return (uint32_t)hash;
}

/* Where the entry of the key is linked; NULL there: it has none. */
static struct sticky_entry **find(const struct sticky *sticky, const char *key, size_t length, uint32_t hash)
{
	struct sticky_entry **at = &sticky->buckets[hash & sticky->mask];
	while (*at != NULL && ((*at)->hash != hash || (*at)->length != length || memcmp((*at)->key, key, length) != 0))
		at = &(*at)->next;
	return at;
}

static void take_out(struct sticky *sticky, struct sticky_entry *entry)
{
	struct sticky_entry **at = find(sticky, entry->key, entry->length, entry->hash);
	assert(*at == entry);
	*at = entry->next;
	sticky->count--;
	sticky->entry_bytes -= size_of(entry->length);
	sticky->owners[entry->owner]--;
}

static void drop(struct sticky *sticky, struct sticky_entry *entry)
{
	take_out(sticky, entry);
	entry_free(entry);
}

/* Without memory the chains just grow longer. */
static void grow(struct sticky *sticky)
{
	size_t size = 2 * (sticky->mask + 1);
	struct sticky_entry **buckets = calloc(size, sizeof(struct sticky_entry *));
	if (buckets == NULL)
		return;
	for (size_t i = 0; i <= sticky->mask; i++) {
		for (struct sticky_entry *entry = sticky->buckets[i], *next; entry != NULL; entry = next) {
			next = entry->next;
			entry->next = buckets[entry->hash & (size - 1)];
			buckets[entry->hash & (size - 1)] = entry;
		}
	}
	free(sticky->buckets);
	sticky->buckets = buckets;
	sticky->mask = size - 1;
}

static size_t table_bytes(const struct sticky *sticky)
{
	return (sticky->mask + 1) * sizeof(struct sticky_entry *);
}

/* The oldest idle entry of the owner with the most; NULL: none is idle. */
static struct sticky_entry *find_victim(struct sticky *sticky)
{
	struct links *ring = NULL;
	size_t most = 0;
	for (size_t i = 0; i < OWNERS; i++) {
		if (ring_is_empty(&sticky->idle[i]) || sticky->owners[i] <= most)
			continue;
		most = sticky->owners[i];
		ring = &sticky->idle[i];
	}
	return ring == NULL ? NULL : in_list(ring->after);
}

/* The store is told if it would keep the key for longer. */
static void throw_out(struct sticky *sticky, struct sticky_entry *entry, uint64_t now)
{
	take_out(sticky, entry);
	if (!entry->is_stored || !is_older(now, entry->stored_until) || sticky->gone_count == GONE_MAX) {
		entry_free(entry);
		return;
	}
	sticky->gone_count++;
	move(entry, PLACE_GONE, &sticky->gone);
	note(sticky, entry);
}

static bool make_room(struct sticky *sticky, size_t size, uint64_t now)
{
	size_t most = sizeof(*sticky) + sticky->capacity * STICKY_BYTES;
	while (sticky_count(sticky) == sticky->capacity || sticky_bytes(sticky) + size > most) {
		struct sticky_entry *victim = find_victim(sticky);
		if (victim == NULL)
			return false;
		throw_out(sticky, victim, now);
	}
	return true;
}

/* An idle entry in the table, at the end of its list. NULL: no room. */
static struct sticky_entry *add(struct sticky *sticky, const char *key, size_t length, uint8_t owner, uint64_t now)
{
	struct sticky_entry *entry = make_room(sticky, size_of(length), now) ? malloc(sizeof(*entry) + length) : NULL;
	if (entry == NULL)
		return NULL;
	*entry = (struct sticky_entry){
		.hash = hash_of(sticky, key, length), .since = now, .owner = owner, .place = PLACE_IDLE, .length = (uint16_t)length
	};
	memcpy(entry->key, key, length);
	if (sticky->count > sticky->mask)
		grow(sticky);
	struct sticky_entry **bucket = &sticky->buckets[entry->hash & sticky->mask];
	entry->next = *bucket;
	*bucket = entry;
	ring_insert(&sticky->idle[owner], &entry->list);
	sticky->count++;
	sticky->entry_bytes += size_of(length);
	sticky->owners[owner]++;
	return entry;
}

/* Making and ending. */

struct sticky *sticky_create(size_t capacity, uint64_t ttl, const uint8_t hash_key[STICKY_HASH_KEY])
{
	assert(capacity > 0);
	struct sticky *sticky = calloc(1, sizeof(*sticky));
	struct sticky_entry **buckets = calloc(BUCKETS_MIN, sizeof(struct sticky_entry *));
	if (sticky == NULL || buckets == NULL) {
		free(sticky);
		free(buckets);
		return NULL;
	}
	memcpy(sticky->hash_key, hash_key, STICKY_HASH_KEY);
	sticky->ttl = ttl;
	sticky->capacity = capacity;
	sticky->buckets = buckets;
	sticky->mask = BUCKETS_MIN - 1;
	for (size_t i = 0; i < OWNERS; i++)
		ring_init(&sticky->idle[i]);
	ring_init(&sticky->held);
	ring_init(&sticky->gone);
	ring_init(&sticky->told);
	ring_init(&sticky->forgotten);
	ring_init(&sticky->notes);
	return sticky;
}

static void free_ring(struct links *head)
{
	while (!ring_is_empty(head))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): an entry that is freed has left its ring. */
		entry_free(in_list(head->after));
}

void sticky_free(struct sticky *sticky)
{
	if (sticky == NULL)
		return;
	for (size_t i = 0; i < OWNERS; i++)
		free_ring(&sticky->idle[i]);
	free_ring(&sticky->held);
	free_ring(&sticky->gone);
	free_ring(&sticky->told);
	free_ring(&sticky->forgotten);
	free(sticky->buckets);
	free(sticky);
}

void sticky_set_ttl(struct sticky *sticky, uint64_t ttl)
{
	bool is_changed = sticky->ttl != ttl;
	sticky->ttl = ttl;
	for (size_t i = 0; is_changed && i <= sticky->mask; i++)
		for (struct sticky_entry *entry = sticky->buckets[i]; entry != NULL; entry = entry->next)
			note(sticky, entry);
}

/* Connections. */

uint32_t sticky_find(const struct sticky *sticky, const char *key, size_t length, uint64_t now)
{
	const struct sticky_entry *entry = *find(sticky, key, length, hash_of(sticky, key, length));
	return entry == NULL || is_expired(sticky, entry, now) ? 0 : entry->member;
}

uint32_t sticky_open(const struct sticky *sticky, const char *key, size_t length)
{
	const struct sticky_entry *entry = *find(sticky, key, length, hash_of(sticky, key, length));
	return entry == NULL ? 0 : entry->open;
}

static void set_owner(struct sticky *sticky, struct sticky_entry *entry, uint8_t owner)
{
	sticky->owners[entry->owner]--;
	sticky->owners[owner]++;
	entry->owner = owner;
}

struct sticky_entry *sticky_hold(struct sticky *sticky, const char *key, size_t length, uint64_t owner, uint32_t member, uint64_t now)
{
	assert(length <= STICKY_KEY_MAX && member != 0);
	uint8_t place = (uint8_t)(hash_of(sticky, (const char *)&owner, sizeof(owner)) % OWNERS);
	struct sticky_entry *entry = *find(sticky, key, length, hash_of(sticky, key, length));
	if (entry != NULL && is_expired(sticky, entry, now)) {
		throw_out(sticky, entry, now);
		entry = NULL;
	}
	if (entry == NULL)
		entry = add(sticky, key, length, place, now);
	if (entry == NULL)
		return NULL;
	set_owner(sticky, entry, place);
	if (entry->open++ == 0) {
		entry->since = now;
		move(entry, PLACE_HELD, &sticky->held);
		note_if_old(sticky, entry, now);
	}
	if (entry->member != member)
		note(sticky, entry);
	entry->member = member;
	return entry;
}

void sticky_release(struct sticky *sticky, struct sticky_entry *entry, uint64_t now)
{
	if (entry == NULL)
		return;
	assert(entry->open > 0);
	if (--entry->open > 0)
		return;
	if (entry->place == PLACE_FORGOTTEN) {
		entry_free(entry);
		return;
	}
	entry->since = now;
	move(entry, PLACE_IDLE, &sticky->idle[entry->owner]);
	note_if_old(sticky, entry, now);
}

/* Those that ended before it come first. After some steps it is taken for younger than it is, so that a list in any order costs little. */
static void sort_in(struct sticky *sticky, struct sticky_entry *entry)
{
	struct links *head = &sticky->idle[entry->owner], *next = &entry->list;
	for (size_t i = 0; i < LOAD_STEPS && next->before != head && is_older(entry->since, in_list(next->before)->since); i++)
		next = next->before;
	if (next == &entry->list)
		return;
	if (next->before != head && is_older(entry->since, in_list(next->before)->since))
		entry->since = in_list(next->before)->since;
	move(entry, PLACE_IDLE, next);
}

void sticky_load(struct sticky *sticky, const char *key, size_t length, uint32_t member, uint64_t expires_at, uint64_t now)
{
	assert(length <= STICKY_KEY_MAX && member != 0);
	uint32_t hash = hash_of(sticky, key, length);
	if (expires_at <= now || *find(sticky, key, length, hash) != NULL)
		return;
	struct sticky_entry *entry = add(sticky, key, length, (uint8_t)(hash >> 24) % OWNERS, now);
	if (entry == NULL)
		return;
	entry->member = member;
	entry->is_stored = true;
	entry->stored_until = expires_at;
	entry->since = expires_at - now > sticky->ttl ? now : expires_at - sticky->ttl;
	sort_in(sticky, entry);
}

/* Forgetting. */

static void forget(struct sticky *sticky, struct sticky_entry *entry)
{
	if (entry->open == 0) {
		drop(sticky, entry);
		return;
	}
	take_out(sticky, entry);
	unnote(entry);
	move(entry, PLACE_FORGOTTEN, &sticky->forgotten);
}

bool sticky_forget(struct sticky *sticky, const char *key, size_t length, uint64_t now)
{
	struct sticky_entry *entry = *find(sticky, key, length, hash_of(sticky, key, length));
	if (entry == NULL)
		return false;
	bool is_known = !is_expired(sticky, entry, now);
	forget(sticky, entry);
	return is_known;
}

size_t sticky_forget_all(struct sticky *sticky, uint64_t now)
{
	size_t known = 0;
	for (size_t i = 0; i <= sticky->mask; i++)
		while (sticky->buckets[i] != NULL) {
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): an entry that is freed has left its bucket. */
			known += !is_expired(sticky, sticky->buckets[i], now);
			forget(sticky, sticky->buckets[i]);
		}
	return known;
}

/* Time and notes. */

void sticky_tick(struct sticky *sticky, uint64_t now)
{
	size_t left = TICK_MAX;
	for (size_t i = 0; i < OWNERS; i++) {
		struct links *idle = &sticky->idle[i];
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): an entry that is freed has left its ring. */
		for (; left > 0 && !ring_is_empty(idle) && is_expired(sticky, in_list(idle->after), now); left--)
			throw_out(sticky, in_list(idle->after), now);
	}
	left = TICK_MAX;
	for (; left > 0 && !ring_is_empty(&sticky->held) && now - in_list(sticky->held.after)->since >= sticky->ttl / 4; left--) {
		struct sticky_entry *entry = in_list(sticky->held.after);
		entry->since = now;
		move(entry, PLACE_HELD, &sticky->held);
		note(sticky, entry);
	}
}

static uint64_t expiry_of(const struct sticky *sticky, const struct sticky_entry *entry, uint64_t now)
{
	return (entry->place == PLACE_HELD ? now : entry->since) + sticky->ttl;
}

static struct sticky_note take_note(struct sticky *sticky, struct sticky_entry *entry, uint64_t now)
{
	struct sticky_note taken = { .key = entry->key, .key_length = entry->length };
	unnote(entry);
	if (entry->place == PLACE_GONE) {
		sticky->gone_count--;
		move(entry, PLACE_TOLD, &sticky->told);
		return taken;
	}
	taken.member = entry->member;
	taken.expires_at = expiry_of(sticky, entry, now);
	entry->stored_until = taken.expires_at;
	entry->is_stored = true;
	return taken;
}

size_t sticky_take_notes(struct sticky *sticky, struct sticky_note *notes, size_t most, uint64_t now)
{
	size_t count = 0;
	free_ring(&sticky->told);
	while (count < most && !ring_is_empty(&sticky->notes))
		notes[count++] = take_note(sticky, in_notes(sticky->notes.after), now);
	return count;
}

size_t sticky_count(const struct sticky *sticky)
{
	return sticky->count;
}

size_t sticky_bytes(const struct sticky *sticky)
{
	return sizeof(*sticky) + table_bytes(sticky) + sticky->entry_bytes;
}
