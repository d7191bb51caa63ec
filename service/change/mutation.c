#include "service/change/mutation.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "ipc/object_id.h"

struct mutation *mutation_create(enum mutation_kind kind, size_t operation_count)
{
	struct mutation *mutation = calloc(1, sizeof(*mutation));
	if (mutation == NULL)
		return NULL;
	mutation->kind = kind;
	mutation->references = 1;
	mutation->access = mutation->token_access = access_whole();
	mutation->operations = calloc(operation_count + 1, sizeof(*mutation->operations));
	mutation->operation_count = operation_count;
	if (mutation->operations != NULL)
		return mutation;
	free(mutation);
	return NULL;
}

static void clear_operation(struct operation *operation)
{
	free(operation->session);
	free(operation->page.list);
	free(operation->page.open);
	free(operation->if_match);
	free(operation->if_none_match);
	problem_clear(&operation->problem);
	problem_clear(&operation->faults);
}

static void free_listing(struct connection_listing *listing)
{
	if (listing == NULL)
		return;
	problem_clear(&listing->problem);
	free(listing->json);
	free(listing);
}

/* What takes long with many peers. */
static void clear_documents(struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->operation_count; i++) {
		struct operation *operation = &mutation->operations[i];
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): as many operations are there as are counted. */
		json_decref(operation->document);
		operation->document = NULL;
		snapshot_release(operation->snapshot);
		operation->snapshot = NULL;
	}
	json_decref(mutation->document);
	mutation->document = NULL;
	/* Often the last references to what was before. */
	for (size_t i = 0; i < mutation->base_count; i++)
		snapshot_release(mutation->bases[i]);
	free(mutation->bases);
	mutation->bases = NULL;
	mutation->base_count = 0;
}

void mutation_free(struct mutation *mutation)
{
	if (mutation == NULL)
		return;
	clear_documents(mutation);
	mutation_release(mutation);
}

void mutation_release(struct mutation *mutation)
{
	if (--mutation->references > 0)
		return;
	for (size_t i = 0; mutation->parent == NULL && i < mutation->operation_count; i++)
		clear_operation(&mutation->operations[i]);
	if (mutation->parent == NULL)
		free(mutation->operations);
	selectors_free(mutation->selectors, mutation->selector_count);
	json_decref(mutation->token);
	json_decref(mutation->reloaded);
	free(mutation->token_name);
	access_release(mutation->access);
	access_release(mutation->token_access);
	free_listing(mutation->listing);
	for (size_t i = 0; i < mutation->found_count; i++)
		snapshot_release(mutation->found[i]);
	free(mutation->found);
	problem_clear(&mutation->problem);
	free(mutation);
}

/* Readable, unguessable ids: 13 of 32 letters and digits that are not easily confused. */
static void make_id(char id[64], enum spec_kind object)
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t random[13];
	randombytes_buf(random, sizeof(random));
	id[0] = object == SPEC_POOL ? 'p' : 't';
	id[1] = '-';
	for (size_t i = 0; i < sizeof(random); i++)
		id[i + 2] = letters[random[i] % 32];
	id[sizeof(random) + 2] = '\0';
}

void operation_choose_id(struct operation *operation)
{
	const char *asked = json_string_value(json_object_get(operation->document, "id"));
	if (operation->kind != OPERATION_CREATE || operation->id[0] != '\0')
		return;
	if (asked != NULL && object_id_is_valid(asked))
		snprintf(operation->id, sizeof(operation->id), "%s", asked);
	else
		make_id(operation->id, operation->object);
}

void operation_name(struct operation *operation)
{
	object_key_make(operation->key, operation->object, operation->id);
}

void operation_delete(struct operation *operation, enum spec_kind object, const char *id)
{
	operation->kind = OPERATION_DELETE;
	operation->object = object;
	snprintf(operation->id, sizeof(operation->id), "%s", id);
	operation_name(operation);
}

bool operation_is_write(const struct operation *operation)
{
	return !(operation->kind == OPERATION_RECONNECT || operation->kind == OPERATION_PROBE || operation->kind == OPERATION_FORGET ||
	         operation->kind == OPERATION_COUNT || operation->kind == OPERATION_MOVE);
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
			course = !operation_is_write(&mutation->operations[0]) && !mutation->dry_run ? MUTATION_ACTION : MUTATION_SINGLE;
		break;
	case MUTATION_DELETE_WHERE: course = MUTATION_MANY_DELETES; break;
	case MUTATION_STATE: course = MUTATION_WHOLE_STATE; break;
	case MUTATION_RELOAD:
	case MUTATION_REPLACE:
	case MUTATION_LOOK_UP: /* is the fleet's */
	case MUTATION_CONNECTIONS: course = MUTATION_ACTION; break;
	case MUTATION_TOKEN_CREATE:
	case MUTATION_TOKEN_DELETE: break;
	}
	return course;
}
