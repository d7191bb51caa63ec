/* What a command of `warren` is. */
#ifndef WARREN_COMMAND_COMMAND_H
#define WARREN_COMMAND_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#include "command/arguments.h"

enum exit_code { EXIT_OK = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

#define COMMAND_ANY SIZE_MAX  /* of words: no upper limit */
#define COMMAND_OPTIONS_MAX 8 /* the last one is the end of the table */
#define COMMAND_NAME_MAX 32

struct invocation;

struct command {
	const char *group; /* "pool"; NULL: none */
	const char *name;  /* "ls" */
	const char *words; /* what the help calls the words that follow */
	const char *summary;
	size_t least, most; /* of those words */
	struct arguments_option options[COMMAND_OPTIONS_MAX];
	enum exit_code (*run)(struct invocation *invocation, const struct arguments *arguments);
};

/* Options that stand before or after any command. */
extern const struct arguments_option command_common_options[];

/* The command whose name begins at `argv[*at]`; steps over the name. NULL with the failure. */
const struct command *command_find(const char *const *argv, int *at, char failure[ARGUMENTS_FAILURE_MAX]);
/* Writes the name with its group, "pool ls", and returns it. */
const char *command_name(const struct command *command, char name[COMMAND_NAME_MAX]);
/* Help for one command, or with NULL for all. */
void command_write_help(const struct command *command);

#endif
