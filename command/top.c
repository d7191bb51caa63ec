#include "command/top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/collection.h"
#include "command/member.h"
#include "command/memory.h"
#include "command/quantity.h"
#include "command/screen.h"
#include "command/invocation.h"
#include "command/terminal_text.h"
#include "command/tunnel_view.h"

#define PERIOD 1000 /* ms */
#define HEAD 2      /* lines above the table's rows: the summary and the titles */

/* What was read last. */
struct view {
	json_t *page, *stats;
};

struct row {
	const json_t *tunnel, *stats;
	double received, sent; /* bit/s */
};

static bool refresh(struct invocation *invocation, struct view *view)
{
	json_t *page = collection_list(invocation, &collection_tunnels, "&view=full", false);
	json_t *stats = page != NULL ? invocation_get(invocation, "/v1/stats", false) : NULL;
	if (stats == NULL) {
		json_decref(page);
		return false;
	}
	json_decref(view->page);
	json_decref(view->stats);
	view->page = page;
	view->stats = stats;
	return true;
}

static int by_rate(const void *left, const void *right)
{
	const struct row *a = left, *b = right;
	double difference = b->received + b->sent - a->received - a->sent;
	if (difference != 0)
		return difference > 0 ? 1 : -1;
	return strcmp(member_text(a->tunnel, "id"), member_text(b->tunnel, "id"));
}

/* The tunnels that are in both answers, each of which is ordered by id. Free it. */
static struct row *rows_of(const struct view *view, size_t *count)
{
	const json_t *tunnels = json_object_get(view->page, "tunnels"), *all = json_object_get(view->stats, "tunnels");
	struct row *rows = memory_take((json_array_size(tunnels) + 1) * sizeof(*rows));
	size_t at = 0, index;
	json_t *tunnel;
	*count = 0;
	json_array_foreach (tunnels, index, tunnel) {
		const char *id = member_text(tunnel, "id");
		while (at < json_array_size(all) && strcmp(member_text(json_array_get(all, at), "id"), id) < 0)
			at++;
		const json_t *stats = json_array_get(all, at);
		if (stats != NULL && strcmp(member_text(stats, "id"), id) == 0)
			rows[(*count)++] =
			    (struct row){ tunnel, stats, member_number(stats, "throughput_received", 0), member_number(stats, "throughput_sent", 0) };
	}
	qsort(rows, *count, sizeof(*rows), by_rate);
	return rows;
}

static void add_row(struct table *table, const struct row *row)
{
	const json_t *status = json_object_get(row->tunnel, "status");
	const char *state = member_text(row->stats, "state"), *health = tunnel_view_health(status);
	char text[QUANTITY_MAX];
	table_add(table, TABLE_PLAIN, member_text(row->tunnel, "id"));
	table_add(table, tunnel_view_tone(state), state);
	quantity_rate(text, row->received);
	table_add(table, TABLE_PLAIN, text);
	quantity_rate(text, row->sent);
	table_add(table, TABLE_PLAIN, text);
	table_add(table, strcmp(health, "no") == 0 ? TABLE_BAD : TABLE_PLAIN, health);
	double rtt = member_number(status, "health.probe.rtt_ms", -1), age = member_number(row->stats, "last_handshake_age", -1);
	*text = '\0';
	if (rtt >= 0)
		quantity_milliseconds(text, rtt);
	table_add(table, TABLE_PLAIN, text);
	snprintf(text, sizeof(text), "%.0f", member_number(row->stats, "connections_open", 0));
	table_add(table, TABLE_PLAIN, text);
	*text = '\0';
	if (age >= 0)
		quantity_age(text, age);
	table_add(table, TABLE_PLAIN, text);
	table_add(table, TABLE_DIM, member_text(status, "reason"));
}

static struct table *table_of(const struct view *view, size_t *up, size_t *count)
{
	struct table *table = table_create("ID|STATE|>IN|>OUT|HEALTHY|>RTT|>OPEN|HANDSHAKE|REASON");
	struct row *rows = rows_of(view, count);
	*up = 0;
	for (size_t i = 0; i < *count; i++) {
		add_row(table, &rows[i]);
		*up += strcmp(member_text(rows[i].stats, "state"), "up") == 0;
	}
	free(rows);
	return table;
}

static void draw(const struct invocation *invocation, const struct view *view)
{
	char *picture = NULL, summary[128];
	size_t length, columns, rows, up, count, used;
	screen_size(&columns, &rows);
	FILE *to = open_memstream(&picture, &length);
	if (to == NULL)
		return;
	struct table *table = table_of(view, &up, &count);
	snprintf(summary, sizeof(summary), "%zu of %zu up   q: quit", up, count);
	fprintf(to, "%.*s\033[K\n", (int)terminal_text_fit(summary, columns, &used), summary);
	table_write(table, to,
	            &(struct table_style){
			.width = columns, .rows = rows > HEAD + 1 ? rows - HEAD - 1 : 1, .has_colour = invocation->has_colour, .ends_lines = true });
	table_free(table);
	fclose(to);
	screen_draw(picture, length);
	free(picture);
}

static bool wants_to_quit(int key)
{
	return key == 'q' || key == 'Q' || key == 3 || key == 4; /* control-C and control-D */
}

/* Until a key ends it or the daemon does not answer. */
static void live(struct invocation *invocation, struct view *view)
{
	for (;;) {
		int64_t next = screen_now_ms() + PERIOD;
		draw(invocation, view);
		for (int64_t left = PERIOD; left > 0; left = next - screen_now_ms()) {
			int key = screen_wait((int)left);
			if (wants_to_quit(key))
				return;
			if (key == 0)
				draw(invocation, view);
		}
		if (!refresh(invocation, view)) {
			/* What was told went to the screen that is gone now: ask once more. */
			screen_end();
			refresh(invocation, view);
			return;
		}
	}
}

enum exit_code top_run(struct invocation *invocation, const struct arguments *arguments)
{
	struct view view = { 0 };
	(void)arguments;
	if (refresh(invocation, &view)) {
		size_t up, count;
		if (invocation->is_json) {
			invocation_print_json(view.stats);
		} else if (screen_begin()) {
			live(invocation, &view);
			screen_end();
		} else {
			invocation_print_table(invocation, table_of(&view, &up, &count));
		}
	}
	json_decref(view.page);
	json_decref(view.stats);
	return invocation->code;
}
