/* A cache of DNS answers, kept for their TTL. Bounded; it allocates only once it has an entry. */
#ifndef WARREN_NETSTACK_NAME_CACHE_H
#define WARREN_NETSTACK_NAME_CACHE_H

#include "netstack/dns.h"

struct name_cache_entry;

struct name_cache {
	struct name_cache_entry *entries;
	size_t count;
	size_t capacity;
};

void name_cache_put(struct name_cache *cache, const char *name, uint8_t family, const struct dns_answer *answer, uint64_t now);
/* Borrowed until the next put; NULL: no entry. */
const struct dns_answer *name_cache_get(const struct name_cache *cache, const char *name, uint8_t family, uint64_t now);
void name_cache_clear(struct name_cache *cache);

#endif
