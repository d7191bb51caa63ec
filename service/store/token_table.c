#include "service/store/token_table.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "ipc/wall_clock.h"
#include "service/spec/json_reader.h"
#include "service/spec/json_writer.h"
#include "service/spec/random_text.h"
#include "service/store/scope.h"

#define TOKEN_PREFIX "warren_"
#define TOKENS_MAX 10000
#define USE_STORED_EVERY_MS 60000

struct token {
	struct database_token stored;
	struct access *access; /* of stored.labels; NULL: they cannot be read, and the token opens nothing */
	int64_t last_used_at;
	bool is_revoked; /* it is not accepted any more, but still on the disk */
};

struct token_table {
	pthread_mutex_t lock;
	struct token *list;
	size_t count, capacity;
	size_t reserved;   /* room for those being written to the disk; only the service's thread */
	bool is_under_way; /* a checkpoint is being written; only the service's thread */
	_Atomic uint64_t revocations;
};

/* A token being written to the disk, or deleted from it. */
struct token_write {
	struct token_table *tokens;
	struct database_token token;
	json_t *shown;
	token_table_done *done;
	void *owner;
};

static const char no_memory[] = "Out of memory.";

struct token_table *token_table_create(void)
{
	struct token_table *tokens = calloc(1, sizeof(*tokens));
	if (tokens != NULL)
		pthread_mutex_init(&tokens->lock, NULL);
	return tokens;
}

static void clear(struct token *token)
{
	database_token_clear(&token->stored);
	access_release(token->access);
}

void token_table_free(struct token_table *tokens)
{
	if (tokens == NULL)
		return;
	for (size_t i = 0; i < tokens->count; i++)
		clear(&tokens->list[i]);
	free(tokens->list);
	pthread_mutex_destroy(&tokens->lock);
	free(tokens);
}

/* So that adding what was stored cannot fail. */
static bool reserve(struct token_table *tokens)
{
	bool has_room = true;
	pthread_mutex_lock(&tokens->lock);
	if (tokens->count + tokens->reserved == tokens->capacity) {
		size_t capacity = tokens->capacity == 0 ? 8 : tokens->capacity * 2;
		struct token *grown = realloc(tokens->list, capacity * sizeof(*grown));
		has_room = grown != NULL;
		if (has_room) {
			tokens->list = grown;
			tokens->capacity = capacity;
		}
	}
	pthread_mutex_unlock(&tokens->lock);
	tokens->reserved += has_room;
	return has_room;
}

/* NULL if they are no labels, or memory is out. */
static struct access *access_of(const char *labels)
{
	struct problem problem;
	struct json_reader reader;
	struct spec_label *list = NULL;
	struct access *access = NULL;
	problem_init(&problem);
	json_reader_init(&reader, "", &problem);
	json_t *document = json_pack("{s:o}", "labels", json_loads(labels, JSON_REJECT_DUPLICATES, NULL));
	size_t count = labels_read(&reader, document, &list);
	if (document != NULL && problem.code == PROBLEM_NONE)
		access = access_create(list, count);
	spec_labels_free(list, count);
	json_decref(document);
	problem_clear(&problem);
	return access;
}

/* Takes what it owns. */
static void add(struct token_table *tokens, struct database_token *token)
{
	struct token added = { .stored = *token, .access = access_of(token->labels), .last_used_at = token->last_used_at };
	pthread_mutex_lock(&tokens->lock);
	tokens->list[tokens->count++] = added;
	pthread_mutex_unlock(&tokens->lock);
	tokens->reserved--;
	*token = (struct database_token){ .name = NULL };
}

bool token_table_load(struct token_table *tokens, struct database_token *token)
{
	bool has_room = reserve(tokens);
	if (has_room)
		add(tokens, token);
	else
		database_token_clear(token);
	return has_room;
}

static void hash_token(const char *token, uint8_t hash[32])
{
	/* A token is 256 random bits, so a plain hash is enough. */
	crypto_generichash(hash, 32, (const uint8_t *)token, strlen(token), NULL, 0);
}

