#include "command/state_commands.h"

#include <stdio.h>

#include "command/document.h"
#include "command/member.h"
#include "command/invocation.h"

enum exit_code state_save(struct invocation *invocation, const struct arguments *arguments)
{
	struct api_client_request request = { .path = "/v1/state?include_secrets=true" };
	struct api_client_answer answer;
	(void)arguments;
	bool is_answered = api_client_ask(invocation->client, &request, &answer);
	if (!is_answered || answer.status != 200) {
		if (answer.status == 403) {
			fputs("warren: keys and passwords are left out, because they need the scope admin\n", stderr);
			request.path = "/v1/state";
		}
		api_client_answer_clear(&answer);
		if (!invocation_ask(invocation, &request, &answer))
			return invocation->code;
	}
	invocation_print_bytes(answer.body, answer.length);
	api_client_answer_clear(&answer);
	return invocation->code;
}

static json_t *put(struct invocation *invocation, const struct document *document, const char *path, bool is_result)
{
	struct api_client_request request = {
		.method = "PUT", .path = path, .type = "application/json", .body = document->text, .length = document->length
	};
	return invocation_ask_json(invocation, &request, is_result);
}

enum exit_code state_load(struct invocation *invocation, const struct arguments *arguments)
{
	char failure[DOCUMENT_FAILURE_MAX];
	struct document document;
	if (!document_read(&document, arguments->words[0], failure)) {
		invocation_fail(invocation, EXIT_REFUSED, "%s", failure);
		return invocation->code;
	}
	json_t *trial = put(invocation, &document, "/v1/state?dry_run=true", false), *answer = NULL;
	double deleted = member_number(trial, "deleted", 0);
	if (trial != NULL && (deleted == 0 || invocation_confirm(invocation, arguments, "Delete %.0f that it does not have?", deleted)))
		answer = put(invocation, &document, "/v1/state", true);
	if (answer != NULL && !invocation->is_json)
		printf("%.0f created, %.0f changed, %.0f unchanged, %.0f deleted\n", member_number(answer, "created", 0),
		       member_number(answer, "changed", 0), member_number(answer, "unchanged", 0), member_number(answer, "deleted", 0));
	json_decref(trial);
	json_decref(answer);
	document_clear(&document);
	return invocation->code;
}
