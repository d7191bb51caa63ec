#include "service/store/token_table.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/wall_clock.h"
#include "service/spec/json_writer.h"
#include "service/spec/random_text.h"
#include "service/store/scope.h"

#define TOKEN_PREFIX "warren_"
#define TOKENS_MAX 10000

struct token {
	struct database_token stored;
	bool is_revoked; /* it is not accepted any more, but still on the disk */
};

struct token_table {
	pthread_mutex_t lock;
	struct token *list;
	size_t count, capacity;
	size_t reserved; /* room for those being written to the disk; only the service's thread */
};

/* A token being written to the disk, or deleted from it. */
struct token_write {
	struct token_table *tokens;
	struct database_token token;
	json_t *shown;
	token_table_done *done;
	void *owner;
};

/* Each scope includes the ones before it. A token keeps those that it was given, so that it reads back as it was made. */
static unsigned with_included(unsigned scopes)
{
	scopes |= scopes & SCOPE_ADMIN ? SCOPE_WRITE : 0;
	scopes |= scopes & SCOPE_WRITE ? SCOPE_READ : 0;
	scopes |= scopes & SCOPE_READ ? SCOPE_METRICS : 0;
	return scopes;
}

struct token_table *token_table_create(void)
{
	struct token_table *tokens = calloc(1, sizeof(*tokens));
	if (tokens != NULL)
		pthread_mutex_init(&tokens->lock, NULL);
	return tokens;
}

void token_table_free(struct token_table *tokens)
{
	if (tokens == NULL)
		return;
	for (size_t i = 0; i < tokens->count; i++)
		free(tokens->list[i].stored.name);
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

/* Takes what it owns. */
static void add(struct token_table *tokens, struct database_token *token)
{
	pthread_mutex_lock(&tokens->lock);
	tokens->list[tokens->count++] = (struct token){ .stored = *token };
	pthread_mutex_unlock(&tokens->lock);
	tokens->reserved--;
	token->name = NULL;
}

bool token_table_load(struct token_table *tokens, struct database_token *token)
{
	bool has_room = reserve(tokens);
	if (has_room)
		add(tokens, token);
	else
		free(token->name);
	return has_room;
}

static void hash_token(const char *token, uint8_t hash[32])
{
	/* A token is 256 random bits, so a plain hash is enough. */
	crypto_generichash(hash, 32, (const uint8_t *)token, strlen(token), NULL, 0);
}

unsigned token_table_scope(struct token_table *tokens, const char *token)
{
	uint8_t hash[32];
	unsigned scopes = 0;
	hash_token(token, hash);
	pthread_mutex_lock(&tokens->lock);
	/* Compares with all of them, so that the time reveals nothing. */
	for (size_t i = 0; i < tokens->count; i++)
		if (sodium_memcmp(hash, tokens->list[i].stored.hash, sizeof(hash)) == 0)
			scopes = tokens->list[i].is_revoked ? 0 : with_included(tokens->list[i].stored.scopes);
	pthread_mutex_unlock(&tokens->lock);
	return scopes;
}

static json_t *token_to_json(const struct database_token *token)
{
	char at[WALL_CLOCK_TEXT_MAX];
	wall_clock_format_seconds(at, token->created_at);
	return json_pack("{s:s, s:s, s:o, s:s}", "id", token->id, "name", token->name, "scopes", scope_list_to_json(token->scopes), "created_at", at);
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
	free(write->token.name);
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

static bool submit(struct token_write *write, struct store *store, enum store_write_kind kind, void (*done)(struct store_batch *batch, void *owner))
{
	struct store_batch *batch = store_batch_create(1);
	if (batch == NULL)
		return false;
	batch->writes[0] = (struct store_write){ .kind = kind, .token = write->token };
	batch->writes[0].token.name = strdup(write->token.name);
	batch->done = done;
	batch->owner = write;
	if (batch->writes[0].token.name == NULL) {
		store_batch_free(batch);
		return false;
	}
	store_submit(store, batch);
	return true;
}

static struct token_write *start_write(struct token_table *tokens, const char *name, token_table_done *done, void *owner)
{
	struct token_write *write = calloc(1, sizeof(*write));
	if (write == NULL)
		return NULL;
	*write = (struct token_write){ .tokens = tokens, .token.name = strdup(name), .done = done, .owner = owner };
	if (write->token.name != NULL)
		return write;
	free(write);
	return NULL;
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

/* Fills in the random parts, and the token as shown this one time. */
static bool draw(struct token_write *write, unsigned scopes)
{
	char text[64] = TOKEN_PREFIX;
	size_t prefix = strlen(text);
	struct database_token *token = &write->token;
	token->scopes = scopes;
	token->created_at = wall_clock_ms() / 1000 * 1000;
	random_text(text + prefix, sizeof(text) - prefix, RANDOM_TEXT_BYTES_MAX);
	random_text(token->id, sizeof(token->id), 9);
	/* An id is a part of a path and of command lines: it starts with a letter. */
	token->id[0] = 't';
	hash_token(text, token->hash);
	write->shown = token_to_json(token);
	bool is_shown = json_object_set_new(write->shown, "token", json_string(text)) == 0;
	sodium_memzero(text, sizeof(text));
	return is_shown;
}

void token_table_make(struct token_table *tokens, struct store *store, const char *name, unsigned scopes, token_table_done *done, void *owner)
{
	if (tokens->count + tokens->reserved >= TOKENS_MAX) {
		answer_fault(done, owner, PROBLEM_OUT_OF_RESOURCES, "There are too many tokens.");
		return;
	}
	struct token_write *write = start_write(tokens, name, done, owner);
	if (write == NULL) {
		answer_fault(done, owner, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		return;
	}
	bool has_room = reserve(tokens);
	if (has_room && draw(write, scopes) && submit(write, store, STORE_TOKEN_PUT, on_made))
		return;
	tokens->reserved -= has_room;
	fail(write, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
}

json_t *token_table_list(struct token_table *tokens)
{
	struct json_writer writer = { .failed = false };
	json_t *list = json_array();
	pthread_mutex_lock(&tokens->lock);
	for (size_t i = 0; i < tokens->count; i++)
		json_writer_add(&writer, list, token_to_json(&tokens->list[i].stored));
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
		free(token->stored.name);
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
	pthread_mutex_unlock(&tokens->lock);
	if (token == NULL) {
		answer_fault(done, owner, PROBLEM_NOT_FOUND, "There is no token with this id.");
		return;
	}
	struct token_write *write = start_write(tokens, token->stored.name, done, owner);
	if (write == NULL) {
		answer_fault(done, owner, PROBLEM_OUT_OF_RESOURCES, undeleted);
		return;
	}
	memcpy(write->token.id, token->stored.id, sizeof(write->token.id));
	if (!submit(write, store, STORE_TOKEN_DELETE, on_deleted))
		fail(write, PROBLEM_OUT_OF_RESOURCES, undeleted);
}
