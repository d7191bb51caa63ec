#include "service/change/mutation.h"

#include <stdlib.h>

struct mutation *mutation_create(enum mutation_kind kind, size_t operation_count)
{
	struct mutation *mutation = calloc(1, sizeof(*mutation));
	if (mutation == NULL)
		return NULL;
	mutation->kind = kind;
	mutation->references = 1;
	mutation->operations = calloc(operation_count + 1, sizeof(*mutation->operations));
	mutation->operation_count = operation_count;
	if (mutation->operations != NULL)
		return mutation;
	free(mutation);
	return NULL;
}

static void clear_operation(struct operation *operation)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): as many operations are there as are counted. */
	json_decref(operation->document);
	free(operation->if_match);
	free(operation->if_none_match);
	problem_clear(&operation->problem);
	snapshot_release(operation->snapshot);
}

void mutation_free(struct mutation *mutation)
{
	if (mutation == NULL || --mutation->references > 0)
		return;
	for (size_t i = 0; mutation->parent == NULL && i < mutation->operation_count; i++)
		clear_operation(&mutation->operations[i]);
	if (mutation->parent == NULL)
		free(mutation->operations);
	labels_free(mutation->labels, mutation->label_count);
	json_decref(mutation->document);
	json_decref(mutation->token);
	free(mutation->token_name);
	problem_clear(&mutation->problem);
	free(mutation);
}

static bool is_action(const struct operation *operation)
{
	return operation->kind == OPERATION_RECONNECT || operation->kind == OPERATION_PROBE;
}

enum mutation_course mutation_course_of(const struct mutation *mutation)
{
	enum mutation_course course = MUTATION_TOKEN;
	switch (mutation->kind) {
	case MUTATION_OPERATIONS:
		if (mutation->atomic && mutation->operation_count > 0)
			course = MUTATION_ATOMIC;
		else if (mutation->operation_count != 1)
			course = MUTATION_SEQUENCE;
		else
			course = is_action(&mutation->operations[0]) && !mutation->dry_run ? MUTATION_ACTION : MUTATION_SINGLE;
		break;
	case MUTATION_DELETE_WHERE: course = MUTATION_MANY_DELETES; break;
	case MUTATION_STATE: course = MUTATION_WHOLE_STATE; break;
	case MUTATION_TOKEN_CREATE:
	case MUTATION_TOKEN_DELETE: break;
	}
	return course;
}
