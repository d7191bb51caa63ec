#include "service/fleet/write_job.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/object_id.h"

#define TRIES_MOST 8 /* when others write the same */

/* How many objects a shard has, as it is and as it will be. */
struct shard_count {
	struct fleet_key key; /* FLEET_KEY_CHANGED */
	int64_t revision;     /* of its record; 0: there is none */
	uint32_t count;
	int difference;
};

static void go_on(struct write_job *job);

/* ---- Ends ---- */

static void clear_transaction(struct write_job *job)
{
	for (size_t i = 0; i < job->plan_count; i++)
		object_plan_clear(&job->plans[i]);
	job->plan_count = job->count_count = job->count_cursor = 0;
	job->lacks_memory = false;
}

static void reset_operation(struct operation *operation)
{
	problem_clear(&operation->problem);
	snapshot_release(operation->snapshot);
	operation->snapshot = NULL;
	operation->applied = APPLIED_UNCHANGED;
}

void write_job_fail(struct write_job *job, enum problem_code code, const char *detail)
{
	struct mutation *mutation = job->mutation;
	size_t first = mutation->atomic ? 0 : job->index - job->plan_count; /* with the one that was to be written */
	if (job->asked != NULL)
		etcd_store_cancel(job->asked);
	job->asked = NULL;
	for (size_t i = first; i < mutation->operation_count; i++)
		reset_operation(&mutation->operations[i]);
	for (size_t i = first; i < mutation->operation_count && !mutation->atomic; i++)
		problem_set(&mutation->operations[i].problem, code, "%s", detail);
	if (mutation->atomic)
		problem_set(&mutation->problem, code, "%s", detail);
	mutation->failed_operation = mutation->operation_count;
	object_fetch_cancel(&job->fetch);
	clear_transaction(job);
	job->index = mutation->operation_count;
}

static void fail(struct write_job *job, enum etcd_error error, bool was_written)
{
	char detail[256];
	if (!was_written || etcd_error_is_refusal(error))
		snprintf(detail, sizeof(detail), "etcd does not take changes now (%s): nothing was changed. What runs goes on.",
		         etcd_error_name(error));
	else
		snprintf(detail, sizeof(detail),
		         "etcd has not answered (%s): the change may have been made, or may still be. Read it before you try again.",
		         etcd_error_name(error));
	write_job_fail(job, PROBLEM_FLEET_UNAVAILABLE, detail);
	go_on(job);
}

