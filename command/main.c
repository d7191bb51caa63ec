/* `warren`, the command: finds out what is asked and where the API is, and does it. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/memory.h"
#include "command/invocation.h"
#include "command/terminal_text.h"
#include "ipc/program_version.h"

/* `command` is the one whose help to name; NULL: none is known. */
static enum exit_code complain(const char *failure, const struct command *command)
{
	char name[COMMAND_NAME_MAX];
	terminal_text_line(stderr, "warren: %s", failure);
	if (command == NULL)
		fputs("\"warren --help\" shows how it is used.\n", stderr);
	else
		fprintf(stderr, "\"warren %s --help\" shows how it is used.\n", command_name(command, name));
	return EXIT_USAGE;
}

static bool has_colour(void)
{
	const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
	bool is_refused = (none != NULL && *none != '\0') || terminal == NULL || strcmp(terminal, "dumb") == 0;
	return !is_refused && isatty(STDOUT_FILENO);
}

static enum exit_code run(const struct command *command, const struct arguments *arguments)
{
	char failure[ARGUMENTS_FAILURE_MAX];
	struct invocation invocation = { .token_file = arguments_value(arguments, "token-file"),
		                         .is_json = arguments_has(arguments, "json"),
		                         .has_colour = has_colour(),
		                         .is_interactive = isatty(STDIN_FILENO) && isatty(STDERR_FILENO) };
	if (!api_address_find(&invocation.address, arguments_value(arguments, "socket"), arguments_value(arguments, "url"), failure))
		return complain(failure, NULL);
	invocation.client = api_client_create(&invocation.address, invocation.token_file);
	if (invocation.client == NULL)
		return EXIT_REFUSED;
	enum exit_code code = command->run(&invocation, arguments);
	api_client_free(invocation.client);
	/* A disk that is full must not look like success. A reader that has gone away knows. */
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return code;
	if (errno != EPIPE)
		perror("warren: stdout");
	return code > EXIT_REFUSED ? code : EXIT_REFUSED;
}

/* The command, and all words that belong to it. The exit code if that is all. */
static enum exit_code read_line(const char *const *argv, struct arguments *arguments, const struct command **command, bool *is_done)
{
	static const struct arguments_option none[] = { { 0 } };
	char failure[ARGUMENTS_FAILURE_MAX];
	int at = 1;
	*is_done = true;
	while (argv[at] != NULL && argv[at][0] == '-')
		if (!arguments_read_option(arguments, (const struct arguments_option *const[2]){ command_common_options, none }, argv, &at, failure))
			return complain(failure, NULL);
	if (argv[at] != NULL && (*command = command_find(argv, &at, failure)) == NULL)
		return complain(failure, NULL);
	const struct arguments_option *own = *command != NULL ? (*command)->options : none;
	if (!arguments_read(arguments, (const struct arguments_option *const[2]){ own, command_common_options }, argv, at, failure))
		return complain(failure, *command);
	if (arguments_has(arguments, "version")) {
		printf("warren %s\n", program_version.text);
		return EXIT_OK;
	}
	if (arguments_has(arguments, "help")) {
		command_write_help(*command);
		return EXIT_OK;
	}
	if (*command == NULL)
		return complain("name a command", NULL);
	if (arguments->word_count < (*command)->least || arguments->word_count > (*command)->most) {
		char name[COMMAND_NAME_MAX];
		snprintf(failure, sizeof(failure), "usage: warren %s%s%s", command_name(*command, name), *(*command)->words != '\0' ? " " : "",
		         (*command)->words);
		return complain(failure, *command);
	}
	*is_done = false;
	return EXIT_OK;
}

int main(int count, char **argv)
{
	struct arguments arguments = { 0 };
	const struct command *command = NULL;
	bool is_done;
	(void)count;
	/* Whoever reads the output may stop; libcurl writes to sockets that may be closed. */
	signal(SIGPIPE, SIG_IGN);
	json_set_alloc_funcs(memory_take, memory_discard);
	terminal_text_begin();
	enum exit_code code = read_line((const char *const *)argv, &arguments, &command, &is_done);
	if (!is_done)
		code = run(command, &arguments);
	arguments_clear(&arguments);
	return (int)code;
}
