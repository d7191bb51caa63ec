#include "service/fleet/token_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/fleet/token_record.h"

#define AWAIT_MOST 5000 /* ms that an answer waits for this node to have read what was written */

/* reserving: its key is written, which etcd numbers · sealing: the record that names the number · finding: what is to be deleted · deleting ·
 * awaiting: this node's keeper */
struct token_job {
	struct token_job *next, **before;
	struct token_writer *writer;
	struct mutation *mutation;
	struct etcd_job *asked;
	struct database_token token; /* that is made */
	json_t *shown;
	char key[FLEET_KEY_TEXT];
	int64_t found;     /* the revision of what is to be deleted; 0: there is none */
	int64_t written;   /* the revision that this node is to go by; 0: not yet */
	uint64_t deadline; /* uv_now, of that */
};

struct token_writer {
	struct token_writer_means means;
	struct token_job *jobs;
};

bool token_writer_takes(const struct mutation *mutation)
{
	return mutation->kind == MUTATION_TOKEN_CREATE || (mutation->kind == MUTATION_TOKEN_DELETE && mutation->token_id[0] == TOKEN_OF_FLEET);
}

/* ---- Ends ---- */

static void finish(struct token_job *job)
{
	struct mutation *mutation = job->mutation;
	if (job->asked != NULL)
		etcd_store_cancel(job->asked);
	if (mutation->problem.code == PROBLEM_NONE)
		mutation->token = json_incref(job->shown);
	*job->before = job->next;
	if (job->next != NULL)
		job->next->before = job->before;
	json_decref(job->shown);
	database_token_clear(&job->token);
	free(job);
	mutation->done(mutation, mutation->owner);
}

static void fail(struct token_job *job, enum problem_code code, const char *detail)
{
	problem_set(&job->mutation->problem, code, "%s", detail);
	finish(job);
}

