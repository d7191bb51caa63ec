/* The tokens of callers: only their hashes are kept, in memory and in the store. Any thread. */
#ifndef WARREN_SERVICE_TOKENS_H
#define WARREN_SERVICE_TOKENS_H

#include <jansson.h>

#include "service/problem.h"
#include "service/store.h"

struct tokens;

struct tokens *tokens_create(void);
void tokens_free(struct tokens *tokens);
/* At the start: what the store has. Takes what it owns. */
void tokens_load(struct tokens *tokens, struct database_token *token);
unsigned tokens_scope(struct tokens *tokens, const char *token);
/* As service_token_create and so on; these wait for the disk. */
json_t *tokens_make(struct tokens *tokens, struct store *store, const char *name, unsigned scopes, struct problem *problem);
json_t *tokens_list(struct tokens *tokens);
bool tokens_delete(struct tokens *tokens, struct store *store, const char *id, struct problem *problem);

#endif
