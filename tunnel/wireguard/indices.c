/* Chains of embedded entries. The numbers are our own random ones, so they need no hashing. */
#include "tunnel/wireguard/indices.h"

#include <assert.h>
#include <stdlib.h>

static struct wireguard_index **chain_of(const struct wireguard_indices *indices, uint32_t number)
{
	return &indices->chains[number & indices->mask];
}

void wireguard_indices_clear(struct wireguard_indices *indices)
{
	assert(indices->used == 0);
	free(indices->chains);
	*indices = (struct wireguard_indices){ 0 };
}

int wireguard_indices_reserve(struct wireguard_indices *indices, size_t peers)
{
	size_t size = WIREGUARD_INDICES_PER_PEER;

	while (size < peers * WIREGUARD_INDICES_PER_PEER)
		size *= 2;
	if (indices->chains != NULL && size <= indices->mask + 1)
		return 0;
	struct wireguard_indices grown = { .chains = calloc(size, sizeof(*grown.chains)), .mask = size - 1, .used = indices->used };
	if (grown.chains == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	for (size_t c = 0; indices->chains != NULL && c <= indices->mask; c++) {
		while (indices->chains[c] != NULL) {
			struct wireguard_index *index = indices->chains[c];
			struct wireguard_index **chain = chain_of(&grown, index->number);
			indices->chains[c] = index->next;
			index->next = *chain;
			*chain = index;
		}
	}
	free(indices->chains);
	*indices = grown;
	return 0;
}

static void list(struct wireguard_indices *indices, struct wireguard_index *index)
{
	struct wireguard_index **chain = chain_of(indices, index->number);

	index->next = *chain;
	index->is_listed = true;
	*chain = index;
	indices->used++;
}

void wireguard_indices_add(struct wireguard_indices *indices, struct wireguard_index *index, const struct wireguard_env *env)
{
	assert(!index->is_listed);
	do
		env->random(env->owner, &index->number, sizeof(index->number));
	while (wireguard_indices_find(indices, index->number) != NULL);
	list(indices, index);
}

bool wireguard_indices_put(struct wireguard_indices *indices, struct wireguard_index *index, uint32_t number)
{
	assert(!index->is_listed);
	if (wireguard_indices_find(indices, number) != NULL)
		return false;
	index->number = number;
	list(indices, index);
	return true;
}

void wireguard_indices_remove(struct wireguard_indices *indices, struct wireguard_index *index)
{
	if (!index->is_listed)
		return;
	struct wireguard_index **link = chain_of(indices, index->number);
	while (*link != index)
		link = &(*link)->next;
	*link = index->next;
	index->is_listed = false;
	indices->used--;
}

void wireguard_indices_replace(struct wireguard_indices *indices, struct wireguard_index *index, struct wireguard_index *by)
{
	assert(index->is_listed && !by->is_listed);
	wireguard_indices_remove(indices, index);
	by->number = index->number;
	list(indices, by);
}

struct wireguard_index *wireguard_indices_find(const struct wireguard_indices *indices, uint32_t number)
{
	if (indices->chains == NULL)
		return NULL;
	for (struct wireguard_index *index = *chain_of(indices, number); index != NULL; index = index->next)
		if (index->number == number)
			return index;
	return NULL;
}
