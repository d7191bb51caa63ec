#include "service/change/mutation_deltas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/id_hash.h"

static uint32_t *index_of(const struct mutation *mutation, const char *key)
{
	for (size_t at = id_hash(key);; at++) {
		uint32_t *place = &mutation->index[at & (mutation->index_size - 1)];
		if (*place == 0 || strcmp(mutation->deltas[*place - 1].key, key) == 0)
			return place;
	}
}

struct delta *mutation_find_delta(const struct mutation *mutation, const char *key)
{
	uint32_t place = mutation->index == NULL ? 0 : *index_of(mutation, key);
	return place == 0 ? NULL : &mutation->deltas[place - 1];
}

const struct snapshot *mutation_find_tunnel(const struct mutation *mutation, const char *id)
{
	char key[OBJECT_KEY_SIZE];
	object_key_make(key, SPEC_TUNNEL, id);
	const struct delta *delta = mutation_find_delta(mutation, key);
	if (delta != NULL)
		return delta->after;
	const struct entry *entry = registry_entry(mutations_means(mutation->all)->registry, key);
	return entry == NULL ? NULL : entry->snapshot;
}

struct delta *mutation_take_delta(struct mutation *mutation, const char *key)
{
	uint32_t *place = index_of(mutation, key);
	if (*place != 0)
		return &mutation->deltas[*place - 1];
	struct delta *delta = &mutation->deltas[mutation->delta_count++];
	*place = (uint32_t)mutation->delta_count;
	*delta = (struct delta){ .entry = registry_entry(mutations_means(mutation->all)->registry, key) };
	snprintf(delta->key, sizeof(delta->key), "%s", key);
	if (delta->entry != NULL) {
		delta->before = snapshot_reference(delta->entry->snapshot);
		delta->after = snapshot_reference(delta->entry->snapshot);
	}
	return delta;
}

bool mutation_make_deltas(struct mutation *mutation)
{
	size_t count = mutation->operation_count;
	mutation->index_size = 16;
	while (mutation->index_size < count * 2)
		mutation->index_size *= 2;
	mutation->deltas = calloc(count + 1, sizeof(*mutation->deltas));
	mutation->index = calloc(mutation->index_size, sizeof(*mutation->index));
	if (mutation->deltas != NULL && mutation->index != NULL)
		return true;
	problem_out_of_memory(&mutation->problem);
	return false;
}

void mutation_blame(struct mutation *mutation, const struct delta *delta)
{
	/* The last operation of that tunnel made it what it is. */
	for (size_t i = 0; i < mutation->operation_count; i++)
		if (strcmp(mutation->operations[i].key, delta->key) == 0)
			mutation->failed_operation = i;
}
