#include "command/state.h"

#include <stdio.h>

#include "command/document.h"
#include "command/member.h"
#include "command/session.h"

enum exit_code state_save(struct session *session, const struct arguments *arguments)
{
	struct client_request request = { .path = "/v1/state?include_secrets=true" };
	struct client_answer answer;
	(void)arguments;
	bool is_answered = client_ask(session->client, &request, &answer);
	if (!is_answered || answer.status != 200) {
		if (answer.status == 403) {
			fputs("warren: keys and passwords are left out, because they need the scope admin\n", stderr);
			request.path = "/v1/state";
		}
		client_answer_clear(&answer);
		if (!session_ask(session, &request, &answer))
			return session->code;
	}
	session_print_bytes(answer.body, answer.length);
	client_answer_clear(&answer);
	return session->code;
}

static json_t *put(struct session *session, const struct document *document, const char *path, bool is_result)
{
	struct client_request request = {
		.method = "PUT", .path = path, .type = "application/json", .body = document->text, .length = document->length
	};
	return session_ask_json(session, &request, is_result);
}

enum exit_code state_load(struct session *session, const struct arguments *arguments)
{
	char failure[DOCUMENT_FAILURE_MAX];
	struct document document;
	if (!document_read(&document, arguments->words[0], failure)) {
		session_fail(session, EXIT_REFUSED, "%s", failure);
		return session->code;
	}
	json_t *trial = put(session, &document, "/v1/state?dry_run=true", false), *answer = NULL;
	double deleted = member_number(trial, "deleted", 0);
	if (trial != NULL && (deleted == 0 || session_confirm(session, arguments, "Delete %.0f that it does not have?", deleted)))
		answer = put(session, &document, "/v1/state", true);
	if (answer != NULL && !session->is_json)
		printf("%.0f created, %.0f changed, %.0f unchanged, %.0f deleted\n", member_number(answer, "created", 0),
		       member_number(answer, "changed", 0), member_number(answer, "unchanged", 0), member_number(answer, "deleted", 0));
	json_decref(trial);
	json_decref(answer);
	document_clear(&document);
	return session->code;
}
