#include "command/invocation.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/member.h"
#include "command/memory.h"
#include "command/problem_text.h"
#include "command/terminal_text.h"

void invocation_note(struct invocation *invocation, enum exit_code code)
{
	if (code > invocation->code)
		invocation->code = code;
}

bool invocation_ask(struct invocation *invocation, const struct api_client_request *request, struct api_client_answer *answer)
{
	if (!api_client_ask(invocation->client, request, answer)) {
		api_client_explain(invocation->client);
		invocation_note(invocation, EXIT_UNREACHABLE);
		api_client_answer_clear(answer);
		return false;
	}
	if (answer->status / 100 == 2)
		return true;
	problem_text_write(stderr, request, answer);
	invocation_note(invocation, EXIT_REFUSED);
	api_client_answer_clear(answer);
	return false;
}

json_t *invocation_ask_json(struct invocation *invocation, const struct api_client_request *request, bool is_result)
{
	struct api_client_answer answer;
	if (!invocation_ask(invocation, request, &answer))
		return NULL;
	json_t *json = answer.length > 0 ? json_loadb(answer.body, answer.length, 0, NULL) : json_null();
	if (answer.length > 0 && !json_is_object(json)) { /* as every answer is */
		json_decref(json);
		json = NULL;
	}
	if (json == NULL)
		invocation_fail(invocation, EXIT_REFUSED, "the reply to %s is no JSON object: is this warrend's address?", request->path);
	else if (is_result && invocation->is_json)
		invocation_print_bytes(answer.body, answer.length);
	api_client_answer_clear(&answer);
	return json;
}

json_t *invocation_get(struct invocation *invocation, const char *path, bool is_result)
{
	return invocation_ask_json(invocation, &(struct api_client_request){ .path = path }, is_result);
}

json_t *invocation_send(struct invocation *invocation, const char *method, const char *path, json_t *body, bool is_result)
{
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : memory_copy("");
	bool is_patch = strcmp(method, "PATCH") == 0;
	const char *type = body == NULL ? NULL : is_patch ? "application/merge-patch+json" : "application/json";
	json_t *answer = invocation_ask_json(
	    invocation, &(struct api_client_request){ .method = method, .path = path, .type = type, .body = text, .length = strlen(text) },
	    is_result);
	memory_discard(text);
	json_decref(body);
	return answer;
}

void invocation_fail(struct invocation *invocation, enum exit_code code, const char *format, ...)
{
	char *text = NULL;
	va_list list;
	va_start(list, format);
	if (vasprintf(&text, format, list) >= 0) {
		terminal_text_line(stderr, "warren: %s", text);
		free(text);
	}
	va_end(list);
	invocation_note(invocation, code);
}

bool invocation_confirm(struct invocation *invocation, const struct arguments *arguments, const char *format, ...)
{
	char *text = NULL, answer[16] = { 0 };
	if (!invocation->is_interactive || arguments_has(arguments, "yes"))
		return true;
	va_list list;
	va_start(list, format);
	if (vasprintf(&text, format, list) >= 0) {
		terminal_text_write(stderr, text);
		free(text);
	}
	va_end(list);
	fputs(" [y/N] ", stderr);
	if (fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y'))
		return true;
	fputs("Nothing was done.\n", stderr);
	invocation_note(invocation, EXIT_REFUSED);
	return false;
}

void invocation_print_bytes(const char *bytes, size_t length)
{
	if (isatty(STDOUT_FILENO))
		terminal_text_write_json(stdout, bytes, length);
	else
		fwrite(bytes, 1, length, stdout);
	if (length > 0 && bytes[length - 1] != '\n')
		putchar('\n');
}

void invocation_print_json(const json_t *json)
{
	char *text = json_dumps(json, JSON_INDENT(2) | MEMBER_DIGITS);
	invocation_print_bytes(text, strlen(text));
	free(text);
}

void invocation_print_table(const struct invocation *invocation, struct table *table)
{
	table_write(table, stdout, &(struct table_style){ .has_colour = invocation->has_colour });
	table_free(table);
}
