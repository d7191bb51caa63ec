/* A table for people: columns aligned by what a terminal shows, tones as colours, cells cleaned of what would act on the terminal. */
#ifndef WARREN_COMMAND_TABLE_H
#define WARREN_COMMAND_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum table_tone { TABLE_PLAIN, TABLE_GOOD, TABLE_WAITING, TABLE_BAD, TABLE_DIM };

struct table_style {
	size_t
	    width; /* columns of the terminal; columns of the table that do not fit are left out from the right, and the first is cut. 0: no limit */
	size_t rows; /* at most; 0: no limit */
	bool has_colour;
	bool ends_lines; /* the rest of each line is erased, for a screen that is written over */
};

struct table;

/* Titles separated by '|'; one that begins with '>' has numbers below it, which are aligned to the right. Without a title at all
 * there is no row of titles. */
struct table *table_create(const char *titles);
/* The next cell, row by row. Copies the text; NULL or an empty one is shown as "-". */
void table_add(struct table *table, enum table_tone tone, const char *text);
size_t table_rows(const struct table *table);
void table_write(const struct table *table, FILE *to, const struct table_style *style);
void table_free(struct table *table);

#endif
