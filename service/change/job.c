/* A change from its submission to its answer: read in the submitter's thread, run as one transaction or several on the service's. */
#include "service/change/job.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/change/action.h"
#include "service/change/delta.h"
#include "service/change/transaction.h"
#include "service/spec/json_reader.h"

struct mutation *mutation_create(enum mutation_kind kind, size_t operation_count)
{
	struct mutation *mutation = calloc(1, sizeof(*mutation));
	if (mutation == NULL)
		return NULL;
	mutation->kind = kind;
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
	if (mutation == NULL)
		return;
	for (size_t i = 0; i < mutation->operation_count; i++)
		clear_operation(&mutation->operations[i]);
	free(mutation->operations);
	labels_free(mutation->labels, mutation->label_count);
	json_decref(mutation->document);
	json_decref(mutation->token);
	free(mutation->token_name);
	problem_clear(&mutation->problem);
	free(mutation);
}

static bool has_document(enum operation_kind kind)
{
	return kind == OPERATION_CREATE || kind == OPERATION_PUT;
}

/* Readable ones, from which nothing can be guessed: 13 of 32 letters and digits that are not mistaken for each other. */
static void make_id(char id[64])
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t random[13];
	randombytes_buf(random, sizeof(random));
	id[0] = 't';
	id[1] = '-';
	for (size_t i = 0; i < sizeof(random); i++)
		id[i + 2] = letters[random[i] % 32];
	id[sizeof(random) + 2] = '\0';
}

static void read_operation(struct operation *operation, struct candidate *candidate, const struct snapshot *now)
{
	delta_read(operation, candidate, now);
	if (operation->kind == OPERATION_CREATE && operation->id[0] == '\0')
		snprintf(operation->id, sizeof(operation->id), "%s", candidate->id);
	if (operation->kind == OPERATION_CREATE && operation->id[0] == '\0')
		make_id(operation->id);
	/* An id of a path has not been looked at by the document's reader. */
	if (has_document(operation->kind) && !candidate_id_is_valid(operation->id))
		problem_add(&candidate->problem, "/id", "invalid_id",
		            "An id must be 1 to 63 characters of a-z, 0-9, dot, underscore and hyphen, and start with a letter or digit.");
}

static bool read_operations(struct job *job)
{
	job->operations = job->mutation->operations;
	job->operation_count = job->candidate_count = job->mutation->operation_count;
	job->candidates = calloc(job->operation_count + 1, sizeof(*job->candidates));
	job->bases = calloc(job->operation_count + 1, sizeof(struct snapshot *));
	if (job->candidates == NULL || job->bases == NULL)
		return false;
	for (size_t i = 0; i < job->operation_count; i++) {
		struct operation *operation = &job->operations[i];
		if (operation->kind == OPERATION_PUT || operation->kind == OPERATION_PATCH)
			job->bases[i] = registry_find(job->mutations->means.registry, operation->id);
		read_operation(operation, &job->candidates[i], job->bases[i]);
	}
	return true;
}

static void require_id(struct operation *operation, struct candidate *candidate, const char *pointer)
{
	char place[80];
	snprintf(place, sizeof(place), "%s/id", pointer);
	if (candidate->id[0] == '\0' && candidate->problem.code == PROBLEM_NONE)
		problem_add(&candidate->problem, place, "required", "Each tunnel of a state needs an id.");
	snprintf(operation->id, sizeof(operation->id), "%s", candidate->id);
}

/* A whole state is a PUT of each tunnel, and a DELETE of those that are not in it (added when it is this job's turn). */
static_assert(COUNTERS_TUNNELS == 16384, "the text of read_state says how many");

static bool read_state(struct job *job)
{
	static const char *const known[] = { "tunnels", NULL };
	struct json_reader reader;
	json_reader_init(&reader, "", &job->mutation->problem);
	if (!json_is_object(job->mutation->document)) {
		json_reader_fault(&reader, "wrong_type", "A state must be an object.");
		return true;
	}
	json_reader_known(&reader, job->mutation->document, known, NULL);
	const json_t *list = json_reader_array(&reader, job->mutation->document, "tunnels");
	if (list == NULL && job->mutation->problem.code == PROBLEM_NONE)
		json_reader_fault_at(&reader, "tunnels", "required", "A state needs the array tunnels, which may be empty.");
	size_t count = json_array_size(list), most = (size_t)supervisor_count(job->mutations->means.supervisor) * COUNTERS_TUNNELS, faults = 0;
	if (count > most) {
		json_reader_fault_at(&reader, "tunnels", "too_many", "A state can have at most 16,384 tunnels per worker.");
		count = 0;
	}
	job->operations = calloc(count + 1, sizeof(*job->operations));
	job->candidates = calloc(count + 1, sizeof(*job->candidates));
	if (job->operations == NULL || job->candidates == NULL)
		return false;
	job->owns_operations = true;
	for (size_t i = 0; i < count; i++) {
		char pointer[64];
		/* A body of nothing but faults is not worth the memory of all its tunnels. */
		if (faults >= PROBLEM_FAULT_MAX) {
			problem_set(&job->mutation->problem, PROBLEM_VALIDATION_FAILED, "The state has many faults; these are the first.");
			break;
		}
		snprintf(pointer, sizeof(pointer), "/tunnels/%zu", i);
		job->operations[i].kind = OPERATION_PUT;
		candidate_init(&job->candidates[i]);
		job->operation_count = job->candidate_count = i + 1;
		candidate_read(&job->candidates[i], json_array_get(list, i), pointer);
		candidate_write(&job->candidates[i]);
		require_id(&job->operations[i], &job->candidates[i], pointer);
		faults += job->candidates[i].problem.fault_count;
	}
	return true;
}

