/* The tokens of callers: only their hashes are kept, in memory and in the store. Any thread, unless stated otherwise. */
#ifndef WARREN_SERVICE_STORE_TOKEN_TABLE_H
#define WARREN_SERVICE_STORE_TOKEN_TABLE_H

#include <jansson.h>

#include "service/spec/problem.h"
#include "service/store/store.h"

struct token_table;

struct token_table *token_table_create(void);
void token_table_free(struct token_table *tokens);
/* At start: adds a stored token. Takes what it owns. False when out of memory. */
bool token_table_load(struct token_table *tokens, struct database_token *token);
unsigned token_table_scope(struct token_table *tokens, const char *token);
json_t *token_table_list(struct token_table *tokens);
/* The service's thread. `done` is called once, from store_collect or at once: with the token as it is shown this one time (a new reference;
 * NULL with DELETE), or with a problem, which it borrows. */
typedef void token_table_done(void *owner, json_t *token, const struct problem *problem);
void token_table_make(struct token_table *tokens, struct store *store, const char *name, unsigned scopes, token_table_done *done, void *owner);
/* The token is revoked at once, even if the disk fails; one that could not be deleted there can be deleted again. */
void token_table_delete(struct token_table *tokens, struct store *store, const char *id, token_table_done *done, void *owner);

#endif