/* It follows the wall clock: one that is set back makes an expired token good again. */
static bool has_expired(const struct token *token, int64_t now_ms)
{
	return token->stored.expires_at != 0 && now_ms >= token->stored.expires_at;
}

static bool is_good(const struct token *token, int64_t now_ms)
{
	return !token->is_revoked && token->access != NULL && !has_expired(token, now_ms);
}

static void describe(const struct token *token, struct token_bearer *bearer)
{
	/* A token keeps the scopes that it was given, so that it reads back as it was made. */
	*bearer = (struct token_bearer){ .scopes = scope_with_included(token->stored.scopes),
		                         .expires_at = token->stored.expires_at,
		                         .access = access_reference(token->access) };
	memcpy(bearer->id, token->stored.id, sizeof(bearer->id));
	snprintf(bearer->name, sizeof(bearer->name), "%s", token->stored.name);
}

bool token_table_find(struct token_table *tokens, const char *token, int64_t now_ms, struct token_bearer *bearer)
{
	uint8_t hash[32];
	struct token *found = NULL;
	hash_token(token, hash);
	pthread_mutex_lock(&tokens->lock);
	/* Compares with all of them, so that the time reveals nothing. */
	for (size_t i = 0; i < tokens->count; i++)
		if (sodium_memcmp(hash, tokens->list[i].stored.hash, sizeof(hash)) == 0)
			found = &tokens->list[i];
	bool is_found = found != NULL && is_good(found, now_ms);
	bearer->has_expired = found != NULL && !found->is_revoked && has_expired(found, now_ms);
	if (is_found) {
		found->last_used_at = now_ms;
		describe(found, bearer);
	}
	pthread_mutex_unlock(&tokens->lock);
	return is_found;
}

uint64_t token_table_revocations(const struct token_table *tokens)
{
	return atomic_load(&tokens->revocations);
}

static json_t *time_to_json(int64_t at)
{
	char text[WALL_CLOCK_TEXT_MAX];
	if (at == 0)
		return json_null();
	wall_clock_format_seconds(text, at);
	return json_string(text);
}

static json_t *token_to_json(const struct database_token *token, int64_t last_used_at)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s}", "id", token->id, "name", token->name, "scopes",
	                 scope_list_to_json(token->scopes), "labels", json_loads(token->labels, 0, NULL), "created_at",
	                 time_to_json(token->created_at), "expires_at", time_to_json(token->expires_at), "last_used_at", time_to_json(last_used_at),
	                 "origin", token->id[0] == TOKEN_OF_FLEET ? "fleet" : "api");
}

static void answer_fault(token_table_done *done, void *owner, enum problem_code code, const char *detail)
{
	struct problem problem;
	problem_init(&problem);
	problem_set(&problem, code, "%s", detail);
	done(owner, NULL, &problem);
	problem_clear(&problem);
}

static void free_write(struct token_write *write)
{
	json_decref(write->shown);
	database_token_clear(&write->token);
	free(write);
}

static void fail(struct token_write *write, enum problem_code code, const char *detail)
{
	answer_fault(write->done, write->owner, code, detail);
	free_write(write);
}

static void succeed(struct token_write *write)
{
	struct problem none;
	problem_init(&none);
	/* Handed over: another thread may free it at once. */
	json_t *shown = write->shown;
	write->shown = NULL;
	write->done(write->owner, shown, &none);
	free_write(write);
}

/* A copy. False when out of memory. */
static bool fill(struct store_write *write, enum store_write_kind kind, const struct database_token *token)
{
	write->kind = kind;
	write->token = *token;
	write->token.name = write->token.labels = NULL;
	if (kind == STORE_TOKEN_DELETE)
		return true;
	write->token.name = strdup(token->name);
	write->token.labels = strdup(token->labels);
	return write->token.name != NULL && write->token.labels != NULL;
}

static bool submit(struct token_write *write, struct store *store, enum store_write_kind kind, void (*done)(struct store_batch *batch, void *owner))
{
	struct store_batch *batch = store_batch_create(1);
	if (batch == NULL)
		return false;
	batch->done = done;
	batch->owner = write;
	if (!fill(&batch->writes[0], kind, &write->token)) {
		store_batch_free(batch);
		return false;
	}
	store_submit(store, batch);
	return true;
}

