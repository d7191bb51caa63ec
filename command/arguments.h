/* The words of a command line: options by name, and the rest in order. Pure: reads no environment, prints nothing. */
#ifndef WARREN_COMMAND_ARGUMENTS_H
#define WARREN_COMMAND_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

/* An option is `--name`, `--name VALUE` or `--name=VALUE`. A table of them ends with a name that is NULL. */
struct arguments_option {
	const char *name;
	const char *value; /* what the help calls it; NULL: the option takes none */
	const char *help;
};

struct arguments_given {
	const struct arguments_option *option;
	const char *value; /* NULL for an option that takes none */
};

/* Borrows the command line. */
struct arguments {
	const char **words;
	size_t word_count;
	struct arguments_given *given;
	size_t given_count;
};

#define ARGUMENTS_FAILURE_MAX 256

/* Reads one option at `argv[*at]`, and steps over it and its value. False with the failure. */
bool arguments_read_option(struct arguments *arguments, const struct arguments_option *const tables[2], const char *const *argv, int *at,
                           char failure[ARGUMENTS_FAILURE_MAX]);
/* Reads everything from `argv[at]` on, up to the NULL at its end; after `--` there are only words, and `-` is a word. */
bool arguments_read(struct arguments *arguments, const struct arguments_option *const tables[2], const char *const *argv, int at,
                    char failure[ARGUMENTS_FAILURE_MAX]);
void arguments_clear(struct arguments *arguments);

bool arguments_has(const struct arguments *arguments, const char *name);
/* The last value given, NULL if there is none. */
const char *arguments_value(const struct arguments *arguments, const char *name);
/* The last value as a whole number, -1 if there is none or it is not one. */
long long arguments_number(const struct arguments *arguments, const char *name);
/* The next value after `*cursor`, which begins at 0; NULL when there are no more. */
const char *arguments_next(const struct arguments *arguments, const char *name, size_t *cursor);

#endif