struct job *job_create(struct mutations *mutations, struct mutation *mutation)
{
	struct job *job = calloc(1, sizeof(*job));
	if (job == NULL)
		return NULL;
	job->mutations = mutations;
	job->mutation = mutation;
	bool is_read = true;
	switch (mutation->kind) {
	case MUTATION_OPERATIONS: is_read = read_operations(job); break;
	case MUTATION_STATE: is_read = read_state(job); break;
	case MUTATION_DELETE_WHERE:
	case MUTATION_TOKEN_CREATE:
	case MUTATION_TOKEN_DELETE: break;
	}
	if (!is_read)
		problem_set(&mutation->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	return job;
}

static void free_job(struct job *job)
{
	for (size_t i = 0; job->candidates != NULL && i < job->candidate_count; i++)
		candidate_clear(&job->candidates[i]);
	for (size_t i = 0; job->owns_operations && i < job->operation_count; i++)
		clear_operation(&job->operations[i]);
	if (job->owns_operations)
		free(job->operations);
	free(job->candidates);
	for (size_t i = 0; job->bases != NULL && i < job->mutation->operation_count; i++)
		snapshot_release(job->bases[i]);
	free(job->bases);
	free(job);
}

void job_answer(struct job *job)
{
	struct mutation *mutation = job->mutation;
	struct job **at = &job->mutations->jobs;
	while (*at != NULL && *at != job)
		at = &(*at)->next;
	if (*at == job)
		*at = job->next;
	free_job(job);
	mutation->done(mutation, mutation->owner);
}

void job_refuse(struct job *job)
{
	problem_set(&job->mutation->problem, PROBLEM_WORKER_UNAVAILABLE, "The daemon is stopping.");
	job_answer(job);
}

/* The problem of an atomic change is that of the operation which failed, with its faults. */
static void take_problem(struct job *job, const struct problem *problem, size_t failed)
{
	struct mutation *mutation = job->mutation;
	mutation->failed_operation = failed;
	if (failed < job->operation_count && job->operations[failed].problem.code != PROBLEM_NONE) {
		mutation->problem = job->operations[failed].problem;
		problem_init(&job->operations[failed].problem);
	} else {
		problem_set(&mutation->problem, problem->code, "%s", problem->detail);
	}
}

static void on_operations_done(void *owner, const struct problem *problem, size_t failed)
{
	struct job *job = owner;
	struct mutation *mutation = job->mutation;
	bool is_single = job->operation_count == 1 && !mutation->atomic;
	if (problem->code != PROBLEM_NONE && !is_single) {
		take_problem(job, problem, failed);
	} else if (problem->code != PROBLEM_NONE && job->operations[0].problem.code == PROBLEM_NONE) {
		problem_set(&job->operations[0].problem, problem->code, "%s", problem->detail);
	} else if (problem->code == PROBLEM_NONE && mutation->wait_up && !mutation->dry_run && job->operation_count == 1 &&
	           job->operations[0].snapshot != NULL && job->operations[0].kind != OPERATION_DELETE) {
		waiter_start(job);
		return;
	}
	job_answer(job);
}

static void start_transaction(struct job *job, size_t first, size_t count, void (*done)(void *, const struct problem *, size_t))
{
	struct transaction_request request = { .operations = &job->operations[first],
		                               .candidates = &job->candidates[first],
		                               .count = count,
		                               .dry_run = job->mutation->dry_run,
		                               .scope = job->mutation->scope,
		                               .done = done,
		                               .owner = job };
	transaction_start(job->mutations, &request);
}

static void run_next(struct job *job);

static void on_one_done(void *owner, const struct problem *problem, size_t failed)
{
	struct job *job = owner;
	struct operation *operation = &job->operations[job->cursor];
	(void)failed;
	if (problem->code != PROBLEM_NONE && operation->problem.code == PROBLEM_NONE)
		problem_set(&operation->problem, problem->code, "%s", problem->detail);
	job->cursor++;
	run_next(job);
}

static void on_action_done(void *owner)
{
	struct problem none;
	problem_init(&none);
	on_one_done(owner, &none, 0);
}

static bool is_action(const struct operation *operation)
{
	return operation->kind == OPERATION_RECONNECT || operation->kind == OPERATION_PROBE;
}

/* One after the other, because a later operation may count on an earlier one (a port that was given up). A loop and no recursion: thousands of
 * operations that fail at once would grow the stack. */
static void run_next(struct job *job)
{
	if (job->is_running) {
		job->goes_on = true;
		return;
	}
	job->is_running = true;
	do {
		job->goes_on = false;
		if (job->cursor == job->operation_count) {
			job_answer(job);
			return;
		}
		struct operation *operation = &job->operations[job->cursor];
		if (is_action(operation) && !job->mutation->dry_run)
			action_start(job->mutations, operation, on_action_done, job);
		else
			start_transaction(job, job->cursor, 1, on_one_done);
	} while (job->goes_on);
	job->is_running = false;
}

static void on_deleted(void *owner, const struct problem *problem, size_t failed)
{
	struct job *job = owner;
	struct mutation *mutation = job->mutation;
	(void)failed;
	if (problem->code == PROBLEM_NONE)
		mutation->deleted++;
	else if (problem->code != PROBLEM_NOT_FOUND && mutation->problem.code == PROBLEM_NONE)
		problem_set(&mutation->problem, problem->code, "%s", problem->detail);
	if (--job->pending == 0)
		job_answer(job);
}

static bool matches(const struct snapshot *snapshot, const struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->label_count; i++)
		if (!snapshot_has_label(snapshot, mutation->labels[i].key, mutation->labels[i].value))
			return false;
	return true;
}

