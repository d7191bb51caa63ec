/* One run of the command: where the API is, how to print, and requests whose failures are told at once. */
#ifndef WARREN_COMMAND_SESSION_H
#define WARREN_COMMAND_SESSION_H

#include <jansson.h>
#include <stdbool.h>

#include "command/client.h"
#include "command/command.h"
#include "command/place.h"
#include "command/table.h"

struct session {
	struct place place;
	const char *token_file;
	struct client *client;
	bool is_json;        /* print the API's answers as they are */
	bool has_colour;     /* on stdout */
	bool is_interactive; /* stdin and stderr are a terminal: questions may be asked */
	enum exit_code code; /* the worst so far */
};

/* A successful answer: true; clear it. Otherwise the failure is told on stderr and kept in `code`. */
bool session_ask(struct session *session, const struct client_request *request, struct client_answer *answer);
/* The same, with the answer as JSON (a new reference; JSON null if there is no content). NULL after a failure was told. With --json the answer is
 * also printed if `is_result`. */
json_t *session_ask_json(struct session *session, const struct client_request *request, bool is_result);
/* GET of a path, as session_ask_json. */
json_t *session_get(struct session *session, const char *path, bool is_result);
/* A request with a JSON body, which is consumed. */
json_t *session_send(struct session *session, const char *method, const char *path, json_t *body, bool is_result);

/* Keeps the code of a failure that was told. */
void session_note(struct session *session, enum exit_code code);
/* Tells a failure of our own, with EXIT_REFUSED or the code given. */
void session_fail(struct session *session, enum exit_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Whether to go on: asks on a terminal; without one, or with --yes, it is yes. */
bool session_confirm(struct session *session, const struct arguments *arguments, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Writes the bytes of an answer to stdout. */
void session_print_bytes(const char *bytes, size_t length);
void session_print_json(const json_t *json);
/* Prints the table on stdout and frees it. */
void session_print_table(const struct session *session, struct table *table);

#endif
