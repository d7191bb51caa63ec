#include "command/token_commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "command/assignment.h"
#include "command/collection.h"
#include "command/member.h"
#include "command/quantity.h"
#include "command/invocation.h"
#include "command/terminal_text.h"
#include "ipc/wall_clock.h"

static const struct collection collection_tokens = { "/v1/tokens", "tokens", "token" };

enum exit_code tokens_list(struct invocation *invocation, const struct arguments *arguments)
{
	json_t *all = invocation_get(invocation, "/v1/tokens", true);
	(void)arguments;
	if (all != NULL && !invocation->is_json) {
		struct table *table = table_create("ID|NAME|SCOPES|LABELS|CREATED|LAST USED|EXPIRES");
		size_t index;
		json_t *token;
		json_array_foreach (json_object_get(all, "tokens"), index, token) {
			static const char *const times[] = { "created_at", "last_used_at", "expires_at" };
			char *scopes = member_join(token, "scopes"), *labels = member_join_pairs(token, "labels"), age[QUANTITY_MAX];
			table_add(table, TABLE_PLAIN, member_text(token, "id"));
			table_add(table, TABLE_PLAIN, member_text(token, "name"));
			table_add(table, TABLE_PLAIN, scopes);
			table_add(table, TABLE_PLAIN, labels);
			for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
				quantity_since(age, member_text(token, times[i]), wall_clock_ms());
				table_add(table, TABLE_PLAIN, age);
			}
			free(labels);
			free(scopes);
		}
		invocation_print_table(invocation, table);
	}
	json_decref(all);
	return invocation->code;
}

/* Prints the secret of a new token, and nothing else. */
static void show_secret(const struct invocation *invocation, json_t *answer)
{
	if (answer != NULL && !invocation->is_json)
		terminal_text_line(stdout, "%s", member_text(answer, "token"));
	json_decref(answer);
}

/* NULL if an option is not UTF-8, or a label is not KEY=VALUE. */
static json_t *body_of(const struct arguments *arguments)
{
	size_t cursor = 0;
	json_t *scopes = json_array(), *labels = json_object();
	json_t *body = json_pack("{s:s?, s:o}", "name", arguments->words[0], "scopes", scopes);
	bool is_fine = body != NULL;
	for (const char *scope; is_fine && (scope = arguments_next(arguments, "scope", &cursor)) != NULL;)
		is_fine = json_array_append_new(scopes, json_string(scope)) == 0;
	cursor = 0;
	for (const char *label; is_fine && (label = arguments_next(arguments, "label", &cursor)) != NULL;)
		is_fine = assignment_add_label(labels, label);
	if (is_fine && json_object_size(labels) > 0)
		json_object_set(body, "labels", labels);
	if (is_fine && arguments_has(arguments, "expires"))
		is_fine = json_object_set_new(body, "expires_at", json_string(arguments_value(arguments, "expires"))) == 0;
	json_decref(labels);
	if (is_fine)
		return body;
	json_decref(body);
	return NULL;
}

enum exit_code tokens_add(struct invocation *invocation, const struct arguments *arguments)
{
	if (!arguments_has(arguments, "scope")) {
		invocation_fail(invocation, EXIT_USAGE, "give --scope: metrics, read, write or admin");
		return invocation->code;
	}
	json_t *body = body_of(arguments);
	if (body == NULL)
		invocation_fail(invocation, EXIT_USAGE, "--label is KEY=VALUE, and every option is UTF-8");
	else
		show_secret(invocation, invocation_send(invocation, "POST", "/v1/tokens", body, true));
	return invocation->code;
}

enum exit_code tokens_remove(struct invocation *invocation, const struct arguments *arguments)
{
	for (size_t i = 0; i < arguments->word_count; i++)
		collection_delete(invocation, &collection_tokens, arguments->words[i], "revoked");
	return invocation->code;
}

enum exit_code tokens_rotate(struct invocation *invocation, const struct arguments *arguments)
{
	(void)arguments;
	show_secret(invocation, invocation_send(invocation, "POST", "/v1/actions/rotate-token", NULL, true));
	return invocation->code;
}
