/* The members of a pool in numbered slots, found by number and by id. A slot is a bit in a set of members. Ids and labels are also compared by
 * keyed hashes of 64 bits, which are taken for the texts themselves. */
#ifndef WARREN_TUNNEL_POOL_MEMBER_TABLE_H
#define WARREN_TUNNEL_POOL_MEMBER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/pool_message.h"
#include "tunnel/pool/label_keys.h"

#define MEMBER_TABLE_HASH_KEY 16
#define MEMBER_TABLE_STEP 64u /* the capacity is a multiple of it */
#define MEMBER_TABLE_NONE SIZE_MAX

struct member_slot {
	struct pool_member member; /* number 0: the slot is free */
	uint64_t id;               /* hash */
	uint64_t *labels;          /* hashes, in the order of the member's labels */
	uint32_t open;             /* connections */
	bool is_listed;            /* in the list that is being read */
};

/* All zeros but for the hash key: no members. */
struct member_table {
	uint8_t hash_key[MEMBER_TABLE_HASH_KEY];
	struct member_slot *slots;
	size_t capacity;
	struct label_keys keys;  /* of all members' labels */
	size_t first_free;       /* none before it is */
	uint32_t *numbers, *ids; /* slots plus 1 by hash, open addressing; twice the capacity */
};

uint64_t member_table_hash(const struct member_table *table, const char *bytes, size_t length);
uint64_t member_table_hash_label(const struct member_table *table, const char *key, size_t key_length, const char *value, size_t value_length);
/* Hashes of labels, malloc'ed; NULL when out of memory. */
uint64_t *member_table_hash_labels(const struct member_table *table, const struct spec_label *labels, size_t count);

/* The slot, or MEMBER_TABLE_NONE. */
size_t member_table_find(const struct member_table *table, uint32_t number);
size_t member_table_find_id(const struct member_table *table, const char *id, size_t length);
size_t member_table_find_free(struct member_table *table);
/* Whether the slot's member has all labels with these hashes, which differ. */
bool member_slot_has(const struct member_slot *slot, const uint64_t *labels, size_t count);

/* Doubles the capacity. False when out of memory: then nothing has changed. */
bool member_table_grow(struct member_table *table) __attribute__((warn_unused_result));
/* Puts a member into a free slot, or into the one that has its number. Takes its labels. Returns whether id or labels have changed, or -1 when out of
 * memory: then nothing has changed. */
int member_table_put(struct member_table *table, size_t at, struct pool_member *member) __attribute__((warn_unused_result));
void member_table_remove_unlisted(struct member_table *table);
void member_table_clear(struct member_table *table);

#endif
