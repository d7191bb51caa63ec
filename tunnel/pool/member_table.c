#include "tunnel/pool/member_table.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Hashes. */

uint64_t member_table_hash(const struct member_table *table, const char *bytes, size_t length)
{
	uint64_t hash;
	static_assert(sizeof(hash) == crypto_shorthash_BYTES && MEMBER_TABLE_HASH_KEY == crypto_shorthash_KEYBYTES, "SipHash-2-4");
	crypto_shorthash((unsigned char *)&hash, (const unsigned char *)bytes, length, table->hash_key);
	return hash;
}

uint64_t member_table_hash_label(const struct member_table *table, const char *key, size_t key_length, const char *value, size_t value_length)
{
	/* Hashed again, because sums of these stand for sets of labels: the same keys and values paired otherwise must not have the same sum. */
	const uint64_t parts[] = { member_table_hash(table, key, key_length), member_table_hash(table, value, value_length) };
	return member_table_hash(table, (const char *)parts, sizeof(parts));
}

uint64_t *member_table_hash_labels(const struct member_table *table, const struct spec_label *labels, size_t count)
{
	uint64_t *hashes = calloc(count + 1, sizeof(*hashes));
	for (size_t i = 0; hashes != NULL && i < count; i++)
		hashes[i] = member_table_hash_label(table, labels[i].key, strlen(labels[i].key), labels[i].value, strlen(labels[i].value));
	return hashes;
}

bool member_slot_has(const struct member_slot *slot, const uint64_t *labels, size_t count)
{
	size_t found = 0;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < slot->member.label_count; j++)
			found += slot->labels[j] == labels[i];
	return found == count;
}

/* Finding. */

static size_t mask_of(const struct member_table *table)
{
	return 2 * table->capacity - 1;
}

static size_t number_place(const struct member_table *table, uint32_t number)
{
	return (number * 2654435769u >> 7) & mask_of(table);
}

size_t member_table_find(const struct member_table *table, uint32_t number)
{
	if (number == 0 || table->capacity == 0)
		return MEMBER_TABLE_NONE;
	for (size_t at = number_place(table, number); table->numbers[at] != 0; at = (at + 1) & mask_of(table))
		if (table->slots[table->numbers[at] - 1].member.number == number)
			return table->numbers[at] - 1;
	return MEMBER_TABLE_NONE;
}

size_t member_table_find_id(const struct member_table *table, const char *id, size_t length)
{
	if (table->capacity == 0)
		return MEMBER_TABLE_NONE;
	uint64_t hash = member_table_hash(table, id, length);
	for (size_t at = hash & mask_of(table); table->ids[at] != 0; at = (at + 1) & mask_of(table)) {
		const struct member_slot *slot = &table->slots[table->ids[at] - 1];
		if (slot->id == hash && strlen(slot->member.id) == length && memcmp(slot->member.id, id, length) == 0)
			return table->ids[at] - 1;
	}
	return MEMBER_TABLE_NONE;
}

size_t member_table_find_free(struct member_table *table)
{
	while (table->first_free < table->capacity && table->slots[table->first_free].member.number != 0)
		table->first_free++;
	return table->first_free < table->capacity ? table->first_free : MEMBER_TABLE_NONE;
}

static void enter(uint32_t *directory, size_t at, size_t mask, size_t slot)
{
	while (directory[at & mask] != 0)
		at++;
	directory[at & mask] = (uint32_t)slot + 1;
}

static void list_slot(struct member_table *table, size_t slot)
{
	enter(table->numbers, number_place(table, table->slots[slot].member.number), mask_of(table), slot);
	enter(table->ids, table->slots[slot].id, mask_of(table), slot);
}

static void list_all(struct member_table *table)
{
	memset(table->numbers, 0, 2 * table->capacity * sizeof(*table->numbers));
	memset(table->ids, 0, 2 * table->capacity * sizeof(*table->ids));
	for (size_t i = 0; i < table->capacity; i++)
		if (table->slots[i].member.number != 0)
			list_slot(table, i);
}

/* Changing. */

bool member_table_grow(struct member_table *table)
{
	size_t capacity = table->capacity == 0 ? MEMBER_TABLE_STEP : 2 * table->capacity;
	struct member_slot *slots = calloc(capacity, sizeof(*slots));
	uint32_t *numbers = calloc(2 * capacity, sizeof(*numbers)), *ids = calloc(2 * capacity, sizeof(*ids));
	if (slots == NULL || numbers == NULL || ids == NULL) {
		free(slots);
		free(numbers);
		free(ids);
		return false;
	}
	if (table->capacity > 0)
		memcpy(slots, table->slots, table->capacity * sizeof(*slots));
	free(table->slots);
	free(table->numbers);
	free(table->ids);
	table->slots = slots;
	table->numbers = numbers;
	table->ids = ids;
	table->capacity = capacity;
	list_all(table);
	return true;
}

static void release_keys(struct member_table *table, const struct pool_member *member, size_t count)
{
	for (size_t i = 0; i < count; i++)
		label_keys_release(&table->keys, member->labels[i].key);
}

static bool hold_keys(struct member_table *table, const struct pool_member *member)
{
	for (size_t i = 0; i < member->label_count; i++) {
		if (!label_keys_hold(&table->keys, member->labels[i].key)) {
			release_keys(table, member, i);
			return false;
		}
	}
	return true;
}

static bool is_same(const struct member_slot *slot, const struct pool_member *member, const uint64_t *labels)
{
	return strcmp(slot->member.id, member->id) == 0 && slot->member.label_count == member->label_count &&
	       memcmp(slot->labels, labels, member->label_count * sizeof(*labels)) == 0;
}

int member_table_put(struct member_table *table, size_t at, struct pool_member *member)
{
	struct member_slot *slot = &table->slots[at];
	bool is_new = slot->member.number == 0;
	assert(member->number != 0 && (is_new || slot->member.number == member->number));
	uint64_t *labels = member_table_hash_labels(table, member->labels, member->label_count);
	if (labels == NULL || !hold_keys(table, member)) {
		free(labels);
		return -1;
	}
	bool is_changed = is_new || !is_same(slot, member, labels);
	release_keys(table, &slot->member, slot->member.label_count);
	free(slot->labels);
	pool_member_clear(&slot->member);
	slot->member = *member;
	slot->labels = labels;
	slot->id = member_table_hash(table, member->id, strlen(member->id));
	member->labels = NULL;
	member->label_count = 0;
	if (is_new)
		list_slot(table, at);
	else if (is_changed)
		list_all(table);
	return is_changed;
}

void member_table_remove_unlisted(struct member_table *table)
{
	for (size_t i = 0; i < table->capacity; i++) {
		if (table->slots[i].is_listed)
			continue;
		release_keys(table, &table->slots[i].member, table->slots[i].member.label_count);
		free(table->slots[i].labels);
		pool_member_clear(&table->slots[i].member);
		table->slots[i] = (struct member_slot){ .open = 0 };
	}
	table->first_free = 0;
	if (table->capacity > 0)
		list_all(table);
}

void member_table_clear(struct member_table *table)
{
	for (size_t i = 0; i < table->capacity; i++) {
		free(table->slots[i].labels);
		pool_member_clear(&table->slots[i].member);
	}
	free(table->slots);
	free(table->numbers);
	free(table->ids);
	label_keys_clear(&table->keys);
	*table = (struct member_table){ .capacity = 0 };
}