static struct token_write *start_write(struct token_table *tokens, token_table_done *done, void *owner)
{
	struct token_write *write = calloc(1, sizeof(*write));
	if (write != NULL)
		*write = (struct token_write){ .tokens = tokens, .done = done, .owner = owner };
	return write;
}

static void on_made(struct store_batch *batch, void *owner)
{
	struct token_write *write = owner;
	int result = batch->result;
	store_batch_free(batch);
	if (result != 0) {
		write->tokens->reserved--;
		fail(write, PROBLEM_OUT_OF_RESOURCES, "The token could not be stored.");
		return;
	}
	add(write->tokens, &write->token);
	succeed(write);
}

/* False when out of memory. */
static bool describe_wanted(struct database_token *token, const struct token_wanted *wanted)
{
	json_t *labels = access_to_json(wanted->access);
	*token = (struct database_token){ .name = strdup(wanted->name),
		                          .labels = labels == NULL ? NULL : json_writer_text(labels),
		                          .scopes = wanted->scopes,
		                          .created_at = wall_clock_ms() / 1000 * 1000,
		                          .expires_at = wanted->expires_at };
	json_decref(labels);
	return token->name != NULL && token->labels != NULL;
}

json_t *token_table_draw(const struct token_wanted *wanted, char mark, struct database_token *token)
{
	char text[64] = TOKEN_PREFIX;
	size_t prefix = strlen(text);
	if (!describe_wanted(token, wanted)) {
		database_token_clear(token);
		return NULL;
	}
	random_text(text + prefix, sizeof(text) - prefix, RANDOM_TEXT_BYTES_MAX);
	random_text(token->id, sizeof(token->id), 9);
	/* An id is a part of a path and of command lines: it starts with a letter. */
	token->id[0] = mark;
	hash_token(text, token->hash);
	json_t *shown = token_to_json(token, 0);
	bool is_shown = json_object_set_new(shown, "token", json_string(text)) == 0;
	sodium_memzero(text, sizeof(text));
	if (is_shown)
		return shown;
	json_decref(shown);
	database_token_clear(token);
	return NULL;
}

void token_table_make(struct token_table *tokens, struct store *store, const struct token_wanted *wanted, token_table_done *done, void *owner)
{
	if (token_table_is_full(tokens)) {
		answer_fault(done, owner, PROBLEM_OUT_OF_RESOURCES, "There are too many tokens.");
		return;
	}
	struct token_write *write = start_write(tokens, done, owner);
	if (write == NULL) {
		answer_fault(done, owner, PROBLEM_OUT_OF_RESOURCES, no_memory);
		return;
	}
	bool has_room = reserve(tokens);
	if (has_room)
		write->shown = token_table_draw(wanted, TOKEN_OWN, &write->token);
	if (write->shown != NULL && submit(write, store, STORE_TOKEN_PUT, on_made))
		return;
	tokens->reserved -= has_room;
	fail(write, PROBLEM_OUT_OF_RESOURCES, no_memory);
}

json_t *token_table_list(struct token_table *tokens)
{
	struct json_writer writer = { .failed = false };
	json_t *list = json_array();
	pthread_mutex_lock(&tokens->lock);
	for (size_t i = 0; i < tokens->count; i++)
		json_writer_add(&writer, list, token_to_json(&tokens->list[i].stored, tokens->list[i].last_used_at));
	pthread_mutex_unlock(&tokens->lock);
	return json_writer_end(&writer, list);
}

/* The service's thread, or with the lock. NULL when there is none. */
static struct token *find(struct token_table *tokens, const char *id)
{
	for (size_t i = 0; i < tokens->count; i++)
		if (strcmp(tokens->list[i].stored.id, id) == 0)
			return &tokens->list[i];
	return NULL;
}

