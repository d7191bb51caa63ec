/* The tokens of callers: only their hashes are kept, in memory and in the store. Any thread, unless stated otherwise.
 *
 * A token is this daemon's own, or its fleet's. The first letter of its id says which, so that each is dealt with where it is kept. */
#ifndef WARREN_SERVICE_STORE_TOKEN_TABLE_H
#define WARREN_SERVICE_STORE_TOKEN_TABLE_H

#include <jansson.h>

#include "service/spec/access.h"
#include "service/spec/problem.h"
#include "service/store/store.h"

struct token_table;

#define TOKEN_NAME_MAX 128
#define TOKEN_OWN 't' /* first letters of ids */
#define TOKEN_OF_FLEET 'f'

/* A token that is to be made. */
struct token_wanted {
	const char *name;
	unsigned scopes;
	int64_t expires_at;          /* milliseconds since 1970, 0: never */
	const struct access *access; /* what it may see and touch */
};

/* What a token says about its bearer. */
struct token_bearer {
	char id[32], name[TOKEN_NAME_MAX + 1];
	unsigned scopes; /* with those that they include */
	int64_t expires_at;
	struct access *access; /* a reference, to be released */
	bool has_expired;      /* not found, only because its time is over: whoever sends it has its secret and may know */
};

struct token_table *token_table_create(void);
void token_table_free(struct token_table *tokens);
/* At start: adds a stored token. Takes what it owns. False when out of memory. */
bool token_table_load(struct token_table *tokens, struct database_token *token);
/* False if it is unknown, revoked or expired, of which only `has_expired` is then set in the bearer; all cases take the same time. Its last use is
 * then `now_ms`, of the wall clock. */
bool token_table_find(struct token_table *tokens, const char *token, int64_t now_ms, struct token_bearer *bearer);
/* Whether the token with this id would still be found. */
bool token_table_holds(struct token_table *tokens, const char *id, int64_t now_ms);
/* How many tokens were revoked since the start. */
uint64_t token_table_revocations(const struct token_table *tokens);
json_t *token_table_list(struct token_table *tokens);
/* The service's thread. `done` is called once, from store_collect or at once: with the token as it is shown this one time (a new reference;
 * NULL with DELETE), or with a problem, which it borrows. */
typedef void token_table_done(void *owner, json_t *token, const struct problem *problem);
void token_table_make(struct token_table *tokens, struct store *store, const struct token_wanted *wanted, token_table_done *done, void *owner);
/* The token is revoked at once, even if the disk fails; one that could not be deleted there can be deleted again. */
void token_table_delete(struct token_table *tokens, struct store *store, const char *id, token_table_done *done, void *owner);

/* Makes the secret and the record of a token whose id begins with `mark`, for somebody else to keep; database_token_clear. The token as it is shown
 * this one time (a new reference); NULL when out of memory. */
json_t *token_table_draw(const struct token_wanted *wanted, char mark, struct database_token *token);
/* The service's thread. Makes the fleet's tokens those of the list, whose members are taken: one that is not in it is revoked at once. What has
 * changed is stored, too, for a start without etcd. False when out of memory: nothing has changed. */
bool token_table_take_fleet(struct token_table *tokens, struct store *store, struct database_token *list, size_t count);
bool token_table_is_full(struct token_table *tokens);

/* Stores when tokens were used last, of each at most once a minute. The service's thread. */
void token_table_checkpoint(struct token_table *tokens, struct store *store);

#endif
