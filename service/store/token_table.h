/* The tokens of callers: only their hashes are kept, in memory and in the store. Any thread, but for what says otherwise. */
#ifndef WARREN_SERVICE_STORE_TOKEN_TABLE_H
#define WARREN_SERVICE_STORE_TOKEN_TABLE_H

#include <jansson.h>

#include "service/spec/problem.h"
#include "service/store/store.h"

struct tokens;

struct tokens *tokens_create(void);
void tokens_free(struct tokens *tokens);
/* At the start: what the store has. Takes what it owns. False when out of memory. */
bool tokens_load(struct tokens *tokens, struct database_token *token);
unsigned tokens_scope(struct tokens *tokens, const char *token);
json_t *tokens_list(struct tokens *tokens);
/* The service's thread. `done` is called once, from store_collect or at once: with the token as it is shown this one time (a new reference;
 * NULL with DELETE), or with a problem, which it borrows. */
typedef void tokens_done(void *owner, json_t *token, const struct problem *problem);
void tokens_make(struct tokens *tokens, struct store *store, const char *name, unsigned scopes, tokens_done *done, void *owner);
/* From now on it opens nothing, whatever the disk says; one that could not be deleted there can be deleted again. */
void tokens_delete(struct tokens *tokens, struct store *store, const char *id, tokens_done *done, void *owner);

#endif
