#include "service/tokens.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "service/service.h"

#define TOKEN_BYTES 32
#define TOKENS_MAX 10000

struct tokens {
	pthread_mutex_t lock;
	struct database_token *list;
	size_t count;
};

static const struct {
	const char *name;
	unsigned scope;
} scopes_by_name[] = {
	{ "metrics", SCOPE_METRICS },
	{ "read", SCOPE_READ },
	{ "write", SCOPE_WRITE },
	{ "admin", SCOPE_ADMIN },
};

unsigned scope_parse(const char *name)
{
	for (size_t i = 0; i < sizeof(scopes_by_name) / sizeof(scopes_by_name[0]); i++)
		if (strcmp(name, scopes_by_name[i].name) == 0)
			return scopes_by_name[i].scope;
	return 0;
}

static json_t *scopes_to_json(unsigned scopes)
{
	json_t *list = json_array();
	for (size_t i = 0; i < sizeof(scopes_by_name) / sizeof(scopes_by_name[0]); i++)
		if ((scopes & scopes_by_name[i].scope) != 0)
			json_array_append_new(list, json_string(scopes_by_name[i].name));
	return list;
}

/* Each scope includes the ones before it. A token keeps those that it was given, so that it reads back as it was made. */
static unsigned with_included(unsigned scopes)
{
	scopes |= scopes & SCOPE_ADMIN ? SCOPE_WRITE : 0;
	scopes |= scopes & SCOPE_WRITE ? SCOPE_READ : 0;
	scopes |= scopes & SCOPE_READ ? SCOPE_METRICS : 0;
	return scopes;
}

struct tokens *tokens_create(void)
{
	struct tokens *tokens = calloc(1, sizeof(*tokens));
	if (tokens != NULL)
		pthread_mutex_init(&tokens->lock, NULL);
	return tokens;
}

void tokens_free(struct tokens *tokens)
{
	if (tokens == NULL)
		return;
	for (size_t i = 0; i < tokens->count; i++)
		free(tokens->list[i].name);
	free(tokens->list);
	pthread_mutex_destroy(&tokens->lock);
	free(tokens);
}

static bool add(struct tokens *tokens, const struct database_token *token)
{
	struct database_token *grown = realloc(tokens->list, (tokens->count + 1) * sizeof(*grown));
	if (grown == NULL)
		return false;
	tokens->list = grown;
	tokens->list[tokens->count++] = *token;
	return true;
}

void tokens_load(struct tokens *tokens, struct database_token *token)
{
	if (!add(tokens, token))
		free(token->name);
}

static void hash_token(const char *token, uint8_t hash[32])
{
	/* A token is 256 random bits, so a plain hash is enough: there is nothing to guess. */
	crypto_generichash(hash, 32, (const uint8_t *)token, strlen(token), NULL, 0);
}

unsigned tokens_scope(struct tokens *tokens, const char *token)
{
	uint8_t hash[32];
	unsigned scopes = 0;
	hash_token(token, hash);
	pthread_mutex_lock(&tokens->lock);
	/* All of them, so that the time tells nothing. */
	for (size_t i = 0; i < tokens->count; i++)
		if (sodium_memcmp(hash, tokens->list[i].hash, sizeof(hash)) == 0)
			scopes = with_included(tokens->list[i].scopes);
	pthread_mutex_unlock(&tokens->lock);
	return scopes;
}

static void make_text(char *text, size_t size, const char *prefix, size_t bytes)
{
	uint8_t random[TOKEN_BYTES];
	int length = snprintf(text, size, "%s", prefix);
	randombytes_buf(random, bytes);
	sodium_bin2base64(text + length, size - (size_t)length, random, bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	sodium_memzero(random, sizeof(random));
}

static json_t *token_to_json(const struct database_token *token)
{
	char at[32];
	time_t seconds = (time_t)(token->created_at / 1000);
	struct tm utc;
	gmtime_r(&seconds, &utc);
	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", &utc);
	return json_pack("{s:s, s:s, s:o, s:s}", "id", token->id, "name", token->name, "scopes", scopes_to_json(token->scopes), "created_at", at);
}

static int write_one(struct store *store, enum store_write_kind kind, const struct database_token *token)
{
	struct store_batch *batch = store_batch_create(1);
	if (batch == NULL)
		return -1;
	batch->writes[0] = (struct store_write){ .kind = kind, .token = *token };
	batch->writes[0].token.name = token->name == NULL ? NULL : strdup(token->name);
	int result = store_write(store, batch);
	store_batch_free(batch);
	return result;
}

json_t *tokens_make(struct tokens *tokens, struct store *store, const char *name, unsigned scopes, struct problem *problem)
{
	char text[64];
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	struct database_token token = { .name = strdup(name == NULL ? "" : name), .scopes = scopes, .created_at = now.tv_sec * 1000 };
	make_text(text, sizeof(text), "warren_", TOKEN_BYTES);
	make_text(token.id, sizeof(token.id), "", 9);
	/* An id is a part of a path and of command lines: it starts with a letter. */
	token.id[0] = 't';
	hash_token(text, token.hash);
	pthread_mutex_lock(&tokens->lock);
	bool is_full = tokens->count >= TOKENS_MAX;
	pthread_mutex_unlock(&tokens->lock);
	json_t *json = NULL;
	if (is_full || token.name == NULL || write_one(store, STORE_TOKEN_PUT, &token) != 0) {
		problem_set(problem, PROBLEM_OUT_OF_RESOURCES, is_full ? "There are too many tokens." : "The token could not be stored.");
	} else {
		json = token_to_json(&token);
		(void)json_object_set_new(json, "token", json_string(text));
		pthread_mutex_lock(&tokens->lock);
		bool added = add(tokens, &token);
		pthread_mutex_unlock(&tokens->lock);
		if (added)
			token.name = NULL;
	}
	sodium_memzero(text, sizeof(text));
	free(token.name);
	return json;
}

json_t *tokens_list(struct tokens *tokens)
{
	json_t *list = json_array();
	pthread_mutex_lock(&tokens->lock);
	for (size_t i = 0; i < tokens->count; i++)
		(void)json_array_append_new(list, token_to_json(&tokens->list[i]));
	pthread_mutex_unlock(&tokens->lock);
	return list;
}

bool tokens_delete(struct tokens *tokens, struct store *store, const char *id, struct problem *problem)
{
	struct database_token token = { .id = "" };
	bool found = false;
	snprintf(token.id, sizeof(token.id), "%s", id);
	/* Out of use before it is off the disk: a token that is being taken away opens nothing more. */
	pthread_mutex_lock(&tokens->lock);
	for (size_t i = 0; i < tokens->count && !found; i++) {
		if (strcmp(tokens->list[i].id, id) != 0)
			continue;
		found = true;
		token = tokens->list[i];
		tokens->list[i] = tokens->list[--tokens->count];
	}
	pthread_mutex_unlock(&tokens->lock);
	if (!found) {
		problem_set(problem, PROBLEM_NOT_FOUND, "There is no token of this id.");
		return false;
	}
	bool deleted = write_one(store, STORE_TOKEN_DELETE, &token) == 0;
	if (!deleted)
		problem_set(problem, PROBLEM_OUT_OF_RESOURCES,
		            "The token is out of use, but could not be deleted from the disk: it would be back after a restart.");
	free(token.name);
	return deleted;
}
