#include "command/table.h"

#include <stdlib.h>
#include <string.h>

#include "command/memory.h"
#include "command/quantity.h"
#include "command/terminal_text.h"

#define COLUMNS_MAX 16
#define GAP 2
#define FIRST_MIN 8 /* the first column is not cut below this */
#define ELLIPSIS "\xe2\x80\xa6"

struct cell {
	char *text;
	size_t width;
	enum table_tone tone;
};

struct table {
	size_t columns;
	bool has_titles;
	bool is_right[COLUMNS_MAX];
	struct cell *cells; /* the titles are the first row */
	size_t count;
};

static void put(struct table *table, enum table_tone tone, const char *text)
{
	table->cells = memory_resize(table->cells, (table->count + 1) * sizeof(*table->cells));
	struct cell *cell = &table->cells[table->count++];
	cell->text = terminal_text_clean(text);
	cell->width = terminal_text_width(cell->text);
	cell->tone = tone;
}

struct table *table_create(const char *titles)
{
	struct table *table = memory_take(sizeof(*table));
	char *copy = memory_copy(titles), *rest = copy;
	for (char *title; table->columns < COLUMNS_MAX && (title = strsep(&rest, "|")) != NULL; table->columns++) {
		table->is_right[table->columns] = *title == '>';
		table->has_titles |= title[*title == '>'] != '\0';
		put(table, TABLE_DIM, title + (*title == '>'));
	}
	free(copy);
	return table;
}

void table_add(struct table *table, enum table_tone tone, const char *text)
{
	put(table, tone, text != NULL && *text != '\0' ? text : QUANTITY_NONE);
}

size_t table_rows(const struct table *table)
{
	return table->count / table->columns - 1;
}

/* The width of each column, and how many of them fit. */
static size_t fit(const struct table *table, const struct table_style *style, size_t widths[COLUMNS_MAX])
{
	size_t total = 0, count = table->columns;
	memset(widths, 0, COLUMNS_MAX * sizeof(*widths));
	for (size_t i = 0; i < table->count; i++)
		if (table->cells[i].width > widths[i % table->columns])
			widths[i % table->columns] = table->cells[i].width;
	for (size_t i = 0; i < count; i++)
		total += widths[i] + (i > 0 ? GAP : 0);
	if (style->width == 0)
		return count;
	/* Half of the screen is enough for a name, unless there is room for all. */
	size_t least = style->width / 2 > FIRST_MIN ? style->width / 2 : FIRST_MIN;
	if (total > style->width && widths[0] > least) {
		total -= widths[0] - least;
		widths[0] = least;
	}
	while (count > 1 && total > style->width)
		total -= widths[--count] + GAP;
	if (widths[0] > style->width)
		widths[0] = style->width;
	return count;
}

static void write_cell(const struct cell *cell, size_t width, bool is_right, bool is_last, FILE *to, bool has_colour)
{
	static const char *const colours[] = {
		[TABLE_PLAIN] = "", [TABLE_GOOD] = "\033[32m", [TABLE_WAITING] = "\033[33m", [TABLE_BAD] = "\033[31m", [TABLE_DIM] = "\033[2m"
	};
	const char *colour = has_colour ? colours[cell->tone] : "";
	bool is_cut = cell->width > width;
	size_t used = cell->width, bytes = strlen(cell->text);
	if (is_cut)
		bytes = terminal_text_fit(cell->text, width - 1, &used);
	size_t padding = width - used - is_cut;
	if (is_right)
		fprintf(to, "%*s", (int)padding, "");
	fprintf(to, "%s%.*s%s%s", colour, (int)bytes, cell->text, is_cut ? ELLIPSIS : "", *colour != '\0' ? "\033[0m" : "");
	if (!is_right && !is_last)
		fprintf(to, "%*s", (int)padding, "");
}

void table_write(const struct table *table, FILE *to, const struct table_style *style)
{
	size_t widths[COLUMNS_MAX], columns = fit(table, style, widths), rows = table_rows(table);
	if (style->rows > 0 && rows > style->rows)
		rows = style->rows;
	for (size_t row = table->has_titles ? 0 : 1; row <= rows; row++) {
		for (size_t i = 0; i < columns; i++) {
			if (i > 0)
				fprintf(to, "%*s", GAP, "");
			write_cell(&table->cells[row * table->columns + i], widths[i], table->is_right[i], i == columns - 1, to, style->has_colour);
		}
		fputs(style->ends_lines ? "\033[K\n" : "\n", to);
	}
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}