static void fail_for_memory(struct write_job *job)
{
	write_job_fail(job, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	go_on(job);
}

/* What is wrong with an operation of an atomic mutation is the mutation's. */
static void blame(struct write_job *job, size_t index)
{
	struct mutation *mutation = job->mutation;
	struct operation *operation = &mutation->operations[index];
	mutation->problem = operation->problem;
	problem_init(&operation->problem);
	for (size_t i = 0; i < mutation->operation_count; i++)
		reset_operation(&mutation->operations[i]);
	mutation->failed_operation = index;
	clear_transaction(job);
	job->index = mutation->operation_count;
}

/* ---- Writing ---- */

/* From the first operation that the transaction has. */
static void plan_again(struct write_job *job)
{
	if (++job->tries == TRIES_MOST) {
		write_job_fail(job, PROBLEM_FLEET_UNAVAILABLE, "Others change the same all the time: nothing was changed. Try again in a moment.");
		go_on(job);
		return;
	}
	job->index = job->mutation->atomic ? 0 : job->index - 1;
	for (size_t i = job->index; i < job->mutation->operation_count; i++)
		reset_operation(&job->mutation->operations[i]);
	clear_transaction(job);
	go_on(job);
}

static void take_written(struct write_job *job, int64_t revision)
{
	for (size_t i = 0; i < job->plan_count; i++) {
		struct object_plan *plan = &job->plans[i];
		object_plan_written(plan, revision);
		job->places[plan->operation - job->mutation->operations] = (struct written_place){ plan->place, revision };
	}
	job->tries = 0;
	clear_transaction(job);
	go_on(job);
}

static void on_written(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct write_job *job = owner;
	job->asked = NULL;
	if (error != ETCD_OK) {
		fail(job, error, true);
	} else if (has_succeeded) {
		take_written(job, revision);
	} else {
		plan_again(job);
	}
}

/* Bytes of an operation's keys and values but for the record: its class is in five of them, its id in four, and there are six keys. */
#define OPERATION_TEXT (5 * FLEET_CLASS_TEXT + 4 * FLEET_NAME + 6 * 24 + 64)
static_assert(WRITE_JOB_MOST * OPERATION_TEXT <= FLEET_TXN_TEXT && WRITE_JOB_MOST * 3 <= FLEET_TXN_ENTRIES, "all operations fit");
/* Of one that moves: the classes are in nine texts, and there are nine keys, of four comparisons and five puts. */
#define MOVE_TEXT (9 * FLEET_CLASS_TEXT + 7 * FLEET_NAME + 9 * 24 + 128)
static_assert(WRITE_JOB_MOVES * MOVE_TEXT <= FLEET_TXN_TEXT && WRITE_JOB_MOVES * 5 <= FLEET_TXN_ENTRIES, "all that move fit");

/* Of one that moves: the record is not at its place any more. */
static void leave_place(struct fleet_txn *txn, const struct object_plan *plan)
{
	char before[FLEET_KEY_TEXT];
	fleet_key_write(&plan->before, before);
	fleet_txn_compare(txn, before, FLEET_MOD_REVISION, plan->revision);
	fleet_txn_delete(txn, before);
}

/* False when out of memory. */
static bool add_object(struct fleet_txn *txn, const struct object_plan *plan)
{
	struct fleet_key id = plan->place;
	char object[FLEET_KEY_TEXT], name[FLEET_KEY_TEXT], class[FLEET_VALUE_TEXT];
	id.kind = FLEET_KEY_ID;
	fleet_key_write(&plan->place, object);
	fleet_key_write(&id, name);
	bool has_moved = plan->before.kind == FLEET_KEY_OBJECT;
	fleet_txn_compare(txn, object, FLEET_MOD_REVISION, has_moved ? 0 : plan->revision);
	if (has_moved)
		leave_place(txn, plan);
	if (plan->value == NULL) {
		fleet_txn_delete(txn, object);
		fleet_txn_delete(txn, name);
		return true;
	}
	fleet_txn_put_borrowed(txn, object, plan->value);
	if (plan->revision != 0 && !has_moved)
		return true;
	if (fleet_id_write(plan->place.class, class) != FLEET_RECORD_OK)
		return false;
	if (!has_moved)
		fleet_txn_compare(txn, name, FLEET_MOD_REVISION, 0);
	fleet_txn_put(txn, name, class, 0);
	return true;
}

/* Written with any change, so that the shard's owner reads it again. */
static bool add_count(struct fleet_txn *txn, const struct shard_count *shard)
{
	char key[FLEET_KEY_TEXT], value[FLEET_VALUE_TEXT];
	int64_t count = (int64_t)shard->count + shard->difference;
	fleet_key_write(&shard->key, key);
	if (fleet_count_write(count > 0 ? (uint32_t)count : 0, value) != FLEET_RECORD_OK)
		return false;
	fleet_txn_compare(txn, key, FLEET_MOD_REVISION, shard->revision);
	fleet_txn_put(txn, key, value, 0);
	return true;
}

static void write_transaction(struct write_job *job)
{
	const struct etcd_store_listener listener = { job, NULL, on_written };
	struct fleet_txn *txn = malloc(sizeof(*txn));
	bool is_filled = txn != NULL;
	if (txn != NULL)
		fleet_txn_clear(txn);
	for (size_t i = 0; is_filled && i < job->plan_count; i++)
		is_filled = add_object(txn, &job->plans[i]);
	for (size_t i = 0; is_filled && i < job->count_count; i++)
		is_filled = add_count(txn, &job->counts[i]);
	if (is_filled)
		job->asked = etcd_store_write(job->store, txn, &listener);
	free(txn);
	if (job->asked == NULL)
		fail_for_memory(job);
}

bool write_job_is_writing(const struct write_job *job)
{
	return job->asked != NULL && job->plan_count > 0 && job->count_cursor == job->count_count;
}

/* ---- Counts ---- */

static void on_count(void *owner, const struct fleet_kv *kv)
{
	struct write_job *job = owner;
	struct shard_count *shard = &job->counts[job->count_cursor];
	shard->revision = kv->revision;
	int error = fleet_count_read(&shard->count, kv->value, kv->length);
	job->lacks_memory |= error == FLEET_RECORD_NO_MEMORY;
	if (error != FLEET_RECORD_OK)
		shard->count = 0; /* it is written anew */
}

static void read_counts(struct write_job *job);

static void on_counted(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct write_job *job = owner;
	(void)has_succeeded;
	(void)revision;
	job->asked = NULL;
	job->count_cursor++;
	if (job->lacks_memory)
		fail_for_memory(job);
	else if (error == ETCD_OK)
		read_counts(job);
	else
		fail(job, error, false);
}

static void read_counts(struct write_job *job)
{
	const struct etcd_store_listener listener = { job, on_count, on_counted };
	char key[FLEET_KEY_TEXT];
	if (job->count_cursor == job->count_count) {
		write_transaction(job);
		return;
	}
	fleet_key_write(&job->counts[job->count_cursor].key, key);
	job->asked = etcd_store_read(job->store, key, &listener);
	if (job->asked == NULL)
		fail_for_memory(job);
}

static void count_at(struct write_job *job, const struct fleet_key *place, int difference)
{
	struct fleet_key key = *place;
	size_t i = 0;
	key.kind = FLEET_KEY_CHANGED;
	while (i < job->count_count && (job->counts[i].key.shard != key.shard || strcmp(job->counts[i].key.class, key.class) != 0))
		i++;
	if (i == job->count_count)
		job->counts[job->count_count++] = (struct shard_count){ .key = key };
	job->counts[i].difference += difference;
}

static void count(struct write_job *job, const struct object_plan *plan)
{
	bool has_moved = plan->before.kind == FLEET_KEY_OBJECT;
	count_at(job, &plan->place, has_moved ? 1 : object_plan_difference(plan));
	if (has_moved)
		count_at(job, &plan->before, -1);
}

static void begin_transaction(struct write_job *job)
{
	for (size_t i = 0; i < job->plan_count; i++)
		count(job, &job->plans[i]);
	read_counts(job);
}

/* ---- An operation ---- */

/* Each id once: what the second operation finds would be what the first has not written yet. */
static bool is_planned(const struct write_job *job, const struct operation *operation)
{
	for (size_t i = 0; i < job->plan_count; i++)
		if (strcmp(job->plans[i].operation->key, operation->key) == 0)
			return true;
	return false;
}

static void plan(struct write_job *job)
{
	struct mutation *mutation = job->mutation;
	struct operation *operation = &mutation->operations[job->index];
	struct object_plan *made = &job->plans[job->plan_count];
	struct snapshot *found = job->fetch.found;
	job->fetch.found = NULL;
	if (job->fetch.error == OBJECT_RECORD_NO_MEMORY) {
		problem_out_of_memory(&operation->problem);
	} else if (job->fetch.error != OBJECT_RECORD_OK) {
		problem_set(&operation->problem, PROBLEM_INTERNAL, "This cannot be changed: %s.", object_record_explain(job->fetch.error));
	} else if (is_planned(job, operation)) {
		snapshot_release(found);
		problem_set(&operation->problem, PROBLEM_INVALID_REQUEST, "In a fleet an atomic batch can have one operation for each id.");
	} else {
		object_plan_make(made, &job->means, mutation, operation, found);
		job->plan_count++;
		if (made->before.kind == FLEET_KEY_OBJECT && operation->problem.code == PROBLEM_NONE && mutation->atomic &&
		    mutation->operation_count > WRITE_JOB_MOVES)
			problem_set(&operation->problem, PROBLEM_INVALID_REQUEST,
			            "In a fleet an atomic batch that changes where something runs can have at most 16 operations.");
	}
	size_t index = job->index++;
	bool is_good = operation->problem.code == PROBLEM_NONE;
	if (!is_good && mutation->atomic)
		blame(job, index);
	else if (job->plan_count > 0 && &job->plans[job->plan_count - 1] == made && (!is_good || mutation->dry_run || !object_plan_changes(made)))
		object_plan_clear(&job->plans[--job->plan_count]);
	go_on(job);
}

static void on_fetched(void *owner, enum etcd_error error)
{
	struct write_job *job = owner;
	if (error == ETCD_OK)
		plan(job);
	else
		fail(job, error, false);
}

static void fetch(struct write_job *job)
{
	struct operation *operation = &job->mutation->operations[job->index];
	job->fetch = (struct object_fetch){ .store = job->store, .ring = job->means.ring, .done = on_fetched, .owner = job };
	operation_choose_id(operation);
	operation_name(operation);
	/* Nothing has an id that is none; the plan says so. */
	if (!object_id_is_valid(operation->id))
		plan(job);
	else if (!object_fetch_begin(&job->fetch, operation->object, operation->id))
		fail_for_memory(job);
}

/* True: it is over. */
static bool step(struct write_job *job)
{
	bool is_over = job->index == job->mutation->operation_count;
	if (job->plan_count > 0 && (is_over || !job->mutation->atomic))
		begin_transaction(job);
	else if (!is_over)
		fetch(job);
	return is_over && job->plan_count == 0 && job->asked == NULL;
}

/* A loop and no recursion: thousands of operations that fail at once would grow the stack. */
static void go_on(struct write_job *job)
{
	bool is_over = false;
	job->must_step = true;
	if (job->is_stepping)
		return;
	job->is_stepping = true;
	while (job->must_step) {
		job->must_step = false;
		is_over = step(job);
	}
	job->is_stepping = false;
	if (is_over)
		job->written(job, job->owner);
}

/* ---- The job ---- */

struct write_job *write_job_create(struct etcd_store *store, const struct object_plan_means *means, struct mutation *mutation,
                                   void (*written)(struct write_job *job, void *owner), void *owner)
{
	struct write_job *job = calloc(1, sizeof(*job));
	size_t most = mutation->atomic ? mutation->operation_count + 1 : 1;
	if (job == NULL)
		return NULL;
	job->store = store;
	job->means = *means;
	job->mutation = mutation;
	job->written = written;
	job->owner = owner;
	job->plans = calloc(most, sizeof(*job->plans));
	job->counts = calloc(2 * most, sizeof(*job->counts));
	job->places = calloc(mutation->operation_count + 1, sizeof(*job->places));
	if (job->plans != NULL && job->counts != NULL && job->places != NULL)
		return job;
	write_job_free(job);
	return NULL;
}

void write_job_begin(struct write_job *job)
{
	assert(job->index == 0);
	if (!job->mutation->atomic || job->mutation->operation_count <= WRITE_JOB_MOST) {
		go_on(job);
		return;
	}
	write_job_fail(job, PROBLEM_INVALID_REQUEST,
	               "In a fleet an atomic batch can have at most 32 operations, because it is one transaction of etcd.");
	go_on(job);
}

void write_job_free(struct write_job *job)
{
	if (job->asked != NULL)
		etcd_store_cancel(job->asked);
	object_fetch_cancel(&job->fetch);
	if (job->plans != NULL)
		clear_transaction(job);
	free(job->plans);
	free(job->counts);
	free(job->places);
	free(job);
}
