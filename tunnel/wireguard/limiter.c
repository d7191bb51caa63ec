/* Token buckets in a hash table with chains of indices. Tokens are nanoseconds: they grow with time and one handshake costs COST. */
#include "tunnel/wireguard/limiter.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define COST (SECOND / WIREGUARD_LIMITER_PER_SECOND)
#define FULL (COST * WIREGUARD_LIMITER_BURST)
#define CAPACITY WIREGUARD_LIMITER_CAPACITY
#define NONE UINT16_MAX

/* An IPv4 address, or the first half of an IPv6 address. */
struct source {
	uint64_t address;
	uint64_t family;
};

struct entry {
	struct source source;
	uint64_t tokens;
	uint64_t last;
	uint16_t next; /* in its chain, or in the free list */
};

struct wireguard_limiter {
	uint8_t key[crypto_shorthash_KEYBYTES];
	unsigned used;
	uint16_t free;
	uint16_t chains[CAPACITY];
	struct entry entries[CAPACITY];
};

static_assert(CAPACITY < NONE, "entries are numbered in 16 bits");

struct wireguard_limiter *wireguard_limiter_create(const uint8_t key[16])
{
	struct wireguard_limiter *limiter = calloc(1, sizeof(*limiter));

	if (limiter == NULL)
		return NULL;
	memcpy(limiter->key, key, sizeof(limiter->key));
	for (unsigned i = 0; i < CAPACITY; i++) {
		limiter->chains[i] = NONE;
		limiter->entries[i].next = i + 1 < CAPACITY ? (uint16_t)(i + 1) : NONE;
	}
	return limiter;
}

void wireguard_limiter_free(struct wireguard_limiter *limiter)
{
	free(limiter);
}

static struct source source_of(const union wireguard_endpoint *from)
{
	struct source source = { .family = from->any.sa_family };

	if (from->any.sa_family == AF_INET)
		source.address = from->v4.sin_addr.s_addr;
	else
		memcpy(&source.address, &from->v6.sin6_addr, sizeof(source.address));
	return source;
}

static uint16_t *chain_of(struct wireguard_limiter *limiter, const struct source *source)
{
	uint64_t hash;

	crypto_shorthash((uint8_t *)&hash, (const uint8_t *)source, sizeof(*source), limiter->key);
	return &limiter->chains[hash % CAPACITY];
}

static bool add(struct wireguard_limiter *limiter, uint16_t *chain, const struct source *source, uint64_t now)
{
	if (limiter->free == NONE)
		return false;
	uint16_t number = limiter->free;
	struct entry *entry = &limiter->entries[number];
	limiter->free = entry->next;
	*entry = (struct entry){ .source = *source, .tokens = FULL - COST, .last = now, .next = *chain };
	*chain = number;
	limiter->used++;
	return true;
}

static bool take(struct entry *entry, uint64_t now)
{
	uint64_t gained = now - entry->last;

	entry->tokens = gained >= FULL - entry->tokens ? FULL : entry->tokens + gained;
	entry->last = now;
	if (entry->tokens < COST)
		return false;
	entry->tokens -= COST;
	return true;
}

bool wireguard_limiter_allow(struct wireguard_limiter *limiter, const union wireguard_endpoint *from, uint64_t now)
{
	struct source source = source_of(from);

	uint16_t *chain = chain_of(limiter, &source);
	for (uint16_t i = *chain; i != NONE; i = limiter->entries[i].next)
		if (memcmp(&limiter->entries[i].source, &source, sizeof(source)) == 0)
			return take(&limiter->entries[i], now);
	return add(limiter, chain, &source, now);
}

bool wireguard_limiter_sweep(struct wireguard_limiter *limiter, uint64_t now)
{
	for (size_t c = 0; c < CAPACITY && limiter->used > 0; c++) {
		uint16_t *link = &limiter->chains[c];
		while (*link != NONE) {
			uint16_t number = *link;
			struct entry *entry = &limiter->entries[number];
			if (now - entry->last < SECOND) {
				link = &entry->next;
				continue;
			}
			*link = entry->next;
			entry->next = limiter->free;
			limiter->free = number;
			limiter->used--;
		}
	}
	return limiter->used > 0;
}
