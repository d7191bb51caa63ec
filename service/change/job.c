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

struct change *change_create(enum change_kind kind, size_t edit_count)
{
	struct change *change = calloc(1, sizeof(*change));
	if (change == NULL)
		return NULL;
	change->kind = kind;
	change->edits = calloc(edit_count + 1, sizeof(*change->edits));
	change->edit_count = edit_count;
	if (change->edits != NULL)
		return change;
	free(change);
	return NULL;
}

static void clear_edit(struct edit *edit)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): as many edits are there as are counted. */
	json_decref(edit->document);
	free(edit->if_match);
	free(edit->if_none_match);
	problem_clear(&edit->problem);
	snapshot_release(edit->snapshot);
}

void change_free(struct change *change)
{
	if (change == NULL)
		return;
	for (size_t i = 0; i < change->edit_count; i++)
		clear_edit(&change->edits[i]);
	free(change->edits);
	labels_free(change->labels, change->label_count);
	json_decref(change->document);
	json_decref(change->token);
	free(change->token_name);
	problem_clear(&change->problem);
	free(change);
}

static bool has_document(enum edit_kind kind)
{
	return kind == EDIT_CREATE || kind == EDIT_PUT;
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

static void read_edit(struct edit *edit, struct candidate *candidate, const struct snapshot *now)
{
	delta_read(edit, candidate, now);
	if (edit->kind == EDIT_CREATE && edit->id[0] == '\0')
		snprintf(edit->id, sizeof(edit->id), "%s", candidate->id);
	if (edit->kind == EDIT_CREATE && edit->id[0] == '\0')
		make_id(edit->id);
	/* An id of a path has not been looked at by the document's reader. */
	if (has_document(edit->kind) && !candidate_id_is_valid(edit->id))
		problem_add(&candidate->problem, "/id", "invalid_id",
		            "An id must be 1 to 63 characters of a-z, 0-9, dot, underscore and hyphen, and start with a letter or digit.");
}

static bool read_edits(struct job *job)
{
	job->edits = job->change->edits;
	job->edit_count = job->candidate_count = job->change->edit_count;
	job->candidates = calloc(job->edit_count + 1, sizeof(*job->candidates));
	job->bases = calloc(job->edit_count + 1, sizeof(struct snapshot *));
	if (job->candidates == NULL || job->bases == NULL)
		return false;
	for (size_t i = 0; i < job->edit_count; i++) {
		struct edit *edit = &job->edits[i];
		if (edit->kind == EDIT_PUT || edit->kind == EDIT_PATCH)
			job->bases[i] = registry_find(job->mutations->means.registry, edit->id);
		read_edit(edit, &job->candidates[i], job->bases[i]);
	}
	return true;
}

static void require_id(struct edit *edit, struct candidate *candidate, const char *pointer)
{
	char place[80];
	snprintf(place, sizeof(place), "%s/id", pointer);
	if (candidate->id[0] == '\0' && candidate->problem.code == PROBLEM_NONE)
		problem_add(&candidate->problem, place, "required", "Each tunnel of a state needs an id.");
	snprintf(edit->id, sizeof(edit->id), "%s", candidate->id);
}

/* A whole state is a PUT of each tunnel, and a DELETE of those that are not in it (added when it is this job's turn). */
static_assert(COUNTERS_TUNNELS == 16384, "the text of read_state says how many");

static bool read_state(struct job *job)
{
	static const char *const known[] = { "tunnels", NULL };
	struct json_reader reader;
	json_reader_init(&reader, "", &job->change->problem);
	if (!json_is_object(job->change->document)) {
		json_reader_fault(&reader, "wrong_type", "A state must be an object.");
		return true;
	}
	json_reader_known(&reader, job->change->document, known, NULL);
	const json_t *list = json_reader_array(&reader, job->change->document, "tunnels");
	if (list == NULL && job->change->problem.code == PROBLEM_NONE)
		json_reader_fault_at(&reader, "tunnels", "required", "A state needs the array tunnels, which may be empty.");
	size_t count = json_array_size(list), most = (size_t)supervisor_count(job->mutations->means.supervisor) * COUNTERS_TUNNELS, faults = 0;
	if (count > most) {
		json_reader_fault_at(&reader, "tunnels", "too_many", "A state can have at most 16,384 tunnels per worker.");
		count = 0;
	}
	job->edits = calloc(count + 1, sizeof(*job->edits));
	job->candidates = calloc(count + 1, sizeof(*job->candidates));
	if (job->edits == NULL || job->candidates == NULL)
		return false;
	job->owns_edits = true;
	for (size_t i = 0; i < count; i++) {
		char pointer[64];
		/* A body of nothing but faults is not worth the memory of all its tunnels. */
		if (faults >= PROBLEM_FAULT_MAX) {
			problem_set(&job->change->problem, PROBLEM_VALIDATION_FAILED, "The state has many faults; these are the first.");
			break;
		}
		snprintf(pointer, sizeof(pointer), "/tunnels/%zu", i);
		job->edits[i].kind = EDIT_PUT;
		candidate_init(&job->candidates[i]);
		job->edit_count = job->candidate_count = i + 1;
		candidate_read(&job->candidates[i], json_array_get(list, i), pointer);
		candidate_write(&job->candidates[i]);
		require_id(&job->edits[i], &job->candidates[i], pointer);
		faults += job->candidates[i].problem.fault_count;
	}
	return true;
}

struct job *job_create(struct mutations *mutations, struct change *change)
{
	struct job *job = calloc(1, sizeof(*job));
	if (job == NULL)
		return NULL;
	job->mutations = mutations;
	job->change = change;
	bool is_read = true;
	switch (change->kind) {
	case CHANGE_EDITS: is_read = read_edits(job); break;
	case CHANGE_STATE: is_read = read_state(job); break;
	case CHANGE_DELETE_WHERE:
	case CHANGE_TOKEN_CREATE:
	case CHANGE_TOKEN_DELETE: break;
	}
	if (!is_read)
		problem_set(&change->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	return job;
}

static void free_job(struct job *job)
{
	for (size_t i = 0; job->candidates != NULL && i < job->candidate_count; i++)
		candidate_clear(&job->candidates[i]);
	for (size_t i = 0; job->owns_edits && i < job->edit_count; i++)
		clear_edit(&job->edits[i]);
	if (job->owns_edits)
		free(job->edits);
	free(job->candidates);
	for (size_t i = 0; job->bases != NULL && i < job->change->edit_count; i++)
		snapshot_release(job->bases[i]);
	free(job->bases);
	free(job);
}

void job_answer(struct job *job)
{
	struct change *change = job->change;
	struct job **at = &job->mutations->jobs;
	while (*at != NULL && *at != job)
		at = &(*at)->next;
	if (*at == job)
		*at = job->next;
	free_job(job);
	change->done(change, change->owner);
}

void job_refuse(struct job *job)
{
	problem_set(&job->change->problem, PROBLEM_WORKER_UNAVAILABLE, "The daemon is stopping.");
	job_answer(job);
}

/* The problem of an atomic change is that of the edit which failed, with its faults. */
static void take_problem(struct job *job, const struct problem *problem, size_t failed)
{
	struct change *change = job->change;
	change->failed_edit = failed;
	if (failed < job->edit_count && job->edits[failed].problem.code != PROBLEM_NONE) {
		change->problem = job->edits[failed].problem;
		problem_init(&job->edits[failed].problem);
	} else {
		problem_set(&change->problem, problem->code, "%s", problem->detail);
	}
}

static void on_edits_done(void *owner, const struct problem *problem, size_t failed)
{
	struct job *job = owner;
	struct change *change = job->change;
	bool is_single = job->edit_count == 1 && !change->atomic;
	if (problem->code != PROBLEM_NONE && !is_single) {
		take_problem(job, problem, failed);
	} else if (problem->code != PROBLEM_NONE && job->edits[0].problem.code == PROBLEM_NONE) {
		problem_set(&job->edits[0].problem, problem->code, "%s", problem->detail);
	} else if (problem->code == PROBLEM_NONE && change->wait_up && !change->dry_run && job->edit_count == 1 && job->edits[0].snapshot != NULL &&
	           job->edits[0].kind != EDIT_DELETE) {
		waiter_start(job);
		return;
	}
	job_answer(job);
}

static void start_transaction(struct job *job, size_t first, size_t count, void (*done)(void *, const struct problem *, size_t))
{
	struct transaction_request request = { .edits = &job->edits[first],
		                               .candidates = &job->candidates[first],
		                               .count = count,
		                               .dry_run = job->change->dry_run,
		                               .scope = job->change->scope,
		                               .done = done,
		                               .owner = job };
	transaction_start(job->mutations, &request);
}

static void run_next(struct job *job);

static void on_one_done(void *owner, const struct problem *problem, size_t failed)
{
	struct job *job = owner;
	struct edit *edit = &job->edits[job->cursor];
	(void)failed;
	if (problem->code != PROBLEM_NONE && edit->problem.code == PROBLEM_NONE)
		problem_set(&edit->problem, problem->code, "%s", problem->detail);
	job->cursor++;
	run_next(job);
}

static void on_action_done(void *owner)
{
	struct problem none;
	problem_init(&none);
	on_one_done(owner, &none, 0);
}

static bool is_action(const struct edit *edit)
{
	return edit->kind == EDIT_RECONNECT || edit->kind == EDIT_PROBE;
}

/* One after the other, because a later edit may count on an earlier one (a port that was given up). A loop and no recursion: thousands of
 * edits that fail at once would grow the stack. */
static void run_next(struct job *job)
{
	if (job->is_running) {
		job->goes_on = true;
		return;
	}
	job->is_running = true;
	do {
		job->goes_on = false;
		if (job->cursor == job->edit_count) {
			job_answer(job);
			return;
		}
		struct edit *edit = &job->edits[job->cursor];
		if (is_action(edit) && !job->change->dry_run)
			action_start(job->mutations, edit, on_action_done, job);
		else
			start_transaction(job, job->cursor, 1, on_one_done);
	} while (job->goes_on);
	job->is_running = false;
}

static void on_deleted(void *owner, const struct problem *problem, size_t failed)
{
	struct job *job = owner;
	struct change *change = job->change;
	(void)failed;
	if (problem->code == PROBLEM_NONE)
		change->deleted++;
	else if (problem->code != PROBLEM_NOT_FOUND && change->problem.code == PROBLEM_NONE)
		problem_set(&change->problem, problem->code, "%s", problem->detail);
	if (--job->pending == 0)
		job_answer(job);
}

static bool matches(const struct snapshot *snapshot, const struct change *change)
{
	for (size_t i = 0; i < change->label_count; i++)
		if (!snapshot_has_label(snapshot, change->labels[i].key, change->labels[i].value))
			return false;
	return true;
}

static void delete_where(struct job *job)
{
	struct registry *registry = job->mutations->means.registry;
	job->edits = calloc(registry_count(registry) + 1, sizeof(*job->edits));
	job->candidates = calloc(1, sizeof(*job->candidates));
	if (job->edits == NULL || job->candidates == NULL) {
		problem_set(&job->change->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		job_answer(job);
		return;
	}
	job->owns_edits = true;
	for (size_t i = 0; i < registry_count(registry); i++) {
		const struct entry *entry = registry_at(registry, i);
		if (!matches(entry->snapshot, job->change))
			continue;
		struct edit *edit = &job->edits[job->edit_count++];
		edit->kind = EDIT_DELETE;
		memcpy(edit->id, entry->id, sizeof(edit->id));
	}
	/* Side by side: what they wait for (the disk, the workers) takes them together. */
	job->pending = job->edit_count + 1;
	for (size_t i = 0; i < job->edit_count; i++) {
		struct transaction_request request = { .edits = &job->edits[i],
			                               .candidates = job->candidates,
			                               .count = 1,
			                               .dry_run = job->change->dry_run,
			                               .scope = job->change->scope,
			                               .done = on_deleted,
			                               .owner = job };
		transaction_start(job->mutations, &request);
	}
	if (--job->pending == 0)
		job_answer(job);
}

static int compare_edits(const void *a, const void *b)
{
	const struct edit *const *first = a, *const *second = b;
	int order = strcmp((*first)->id, (*second)->id);
	return order != 0 ? order : (*first > *second) - (*first < *second);
}

/* Sorts them by id, finds ids that are there twice, and counts the tunnels that are in none of them. */
static bool sort_state(struct job *job, const struct edit ***sorted)
{
	*sorted = calloc(job->edit_count + 1, sizeof(**sorted));
	if (*sorted == NULL)
		return false;
	for (size_t i = 0; i < job->edit_count; i++)
		(*sorted)[i] = &job->edits[i];
	qsort(*sorted, job->edit_count, sizeof(**sorted), compare_edits);
	for (size_t i = 1; i < job->edit_count; i++) {
		if ((*sorted)[i]->id[0] == '\0' || strcmp((*sorted)[i]->id, (*sorted)[i - 1]->id) != 0)
			continue;
		char pointer[64];
		snprintf(pointer, sizeof(pointer), "/tunnels/%zu/id", (size_t)((*sorted)[i] - job->edits));
		problem_add(&job->change->problem, pointer, "duplicate", "Another tunnel of the state has this id.");
	}
	return true;
}

static bool has_id(const struct edit *const *sorted, size_t count, const char *id)
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
	const struct edit **sorted = NULL;
	size_t count = job->edit_count, room = count + registry_count(registry) + 2;
	struct edit *edits = calloc(room, sizeof(*edits));
	struct candidate *candidates = calloc(room, sizeof(*candidates));
	if (edits == NULL || candidates == NULL || !sort_state(job, &sorted)) {
		free(edits);
		free(candidates);
		problem_set(&job->change->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		request->count = 0;
		return;
	}
	memcpy(edits, job->edits, count * sizeof(*edits));
	memcpy(candidates, job->candidates, count * sizeof(*candidates));
	for (size_t i = 0; i < registry_count(registry); i++) {
		const struct entry *entry = registry_at(registry, i);
		if (has_id(sorted, count, entry->id))
			continue;
		edits[job->edit_count].kind = EDIT_DELETE;
		memcpy(edits[job->edit_count].id, entry->id, sizeof(entry->id));
		candidate_init(&candidates[job->edit_count++]);
	}
	/* Faults of the document as a whole count as those of one more edit: the tunnels' own are still wanted. */
	if (job->change->problem.code != PROBLEM_NONE) {
		edits[job->edit_count].kind = EDIT_DELETE;
		problem_set(&edits[job->edit_count].problem, job->change->problem.code, "%s", job->change->problem.detail);
		candidate_init(&candidates[job->edit_count++]);
	}
	free(sorted);
	free(job->edits);
	free(job->candidates);
	job->edits = request->edits = edits;
	job->candidates = request->candidates = candidates;
	job->candidate_count = request->count = job->edit_count;
}

static void gather_faults(struct job *job, const struct problem *problem)
{
	struct problem *all = &job->change->problem;
	if (all->code == PROBLEM_NONE)
		problem_set(all, problem->code, "%s", problem->detail);
	for (size_t i = 0; i < job->edit_count; i++) {
		const struct problem *one = &job->edits[i].problem;
		for (size_t k = 0; k < one->fault_count; k++)
			problem_add(all, one->faults[k].pointer, one->faults[k].code, "%s", one->faults[k].detail);
	}
}

static void on_state_done(void *owner, const struct problem *problem, size_t failed)
{
	struct job *job = owner;
	struct change *change = job->change;
	(void)failed;
	if (problem->code != PROBLEM_NONE) {
		gather_faults(job, problem);
		job_answer(job);
		return;
	}
	for (size_t i = 0; i < job->edit_count && change->problem.code == PROBLEM_NONE; i++) {
		const struct edit *edit = &job->edits[i];
		change->deleted += edit->kind == EDIT_DELETE;
		change->created += edit->kind == EDIT_PUT && edit->applied == APPLIED_CREATED;
		change->unchanged += edit->kind == EDIT_PUT && edit->applied == APPLIED_UNCHANGED;
		change->changed += edit->kind == EDIT_PUT && (edit->applied == APPLIED_IN_PLACE || edit->applied == APPLIED_RESTARTED);
	}
	job_answer(job);
}

static void run_state(struct job *job)
{
	struct transaction_request request = { .edits = job->edits,
		                               .candidates = job->candidates,
		                               .count = job->edit_count,
		                               .alone = true,
		                               .dry_run = job->change->dry_run,
		                               .scope = job->change->scope,
		                               .begin = begin_state,
		                               .done = on_state_done,
		                               .owner = job };
	transaction_start(job->mutations, &request);
}

static void on_token_done(void *owner, json_t *token, const struct problem *problem)
{
	struct job *job = owner;
	job->change->token = token;
	if (problem->code != PROBLEM_NONE)
		problem_set(&job->change->problem, problem->code, "%s", problem->detail);
	job_answer(job);
}

void job_run(struct job *job)
{
	struct change *change = job->change;
	job->next = job->mutations->jobs;
	job->mutations->jobs = job;
	if (change->problem.code != PROBLEM_NONE && change->kind != CHANGE_STATE) {
		job_answer(job);
		return;
	}
	switch (change->kind) {
	case CHANGE_EDITS:
		if (job->edit_count > 0 && (change->atomic || (job->edit_count == 1 && !is_action(&job->edits[0]))))
			start_transaction(job, 0, job->edit_count, on_edits_done);
		else
			run_next(job);
		break;
	case CHANGE_DELETE_WHERE: delete_where(job); break;
	case CHANGE_STATE: run_state(job); break;
	case CHANGE_TOKEN_CREATE:
		token_table_make(job->mutations->means.tokens, job->mutations->means.store, change->token_name, change->token_scopes, on_token_done,
		                 job);
		break;
	case CHANGE_TOKEN_DELETE:
		token_table_delete(job->mutations->means.tokens, job->mutations->means.store, change->token_id, on_token_done, job);
		break;
	}
}
