#include "netstack/name_cache.h"

#include <stdlib.h>
#include <string.h>

#include "netstack/packet/random.h"

#define ENTRIES_MAX 256
#define SECOND 1000000000ull

struct name_cache_entry {
	uint64_t hash;
	uint64_t expires;
	char *name;
	uint8_t family;
	struct dns_answer answer;
};

static struct name_cache_entry *find(const struct name_cache *cache, const char *name, uint8_t family)
{
	uint64_t hash = random_hash(name, strlen(name));

	for (size_t i = 0; i < cache->count; i++) {
		struct name_cache_entry *entry = &cache->entries[i];
		if (entry->hash == hash && entry->family == family && strcmp(entry->name, name) == 0)
			return entry;
	}
	return NULL;
}

static bool grow(struct name_cache *cache)
{
	size_t capacity = cache->capacity == 0 ? 8 : 2 * cache->capacity;

	if (capacity > ENTRIES_MAX)
		return false;
	struct name_cache_entry *entries = realloc(cache->entries, capacity * sizeof(*entries));
	if (entries == NULL)
		return false;
	cache->entries = entries;
	cache->capacity = capacity;
	return true;
}

/* A new place, or that of the entry that expires first. */
static struct name_cache_entry *make_place(struct name_cache *cache)
{
	if (cache->count < cache->capacity || grow(cache)) {
		struct name_cache_entry *fresh = &cache->entries[cache->count++];
		fresh->name = NULL;
		return fresh;
	}
	if (cache->count == 0)
		return NULL;
	struct name_cache_entry *first = &cache->entries[0];
	for (size_t i = 1; i < cache->count; i++) {
		if (cache->entries[i].expires < first->expires)
			first = &cache->entries[i];
	}
	return first;
}

void name_cache_put(struct name_cache *cache, const char *name, uint8_t family, const struct dns_answer *answer, uint64_t now)
{
	if (answer->ttl == 0)
		return;
	struct name_cache_entry *entry = find(cache, name, family);
	if (entry == NULL) {
		char *copy = strdup(name);
		entry = copy != NULL ? make_place(cache) : NULL;
		if (entry == NULL) {
			free(copy);
			return;
		}
		free(entry->name);
		entry->name = copy;
		entry->hash = random_hash(name, strlen(name));
		entry->family = family;
	}
	entry->expires = now + answer->ttl * SECOND;
	entry->answer = *answer;
}

const struct dns_answer *name_cache_get(const struct name_cache *cache, const char *name, uint8_t family, uint64_t now)
{
	const struct name_cache_entry *entry = find(cache, name, family);

	return entry != NULL && entry->expires > now ? &entry->answer : NULL;
}

void name_cache_clear(struct name_cache *cache)
{
	for (size_t i = 0; i < cache->count; i++)
		free(cache->entries[i].name);
	free(cache->entries);
	*cache = (struct name_cache){ 0 };
}
