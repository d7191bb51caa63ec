#include "command/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/member.h"
#include "command/memory.h"
#include "command/problem.h"
#include "command/text.h"

void session_note(struct session *session, enum exit_code code)
{
	if (code > session->code)
		session->code = code;
}

bool session_ask(struct session *session, const struct client_request *request, struct client_answer *answer)
{
	if (!client_ask(session->client, request, answer)) {
		client_explain(session->client);
		session_note(session, EXIT_UNREACHABLE);
		client_answer_clear(answer);
		return false;
	}
	if (answer->status / 100 == 2)
		return true;
	problem_write(stderr, request, answer);
	session_note(session, EXIT_REFUSED);
	client_answer_clear(answer);
	return false;
}

json_t *session_ask_json(struct session *session, const struct client_request *request, bool is_result)
{
	struct client_answer answer;
	if (!session_ask(session, request, &answer))
		return NULL;
	json_t *json = answer.length > 0 ? json_loadb(answer.body, answer.length, 0, NULL) : json_null();
	if (answer.length > 0 && !json_is_object(json)) { /* as every answer is */
		json_decref(json);
		json = NULL;
	}
	if (json == NULL)
		session_fail(session, EXIT_REFUSED, "the reply to %s is no JSON object: is this warrend's address?", request->path);
	else if (is_result && session->is_json)
		session_print_bytes(answer.body, answer.length);
	client_answer_clear(&answer);
	return json;
}

json_t *session_get(struct session *session, const char *path, bool is_result)
{
	return session_ask_json(session, &(struct client_request){ .path = path }, is_result);
}

json_t *session_send(struct session *session, const char *method, const char *path, json_t *body, bool is_result)
{
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : memory_copy("");
	bool is_patch = strcmp(method, "PATCH") == 0;
	const char *type = body == NULL ? NULL : is_patch ? "application/merge-patch+json" : "application/json";
	json_t *answer = session_ask_json(
	    session, &(struct client_request){ .method = method, .path = path, .type = type, .body = text, .length = strlen(text) }, is_result);
	memory_discard(text);
	json_decref(body);
	return answer;
}

void session_fail(struct session *session, enum exit_code code, const char *format, ...)
{
	char *text = NULL;
	va_list list;
	va_start(list, format);
	if (vasprintf(&text, format, list) >= 0) {
		text_line(stderr, "warren: %s", text);
		free(text);
	}
	va_end(list);
	session_note(session, code);
}

bool session_confirm(struct session *session, const struct arguments *arguments, const char *format, ...)
{
	char *text = NULL, answer[16] = { 0 };
	if (!session->is_interactive || arguments_has(arguments, "yes"))
		return true;
	va_list list;
	va_start(list, format);
	if (vasprintf(&text, format, list) >= 0) {
		text_write(stderr, text);
		free(text);
	}
	va_end(list);
	fputs(" [y/N] ", stderr);
	if (fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y'))
		return true;
	fputs("Nothing was done.\n", stderr);
	session_note(session, EXIT_REFUSED);
	return false;
}

void session_print_bytes(const char *bytes, size_t length)
{
	if (isatty(STDOUT_FILENO))
		text_write_json(stdout, bytes, length);
	else
		fwrite(bytes, 1, length, stdout);
	if (length > 0 && bytes[length - 1] != '\n')
		putchar('\n');
}

void session_print_json(const json_t *json)
{
	char *text = json_dumps(json, JSON_INDENT(2) | MEMBER_DIGITS);
	session_print_bytes(text, strlen(text));
	free(text);
}

void session_print_table(const struct session *session, struct table *table)
{
	table_write(table, stdout, &(struct table_style){ .has_colour = session->has_colour });
	table_free(table);
}
