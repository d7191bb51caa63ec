/* One run of the command: where the API is, how to print, and requests whose failures are told at once. */
#ifndef WARREN_COMMAND_INVOCATION_H
#define WARREN_COMMAND_INVOCATION_H

#include <jansson.h>
#include <stdbool.h>

#include "command/api_client.h"
#include "command/command.h"
#include "command/api_address.h"
#include "command/table.h"

struct invocation {
	struct api_address address;
	const char *token_file;
	struct api_client *client;
	bool is_json;        /* print the API's answers as they are */
	bool has_colour;     /* on stdout */
	bool is_interactive; /* stdin and stderr are a terminal: questions may be asked */
	enum exit_code code; /* the worst so far */
};

/* A successful answer: true; clear it. Otherwise the failure is told on stderr and kept in `code`. */
bool invocation_ask(struct invocation *invocation, const struct api_client_request *request, struct api_client_answer *answer);
/* The same, with the answer as JSON (a new reference; JSON null if there is no content). NULL after a failure was told. With --json the answer is
 * also printed if `is_result`. */
json_t *invocation_ask_json(struct invocation *invocation, const struct api_client_request *request, bool is_result);
/* GET of a path, as invocation_ask_json. */
json_t *invocation_get(struct invocation *invocation, const char *path, bool is_result);
/* A request with a JSON body, which is consumed. */
json_t *invocation_send(struct invocation *invocation, const char *method, const char *path, json_t *body, bool is_result);

/* Keeps the code of a failure that was told. */
void invocation_note(struct invocation *invocation, enum exit_code code);
/* Tells a failure of our own, with EXIT_REFUSED or the code given. */
void invocation_fail(struct invocation *invocation, enum exit_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Whether to go on: asks on a terminal; without one, or with --yes, it is yes. */
bool invocation_confirm(struct invocation *invocation, const struct arguments *arguments, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Writes the bytes of an answer to stdout. */
void invocation_print_bytes(const char *bytes, size_t length);
void invocation_print_json(const json_t *json);
/* Prints the table on stdout and frees it. */
void invocation_print_table(const struct invocation *invocation, struct table *table);

#endif