bool token_table_holds(struct token_table *tokens, const char *id, int64_t now_ms)
{
	pthread_mutex_lock(&tokens->lock);
	const struct token *token = find(tokens, id);
	bool holds = token != NULL && is_good(token, now_ms);
	pthread_mutex_unlock(&tokens->lock);
	return holds;
}

static const char undeleted[] =
    "The token is revoked, but could not be deleted from the disk: it would be valid again after a restart. Delete it again.";

static void on_deleted(struct store_batch *batch, void *owner)
{
	struct token_write *write = owner;
	struct token_table *tokens = write->tokens;
	int result = batch->result;
	store_batch_free(batch);
	if (result != 0) {
		fail(write, PROBLEM_OUT_OF_RESOURCES, undeleted);
		return;
	}
	pthread_mutex_lock(&tokens->lock);
	struct token *token = find(tokens, write->token.id);
	if (token != NULL) {
		clear(token);
		*token = tokens->list[--tokens->count];
	}
	pthread_mutex_unlock(&tokens->lock);
	if (token == NULL)
		fail(write, PROBLEM_NOT_FOUND, "There is no token with this id.");
	else
		succeed(write);
}

void token_table_delete(struct token_table *tokens, struct store *store, const char *id, token_table_done *done, void *owner)
{
	/* Revoked before it is deleted from the disk, so that it is no longer accepted meanwhile. */
	pthread_mutex_lock(&tokens->lock);
	struct token *token = find(tokens, id);
	if (token != NULL)
		token->is_revoked = true;
	atomic_fetch_add(&tokens->revocations, 1);
	pthread_mutex_unlock(&tokens->lock);
	if (token == NULL) {
		answer_fault(done, owner, PROBLEM_NOT_FOUND, "There is no token with this id.");
		return;
	}
	struct token_write *write = start_write(tokens, done, owner);
	if (write == NULL) {
		answer_fault(done, owner, PROBLEM_OUT_OF_RESOURCES, undeleted);
		return;
	}
	memcpy(write->token.id, token->stored.id, sizeof(write->token.id));
	if (!submit(write, store, STORE_TOKEN_DELETE, on_deleted))
		fail(write, PROBLEM_OUT_OF_RESOURCES, undeleted);
}

/* ---- The fleet's ---- */

static int compare_ids(const void *a, const void *b)
{
	const struct database_token *first = a, *second = b;
	return strcmp(first->id, second->id);
}

/* What makes the table equal to the list: `known` says which of the list it has already. */
struct fleet_difference {
	struct database_token *list; /* sorted by id */
	size_t count;
	bool *known;
	struct store_batch *batch;
	struct token *table; /* room for all that the table will have */
	size_t capacity;
};

static bool is_of_fleet(const struct token *token)
{
	return token->stored.id[0] == TOKEN_OF_FLEET;
}

/* Where a token of the table is in the list; NULL: it is revoked. */
static const struct database_token *listed(const struct fleet_difference *difference, const struct token *token)
{
	return difference->count == 0 ? NULL : bsearch(&token->stored, difference->list, difference->count, sizeof(*difference->list), compare_ids);
}

static bool fill_batch(const struct token_table *tokens, struct fleet_difference *difference)
{
	struct store_batch *batch = difference->batch;
	bool has_memory = true;
	batch->count = 0;
	for (size_t i = 0; i < tokens->count; i++) {
		const struct database_token *found = is_of_fleet(&tokens->list[i]) ? listed(difference, &tokens->list[i]) : NULL;
		if (found != NULL)
			difference->known[found - difference->list] = true;
		else if (is_of_fleet(&tokens->list[i]))
			has_memory &= fill(&batch->writes[batch->count++], STORE_TOKEN_DELETE, &tokens->list[i].stored);
	}
	for (size_t i = 0; i < difference->count && has_memory; i++)
		if (!difference->known[i])
			has_memory = fill(&batch->writes[batch->count++], STORE_TOKEN_PUT, &difference->list[i]);
	return has_memory;
}

