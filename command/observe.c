#include "command/observe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/collection.h"
#include "command/event_lines.h"
#include "command/member.h"
#include "command/memory.h"
#include "command/quantity.h"
#include "command/invocation.h"
#include "command/tunnel_view.h"

static void add_bytes(struct table *table, const json_t *stats, const char *name)
{
	char text[QUANTITY_MAX];
	quantity_bytes(text, member_number(stats, name, 0));
	table_add(table, TABLE_PLAIN, text);
}

static void add_rate(struct table *table, const json_t *stats, const char *name)
{
	char text[QUANTITY_MAX];
	quantity_rate(text, member_number(stats, name, 0));
	table_add(table, TABLE_PLAIN, text);
}

static void add_count(struct table *table, const json_t *stats, const char *name)
{
	char text[QUANTITY_MAX];
	snprintf(text, sizeof(text), "%.0f", member_number(stats, name, 0));
	table_add(table, TABLE_PLAIN, text);
}

static void add_row(struct table *table, const char *id, const char *state, const json_t *stats)
{
	table_add(table, TABLE_PLAIN, id);
	table_add(table, tunnel_view_tone(state), state);
	add_bytes(table, stats, "bytes_received");
	add_bytes(table, stats, "bytes_sent");
	add_rate(table, stats, "throughput_received");
	add_rate(table, stats, "throughput_sent");
	add_count(table, stats, "connections_open");
	add_count(table, stats, "connections_total");
	add_count(table, stats, "handshakes");
}

static void show_all(const struct invocation *invocation, const json_t *all)
{
	struct table *table = table_create("ID|STATE|>RECEIVED|>SENT|>IN|>OUT|>OPEN|>CONNECTIONS|>HANDSHAKES");
	size_t index;
	json_t *stats;
	json_array_foreach (json_object_get(all, "tunnels"), index, stats)
		add_row(table, member_text(stats, "id"), member_text(stats, "state"), stats);
	add_row(table, "total", "", json_object_get(all, "totals"));
	invocation_print_table(invocation, table);
}

/* Every counter of one tunnel, objects of counters too. */
static void put_counters(struct table *table, const char *prefix, json_t *stats)
{
	const char *name;
	json_t *value;
	json_object_foreach (stats, name, value) {
		char *title = memory_print("%s%s%s", prefix, *prefix != '\0' ? "." : "", name);
		char text[QUANTITY_MAX] = "";
		double number = json_number_value(value);
		if (json_is_object(value))
			put_counters(table, title, value);
		else if (strstr(name, "bytes") != NULL)
			quantity_bytes(text, number);
		else if (strncmp(name, "throughput", 10) == 0)
			quantity_rate(text, number);
		else if (json_is_number(value) && (strcmp(name, "uptime") == 0 || strcmp(name, "last_handshake_age") == 0))
			quantity_duration(text, number);
		else if (json_is_number(value))
			snprintf(text, sizeof(text), "%.0f", number);
		if (*text != '\0' || json_is_string(value)) {
			table_add(table, TABLE_DIM, title);
			table_add(table, TABLE_PLAIN, *text != '\0' ? text : json_string_value(value));
		}
		free(title);
	}
}

static void show_one(struct invocation *invocation, const char *id)
{
	char *path = collection_path(&collection_tunnels, id, "/stats");
	json_t *stats = invocation_get(invocation, path, true);
	if (stats != NULL && !invocation->is_json) {
		struct table *table = table_create("|");
		put_counters(table, "", stats);
		invocation_print_table(invocation, table);
	}
	json_decref(stats);
	free(path);
}

enum exit_code observe_stats(struct invocation *invocation, const struct arguments *arguments)
{
	if (arguments->word_count == 0) {
		json_t *all = invocation_get(invocation, "/v1/stats", true);
		if (all != NULL && !invocation->is_json)
			show_all(invocation, all);
		json_decref(all);
		return invocation->code;
	}
	char **ids = collection_ids(invocation, &collection_tunnels, arguments->words, arguments->word_count);
	for (size_t i = 0; ids != NULL && ids[i] != NULL; i++)
		show_one(invocation, ids[i]);
	collection_ids_free(ids);
	return invocation->code;
}

enum exit_code observe_events(struct invocation *invocation, const struct arguments *arguments)
{
	return event_lines_show(invocation, arguments_has(arguments, "follow"));
}

static void show_connections(const struct invocation *invocation, const json_t *connections)
{
	struct table *table = table_create("ID|TUNNEL|POOL|PROTOCOL|CLIENT|USER|TARGET|>AGE|>SENT|>RECEIVED");
	size_t index;
	json_t *connection;
	json_array_foreach (connections, index, connection) {
		static const char *const texts[] = { "id", "tunnel", "pool", "protocol", "client", "user", "target" };
		char age[QUANTITY_MAX];
		for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
			table_add(table, TABLE_PLAIN, member_text(connection, texts[i]));
		quantity_duration(age, member_number(connection, "age", 0));
		table_add(table, TABLE_PLAIN, age);
		add_bytes(table, connection, "bytes_sent");
		add_bytes(table, connection, "bytes_received");
	}
	invocation_print_table(invocation, table);
}

enum exit_code observe_connections(struct invocation *invocation, const struct arguments *arguments)
{
	char *query = collection_query(arguments, "tunnel");
	json_t *page = collection_list(invocation, &collection_connections, query, true);
	if (page != NULL && !invocation->is_json)
		show_connections(invocation, json_object_get(page, "connections"));
	json_decref(page);
	free(query);
	return invocation->code;
}

enum exit_code observe_kill(struct invocation *invocation, const struct arguments *arguments)
{
	for (size_t i = 0; i < arguments->word_count; i++)
		collection_delete(invocation, &collection_connections, arguments->words[i], "closed");
	return invocation->code;
}
