/* Tokens are made and deleted by mutations too, so that they are answered when they are on the disk. */
#include "service/change/mutation_step.h"

static void on_written(void *owner, json_t *token, const struct problem *problem)
{
	struct mutation *mutation = owner;
	mutation->token = token;
	if (problem->code != PROBLEM_NONE)
		problem_set(&mutation->problem, problem->code, "%s", problem->detail);
	mutations_step(mutation, MUTATION_EVENT_TOKEN_WRITTEN);
}

enum mutation_event mutation_enter_writing_token(struct mutation *mutation)
{
	const struct mutation_means *means = mutations_means(mutation->all);
	const struct token_wanted wanted = { .name = mutation->token_name,
		                             .scopes = mutation->token_scopes,
		                             .expires_at = mutation->token_expires_at,
		                             .access = mutation->token_access };
	if (mutation->kind == MUTATION_TOKEN_CREATE)
		token_table_make(means->tokens, means->store, &wanted, on_written, mutation);
	else
		token_table_delete(means->tokens, means->store, mutation->token_id, on_written, mutation);
	return MUTATION_EVENT_NONE;
}
