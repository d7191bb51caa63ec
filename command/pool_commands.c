#include "command/pool_commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "command/collection.h"
#include "command/edit.h"
#include "command/member.h"
#include "command/memory.h"
#include "command/quantity.h"
#include "command/invocation.h"
#include "command/terminal_text.h"
#include "command/tunnel_view.h"

static const char titles[] = "ID|STATE|MEMBERS|PROXY|STRATEGY|LABELS|REASON";

static void add_row(struct table *table, const json_t *pool)
{
	const json_t *status = json_object_get(pool, "status");
	const char *state = member_text(status, "state");
	char *listen = member_join(status, "listen"), *labels = member_join_pairs(pool, "labels");
	char *reason = tunnel_view_reason(status);
	char members[2 * QUANTITY_MAX];
	snprintf(members, sizeof(members), "%.0f of %zu up", member_number(status, "members_up", 0), json_array_size(member_at(status, "members")));
	table_add(table, TABLE_PLAIN, member_text(pool, "id"));
	table_add(table, tunnel_view_tone(state), state);
	table_add(table, TABLE_PLAIN, members);
	table_add(table, TABLE_PLAIN, listen);
	table_add(table, TABLE_PLAIN, member_text(pool, "spec.strategy"));
	table_add(table, TABLE_PLAIN, labels);
	table_add(table, TABLE_DIM, reason);
	free(reason);
	free(labels);
	free(listen);
}

enum exit_code pools_list(struct invocation *invocation, const struct arguments *arguments)
{
	bool is_quiet = arguments_has(arguments, "quiet");
	char *labels = collection_query(arguments, "label"), *query = memory_print("%s%s", is_quiet ? "" : "&view=full", labels);
	json_t *page = collection_list(invocation, &collection_pools, query, !is_quiet);
	const json_t *pools = json_object_get(page, "pools");
	if (page != NULL && is_quiet) {
		tunnel_view_ids(pools);
	} else if (page != NULL && !invocation->is_json) {
		struct table *table = table_create(titles);
		size_t index;
		json_t *pool;
		json_array_foreach (pools, index, pool)
			add_row(table, pool);
		invocation_print_table(invocation, table);
	}
	json_decref(page);
	free(query);
	free(labels);
	return invocation->code;
}

static void show_members(const struct invocation *invocation, const json_t *pool)
{
	struct table *table = table_create("TUNNEL|STATE|HEALTHY|>RTT|>OPEN|>WEIGHT");
	size_t index;
	json_t *member;
	json_array_foreach (member_at(pool, "status.members"), index, member) {
		const json_t *healthy = json_object_get(member, "healthy");
		const char *state = member_text(member, "state");
		char rtt[QUANTITY_MAX] = "", open[QUANTITY_MAX], weight[QUANTITY_MAX];
		double milliseconds = member_number(member, "rtt_ms", -1);
		if (milliseconds >= 0)
			quantity_milliseconds(rtt, milliseconds);
		snprintf(open, sizeof(open), "%.0f", member_number(member, "connections_open", 0));
		snprintf(weight, sizeof(weight), "%.0f", member_number(member, "weight", 1));
		table_add(table, TABLE_PLAIN, member_text(member, "tunnel"));
		table_add(table, tunnel_view_tone(state), state);
		table_add(table, json_is_false(healthy) ? TABLE_BAD : TABLE_PLAIN,
		          json_is_true(healthy)    ? "yes"
		          : json_is_false(healthy) ? "no"
		                                   : "");
		table_add(table, TABLE_PLAIN, rtt);
		table_add(table, TABLE_PLAIN, open);
		table_add(table, TABLE_PLAIN, weight);
	}
	invocation_print_table(invocation, table);
}

enum exit_code pools_show(struct invocation *invocation, const struct arguments *arguments)
{
	char **ids = collection_ids(invocation, &collection_pools, arguments->words, arguments->word_count);
	for (size_t i = 0; ids != NULL && ids[i] != NULL; i++) {
		char *path = collection_path(&collection_pools, ids[i], "");
		json_t *pool = invocation_get(invocation, path, true);
		if (pool != NULL && !invocation->is_json) {
			struct table *table = table_create(titles);
			add_row(table, pool);
			invocation_print_table(invocation, table);
			show_members(invocation, pool);
		}
		json_decref(pool);
		free(path);
	}
	collection_ids_free(ids);
	return invocation->code;
}

enum exit_code pools_add(struct invocation *invocation, const struct arguments *arguments)
{
	tunnel_view_report(invocation, edit_add(invocation, &collection_pools, arguments));
	return invocation->code;
}

enum exit_code pools_set(struct invocation *invocation, const struct arguments *arguments)
{
	char **ids = collection_ids(invocation, &collection_pools, arguments->words, 1);
	for (size_t i = 0; ids != NULL && ids[i] != NULL; i++)
		tunnel_view_report(invocation, edit_set(invocation, &collection_pools, ids[i], arguments->words + 1, arguments->word_count - 1));
	collection_ids_free(ids);
	return invocation->code;
}

enum exit_code pools_remove(struct invocation *invocation, const struct arguments *arguments)
{
	return edit_remove(invocation, &collection_pools, arguments);
}

enum exit_code pools_rotate(struct invocation *invocation, const struct arguments *arguments)
{
	bool is_one = arguments->word_count > 1;
	char *key = api_client_escape(is_one ? arguments->words[1] : "");
	char *rest = memory_print("/sessions%s%s", is_one ? "/" : "", key), *path = collection_path(&collection_pools, arguments->words[0], rest);
	json_t *answer = invocation_send(invocation, "DELETE", path, NULL, true);
	if (answer != NULL && !invocation->is_json)
		terminal_text_line(stdout, "%.0f of %s will choose anew", is_one ? 1 : member_number(answer, "deleted", 0), arguments->words[0]);
	json_decref(answer);
	free(path);
	free(rest);
	free(key);
	return invocation->code;
}