/* Nothing can fail any more. */
static void exchange(struct token_table *tokens, struct fleet_difference *difference)
{
	struct token *old = tokens->list;
	size_t old_count = tokens->count, kept = 0;
	pthread_mutex_lock(&tokens->lock);
	for (size_t i = 0; i < old_count; i++) {
		if (!is_of_fleet(&old[i]) || listed(difference, &old[i]) != NULL) {
			difference->table[kept++] = old[i];
			continue;
		}
		clear(&old[i]);
		atomic_fetch_add(&tokens->revocations, 1);
	}
	for (size_t i = 0; i < difference->count; i++) {
		struct database_token *added = &difference->list[i];
		if (!difference->known[i])
			difference->table[kept++] = (struct token){ .stored = *added, .access = access_of(added->labels) };
		else
			database_token_clear(added);
	}
	tokens->list = difference->table;
	tokens->count = kept;
	tokens->capacity = difference->capacity;
	pthread_mutex_unlock(&tokens->lock);
	free(old);
}

static void on_fleet_stored(struct store_batch *batch, void *owner)
{
	(void)owner;
	if (batch->result != 0)
		log_line(LOG_WARN, NULL, "fleet: its tokens could not be stored: after a restart without etcd they are as they were before");
	store_batch_free(batch);
}

bool token_table_take_fleet(struct token_table *tokens, struct store *store, struct database_token *list, size_t count)
{
	struct fleet_difference difference = { .list = list, .count = count, .capacity = tokens->count + tokens->reserved + count + 1 };
	if (count > 1)
		qsort(list, count, sizeof(*list), compare_ids);
	difference.known = calloc(count + 1, sizeof(*difference.known));
	difference.batch = store_batch_create(tokens->count + count);
	difference.table = calloc(difference.capacity, sizeof(*difference.table));
	bool has_memory = difference.known != NULL && difference.batch != NULL && difference.table != NULL && fill_batch(tokens, &difference);
	if (has_memory) {
		exchange(tokens, &difference);
		difference.table = NULL;
	}
	if (has_memory && difference.batch->count > 0) {
		difference.batch->done = on_fleet_stored;
		store_submit(store, difference.batch);
		difference.batch = NULL;
	}
	free(difference.table);
	store_batch_free(difference.batch);
	free(difference.known);
	return has_memory;
}

bool token_table_is_full(struct token_table *tokens)
{
	return tokens->count + tokens->reserved >= TOKENS_MAX;
}

static bool is_use_due(const struct token *token)
{
	int64_t ahead = token->last_used_at - token->stored.last_used_at;
	return ahead >= USE_STORED_EVERY_MS || ahead < 0;
}

static size_t count_due(struct token_table *tokens)
{
	size_t count = 0;
	pthread_mutex_lock(&tokens->lock);
	for (size_t i = 0; i < tokens->count; i++)
		count += is_use_due(&tokens->list[i]);
	pthread_mutex_unlock(&tokens->lock);
	return count;
}

/* What could not be written is written with the next use. */
static void on_use_stored(struct store_batch *batch, void *owner)
{
	struct token_table *tokens = owner;
	tokens->is_under_way = false;
	store_batch_free(batch);
}

void token_table_checkpoint(struct token_table *tokens, struct store *store)
{
	size_t room = tokens->is_under_way ? 0 : count_due(tokens);
	struct store_batch *batch = room == 0 ? NULL : store_batch_create(room);
	if (batch == NULL)
		return;
	batch->count = 0;
	pthread_mutex_lock(&tokens->lock);
	for (size_t i = 0; i < tokens->count && batch->count < room; i++) {
		struct token *token = &tokens->list[i];
		if (!is_use_due(token))
			continue;
		token->stored.last_used_at = token->last_used_at;
		struct store_write *write = &batch->writes[batch->count++];
		write->kind = STORE_TOKEN_CHECKPOINT;
		memcpy(write->token.id, token->stored.id, sizeof(write->token.id));
		write->token.last_used_at = token->last_used_at;
	}
	pthread_mutex_unlock(&tokens->lock);
	tokens->is_under_way = true;
	batch->done = on_use_stored;
	batch->owner = tokens;
	store_submit(store, batch);
}
