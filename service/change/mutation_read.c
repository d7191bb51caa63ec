/* What can be read of a mutation ahead of its turn, in the submitter's thread. */
#include <stdio.h>
#include <stdlib.h>

#include "ipc/object_id.h"
#include "service/change/delta.h"
#include "service/change/mutation_step.h"
#include "service/change/whole_state.h"

static bool has_document(enum operation_kind kind)
{
	return kind == OPERATION_CREATE || kind == OPERATION_PUT;
}

/* The change of a peer is small, and its candidate a whole tunnel: many of a batch, which follow each other, are made on their turn. */
static bool needs_base(const struct mutation *mutation, enum operation_kind kind)
{
	bool is_peers = kind == OPERATION_PEER_PUT || kind == OPERATION_PEER_PATCH || kind == OPERATION_PEER_DELETE;
	return kind == OPERATION_PUT || kind == OPERATION_PATCH || (is_peers && mutation->operation_count == 1);
}

static void read_operation(struct operation *operation, struct candidate *candidate, const struct snapshot *now)
{
	delta_read(operation, candidate, now);
	operation_choose_id(operation);
	/* The document's reader has not checked the id from the path. */
	if (has_document(operation->kind) && !object_id_is_valid(operation->id))
		problem_add(&candidate->problem, "/id", "invalid_id", CANDIDATE_INVALID_ID);
}

static bool read_operations(struct mutation *mutation)
{
	size_t count = mutation->operation_count;
	mutation->candidates = calloc(count + 1, sizeof(*mutation->candidates));
	mutation->bases = calloc(count + 1, sizeof(struct snapshot *));
	if (mutation->candidates == NULL || mutation->bases == NULL)
		return false;
	mutation->candidate_count = mutation->base_count = count;
	for (size_t i = 0; i < count; i++) {
		struct operation *operation = &mutation->operations[i];
		operation_name(operation);
		if (needs_base(mutation, operation->kind))
			mutation->bases[i] = registry_find(mutations_means(mutation->all)->registry, operation->key);
		read_operation(operation, &mutation->candidates[i], mutation->bases[i]);
		/* A new one has its id now. */
		operation_name(operation);
	}
	return true;
}

bool mutation_read(struct mutation *mutation)
{
	if (mutation->kind == MUTATION_OPERATIONS)
		return read_operations(mutation);
	return mutation->kind != MUTATION_STATE || whole_state_read(mutation);
}