static void fail_for_memory(struct token_job *job)
{
	fail(job, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
}

static void fail_at_etcd(struct token_job *job, enum etcd_error error, bool was_written)
{
	char detail[256];
	if (!was_written || etcd_error_is_refusal(error))
		snprintf(detail, sizeof(detail), "etcd does not take changes now (%s): nothing was changed.", etcd_error_name(error));
	else
		snprintf(detail, sizeof(detail), "etcd has not answered (%s): %s. Read the list before you try again.", etcd_error_name(error),
		         job->mutation->kind == MUTATION_TOKEN_CREATE ? "the token may have been made, and nobody knows its secret"
		                                                      : "the token may have been revoked, or may still be");
	fail(job, PROBLEM_FLEET_UNAVAILABLE, detail);
}

/* ---- Writing ---- */

/* The keeper goes by what is there now. */
static void await_keeper(struct token_job *job, int64_t revision)
{
	job->written = revision;
	job->deadline = uv_now(job->writer->means.loop) + AWAIT_MOST;
	token_keeper_read(job->writer->means.keeper);
}

void token_writer_look(struct token_writer *writer)
{
	int64_t revision = token_keeper_revision(writer->means.keeper);
	for (struct token_job *job = writer->jobs, *next; job != NULL; job = next) {
		next = job->next;
		if (job->written != 0 && (job->written <= revision || uv_now(writer->means.loop) >= job->deadline))
			finish(job);
	}
}

static void on_written(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct token_job *job = owner;
	job->asked = NULL;
	if (error != ETCD_OK)
		fail_at_etcd(job, error, true);
	else if (has_succeeded)
		await_keeper(job, revision);
	else if (job->mutation->kind == MUTATION_TOKEN_CREATE)
		fail(job, PROBLEM_FLEET_UNAVAILABLE, "Somebody else has written to its record: no token was made. Try again.");
	else
		fail(job, PROBLEM_FLEET_UNAVAILABLE, "Somebody else has written to its record: it was not revoked. Try again.");
}

/* Writes the key's value (NULL: it is deleted), if it is of that revision. `tells`: all nodes are to read the tokens again. */
static bool write_key(struct token_job *job, const char *value, int64_t revision, bool tells,
                      void (*done)(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision))
{
	const struct etcd_store_listener listener = { job, NULL, done };
	const struct fleet_key changed = { .kind = FLEET_KEY_TOKENS };
	char key[FLEET_KEY_TEXT], told[FLEET_NAME + 16];
	struct fleet_txn *txn = malloc(sizeof(*txn));
	if (txn == NULL)
		return false;
	fleet_txn_clear(txn);
	fleet_txn_compare(txn, job->key, FLEET_MOD_REVISION, revision);
	fleet_txn_put_borrowed(txn, job->key, value);
	fleet_key_write(&changed, key);
	snprintf(told, sizeof(told), "{\"id\":\"%s\"}", job->key + strlen("k/"));
	if (tells)
		fleet_txn_put(txn, key, told, 0);
	job->asked = etcd_store_write(job->writer->means.store, txn, &listener);
	free(txn);
	return job->asked != NULL;
}

static void on_reserved(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct token_job *job = owner;
	char text[FLEET_SEALED_TEXT];
	job->asked = NULL;
	if (error != ETCD_OK || !has_succeeded) {
		fail_at_etcd(job, error == ETCD_OK ? ETCD_REFUSED : error, false);
		return;
	}
	int result = token_record_write(text, job->writer->means.ring, &job->token, revision);
	if (result != TOKEN_RECORD_OK || !write_key(job, text, revision, true, on_written))
		fail_for_memory(job);
}

static void begin_making(struct token_job *job)
{
	struct mutation *mutation = job->mutation;
	const struct token_wanted wanted = { .name = mutation->token_name,
		                             .scopes = mutation->token_scopes,
		                             .expires_at = mutation->token_expires_at,
		                             .access = mutation->token_access };
	char text[FLEET_SEALED_TEXT];
	if (token_table_is_full(job->writer->means.tokens)) {
		fail(job, PROBLEM_OUT_OF_RESOURCES, "There are too many tokens.");
		return;
	}
	job->shown = token_table_draw(&wanted, TOKEN_OF_FLEET, &job->token);
	int result = job->shown == NULL ? TOKEN_RECORD_NO_MEMORY : token_record_write(text, job->writer->means.ring, &job->token, 0);
	if (result == TOKEN_RECORD_TOO_LARGE) {
		problem_add(&mutation->problem, "/labels", "too_large", "In a fleet name and labels of a token can have about 3,800 bytes together.");
		finish(job);
	} else if (result != TOKEN_RECORD_OK || !token_record_key(job->token.id, job->key) ||
	           !write_key(job, TOKEN_RECORD_RESERVED, 0, false, on_reserved)) {
		fail_for_memory(job);
	}
}

/* ---- Revoking ---- */

static void on_found(void *owner, const struct fleet_kv *kv)
{
	struct token_job *job = owner;
	job->found = kv->revision;
}

static void on_read(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct token_job *job = owner;
	(void)has_succeeded;
	(void)revision;
	job->asked = NULL;
	if (error != ETCD_OK)
		fail_at_etcd(job, error, false);
	else if (job->found == 0)
		fail(job, PROBLEM_NOT_FOUND, "There is no token with this id.");
	else if (!write_key(job, NULL, job->found, true, on_written))
		fail_for_memory(job);
}

static void begin_revoking(struct token_job *job)
{
	const struct etcd_store_listener listener = { job, on_found, on_read };
	if (!token_record_key(job->mutation->token_id, job->key)) {
		fail(job, PROBLEM_NOT_FOUND, "There is no token with this id.");
		return;
	}
	job->asked = etcd_store_read(job->writer->means.store, job->key, &listener);
	if (job->asked == NULL)
		fail_for_memory(job);
}

/* ---- The writer ---- */

void token_writer_begin(struct token_writer *writer, struct mutation *mutation)
{
	struct token_job *job = calloc(1, sizeof(*job));
	if (job == NULL) {
		problem_out_of_memory(&mutation->problem);
		mutation->done(mutation, mutation->owner);
		return;
	}
	*job = (struct token_job){ .next = writer->jobs, .before = &writer->jobs, .writer = writer, .mutation = mutation };
	if (job->next != NULL)
		job->next->before = &job->next;
	writer->jobs = job;
	if (mutation->kind == MUTATION_TOKEN_CREATE)
		begin_making(job);
	else
		begin_revoking(job);
}

struct token_writer *token_writer_create(const struct token_writer_means *means)
{
	struct token_writer *writer = calloc(1, sizeof(*writer));
	if (writer != NULL)
		writer->means = *means;
	return writer;
}

void token_writer_end(struct token_writer *writer)
{
	while (writer->jobs != NULL) {
		struct token_job *job = writer->jobs;
		/* What etcd has taken is done, although this node does not go by it yet. */
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): an answered one leaves the list, so this is another */
		if (job->written == 0)
			problem_set(&job->mutation->problem, PROBLEM_FLEET_UNAVAILABLE,
			            "The daemon is stopping: the change may have been made. Read the list before you try again.");
		finish(job);
	}
}

void token_writer_free(struct token_writer *writer)
{
	if (writer != NULL)
		token_writer_end(writer);
	free(writer);
}