static void delete_where(struct job *job)
{
	struct registry *registry = job->mutations->means.registry;
	job->operations = calloc(registry_count(registry) + 1, sizeof(*job->operations));
	job->candidates = calloc(1, sizeof(*job->candidates));
	if (job->operations == NULL || job->candidates == NULL) {
		problem_set(&job->mutation->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		job_answer(job);
		return;
	}
	job->owns_operations = true;
	for (size_t i = 0; i < registry_count(registry); i++) {
		const struct entry *entry = registry_at(registry, i);
		if (!matches(entry->snapshot, job->mutation))
			continue;
		struct operation *operation = &job->operations[job->operation_count++];
		operation->kind = OPERATION_DELETE;
		memcpy(operation->id, entry->id, sizeof(operation->id));
	}
	/* Side by side: what they wait for (the disk, the workers) takes them together. */
	job->pending = job->operation_count + 1;
	for (size_t i = 0; i < job->operation_count; i++) {
		struct transaction_request request = { .operations = &job->operations[i],
			                               .candidates = job->candidates,
			                               .count = 1,
			                               .dry_run = job->mutation->dry_run,
			                               .scope = job->mutation->scope,
			                               .done = on_deleted,
			                               .owner = job };
		transaction_start(job->mutations, &request);
	}
	if (--job->pending == 0)
		job_answer(job);
}

static int compare_operations(const void *a, const void *b)
{
	const struct operation *const *first = a, *const *second = b;
	int order = strcmp((*first)->id, (*second)->id);
	return order != 0 ? order : (*first > *second) - (*first < *second);
}

/* Sorts them by id, finds ids that are there twice, and counts the tunnels that are in none of them. */
static bool sort_state(struct job *job, const struct operation ***sorted)
{
	*sorted = calloc(job->operation_count + 1, sizeof(**sorted));
	if (*sorted == NULL)
		return false;
	for (size_t i = 0; i < job->operation_count; i++)
		(*sorted)[i] = &job->operations[i];
	qsort(*sorted, job->operation_count, sizeof(**sorted), compare_operations);
	for (size_t i = 1; i < job->operation_count; i++) {
		if ((*sorted)[i]->id[0] == '\0' || strcmp((*sorted)[i]->id, (*sorted)[i - 1]->id) != 0)
			continue;
		char pointer[64];
		snprintf(pointer, sizeof(pointer), "/tunnels/%zu/id", (size_t)((*sorted)[i] - job->operations));
		problem_add(&job->mutation->problem, pointer, "duplicate", "Another tunnel of the state has this id.");
	}
	return true;
}

static bool has_id(const struct operation *const *sorted, size_t count, const char *id)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(sorted[middle]->id, id);
		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static void begin_state(struct transaction_request *request, void *owner)
{
	struct job *job = owner;
	struct registry *registry = job->mutations->means.registry;
	const struct operation **sorted = NULL;
	size_t count = job->operation_count, room = count + registry_count(registry) + 2;
	struct operation *operations = calloc(room, sizeof(*operations));
	struct candidate *candidates = calloc(room, sizeof(*candidates));
	if (operations == NULL || candidates == NULL || !sort_state(job, &sorted)) {
		free(operations);
		free(candidates);
		problem_set(&job->mutation->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		request->count = 0;
		return;
	}
	memcpy(operations, job->operations, count * sizeof(*operations));
	memcpy(candidates, job->candidates, count * sizeof(*candidates));
	for (size_t i = 0; i < registry_count(registry); i++) {
		const struct entry *entry = registry_at(registry, i);
		if (has_id(sorted, count, entry->id))
			continue;
		operations[job->operation_count].kind = OPERATION_DELETE;
		memcpy(operations[job->operation_count].id, entry->id, sizeof(entry->id));
		candidate_init(&candidates[job->operation_count++]);
	}
	/* Faults of the document as a whole count as those of one more operation: the tunnels' own are still wanted. */
	if (job->mutation->problem.code != PROBLEM_NONE) {
		operations[job->operation_count].kind = OPERATION_DELETE;
		problem_set(&operations[job->operation_count].problem, job->mutation->problem.code, "%s", job->mutation->problem.detail);
		candidate_init(&candidates[job->operation_count++]);
	}
	free(sorted);
	free(job->operations);
	free(job->candidates);
	job->operations = request->operations = operations;
	job->candidates = request->candidates = candidates;
	job->candidate_count = request->count = job->operation_count;
}

static void gather_faults(struct job *job, const struct problem *problem)
{
	struct problem *all = &job->mutation->problem;
	if (all->code == PROBLEM_NONE)
		problem_set(all, problem->code, "%s", problem->detail);
	for (size_t i = 0; i < job->operation_count; i++) {
		const struct problem *one = &job->operations[i].problem;
		for (size_t k = 0; k < one->fault_count; k++)
			problem_add(all, one->faults[k].pointer, one->faults[k].code, "%s", one->faults[k].detail);
	}
}

static void on_state_done(void *owner, const struct problem *problem, size_t failed)
{
	struct job *job = owner;
	struct mutation *mutation = job->mutation;
	(void)failed;
	if (problem->code != PROBLEM_NONE) {
		gather_faults(job, problem);
		job_answer(job);
		return;
	}
	for (size_t i = 0; i < job->operation_count && mutation->problem.code == PROBLEM_NONE; i++) {
		const struct operation *operation = &job->operations[i];
		mutation->deleted += operation->kind == OPERATION_DELETE;
		mutation->created += operation->kind == OPERATION_PUT && operation->applied == APPLIED_CREATED;
		mutation->unchanged += operation->kind == OPERATION_PUT && operation->applied == APPLIED_UNCHANGED;
		mutation->changed +=
		    operation->kind == OPERATION_PUT && (operation->applied == APPLIED_IN_PLACE || operation->applied == APPLIED_RESTARTED);
	}
	job_answer(job);
}

static void run_state(struct job *job)
{
	struct transaction_request request = { .operations = job->operations,
		                               .candidates = job->candidates,
		                               .count = job->operation_count,
		                               .alone = true,
		                               .dry_run = job->mutation->dry_run,
		                               .scope = job->mutation->scope,
		                               .begin = begin_state,
		                               .done = on_state_done,
		                               .owner = job };
	transaction_start(job->mutations, &request);
}

static void on_token_done(void *owner, json_t *token, const struct problem *problem)
{
	struct job *job = owner;
	job->mutation->token = token;
	if (problem->code != PROBLEM_NONE)
		problem_set(&job->mutation->problem, problem->code, "%s", problem->detail);
	job_answer(job);
}

void job_run(struct job *job)
{
	struct mutation *mutation = job->mutation;
	job->next = job->mutations->jobs;
	job->mutations->jobs = job;
	if (mutation->problem.code != PROBLEM_NONE && mutation->kind != MUTATION_STATE) {
		job_answer(job);
		return;
	}
	switch (mutation->kind) {
	case MUTATION_OPERATIONS:
		if (job->operation_count > 0 && (mutation->atomic || (job->operation_count == 1 && !is_action(&job->operations[0]))))
			start_transaction(job, 0, job->operation_count, on_operations_done);
		else
			run_next(job);
		break;
	case MUTATION_DELETE_WHERE: delete_where(job); break;
	case MUTATION_STATE: run_state(job); break;
	case MUTATION_TOKEN_CREATE:
		token_table_make(job->mutations->means.tokens, job->mutations->means.store, mutation->token_name, mutation->token_scopes,
		                 on_token_done, job);
		break;
	case MUTATION_TOKEN_DELETE:
		token_table_delete(job->mutations->means.tokens, job->mutations->means.store, mutation->token_id, on_token_done, job);
		break;
	}
}
