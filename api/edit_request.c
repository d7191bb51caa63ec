/* Single edits from request to reply. */
#include "api/edit_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "api/edit.h"
#include "api/reply.h"
#include "api/submission.h"
#include "api/warning.h"

#define WAIT_DEFAULT 30
#define WAIT_MAX 3600

static bool read_wait(struct api_request *request, struct change *change)
{
	uint64_t timeout = WAIT_DEFAULT;
	const char *wait = api_target_parameter(&request->target, "wait");
	if (!api_request_flag(request, "dry_run", &change->dry_run) || !api_request_number(request, "timeout", 1, WAIT_MAX, &timeout))
		return false;
	change->timeout = (unsigned)timeout;
	change->wait_up = wait && !change->dry_run;
	if (!wait || strcmp(wait, "up") == 0)
		return true;
	api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"wait\" must be \"up\".");
	return false;
}

static void reply_problem(struct api_request *request, const struct edit *edit)
{
	struct text members;
	text_init(&members);
	api_edit_problem_members(&members, edit);
	text_put_char(&members, '\0');
	api_reply_problem(request, &edit->problem, members.failed ? NULL : members.bytes);
	text_clear(&members);
}

static void add_location(struct MHD_Response *response, const struct edit *edit)
{
	char location[160], key[64];
	if (edit->kind == EDIT_PEER_PUT) {
		sodium_bin2base64(key, sizeof(key), edit->peer.bytes, sizeof(edit->peer.bytes), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
		snprintf(location, sizeof(location), "/v1/tunnels/%s/peers/%s", edit->snapshot->id, key);
	} else {
		snprintf(location, sizeof(location), "/v1/tunnels/%s", edit->snapshot->id);
	}
	api_reply_header(response, MHD_HTTP_HEADER_LOCATION, location);
}

static void finish_edit(struct api_request *request, struct change *change)
{
	const struct edit *edit = &change->edits[0];
	if (change->problem.code != PROBLEM_NONE && edit->problem.code == PROBLEM_NONE) {
		api_reply_problem(request, &change->problem, NULL);
		return;
	}
	if (edit->problem.code != PROBLEM_NONE) {
		reply_problem(request, edit);
		return;
	}
	unsigned status = api_edit_status(edit);
	if (status == MHD_HTTP_NO_CONTENT) {
		api_reply_empty(request, status);
		return;
	}
	struct text body;
	text_init(&body);
	char *members = api_warning_members(&request->warnings, request->kind == API_BODY_WGQUICK, request->api->service, edit);
	api_edit_write(&body, edit, members);
	free(members);
	struct MHD_Response *response = api_reply_create(request, "application/json", &body);
	if (edit->snapshot && !change->dry_run) {
		api_reply_etag(response, edit->snapshot->revision);
		if (status == MHD_HTTP_CREATED)
			add_location(response, edit);
	}
	api_reply_send(request, status, response);
}

/* Fills in the change's only edit; false when a problem was replied. */
static bool prepare(struct api_request *request, struct change *change, json_t *document)
{
	struct edit *edit = &change->edits[0];
	struct problem problem;
	problem_init(&problem);
	edit->is_file = request->kind == API_BODY_WGQUICK;
	bool good = api_edit_fill(edit, request->route, request->parameters, document, "", &problem);
	if (!good && !document)
		api_reply_failure(request, PROBLEM_NOT_FOUND, "There is no such tunnel or peer.");
	else if (!good)
		api_reply_problem(request, &problem, NULL);
	problem_clear(&problem);
	if (!good)
		return false;
	if (api_edit_conditions(edit, request->headers[API_HEADER_IF_MATCH], request->headers[API_HEADER_IF_NONE_MATCH]))
		return read_wait(request, change);
	api_reply_failure(request, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	return false;
}

void api_edit_request_send(struct api_request *request, json_t *document)
{
	struct change *change = change_create(CHANGE_EDITS, 1);
	if (!change) {
		json_decref(document);
		api_reply_failure(request, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	} else if (prepare(request, change, document)) {
		api_submission_send(request, change, finish_edit);
	} else {
		change_free(change);
	}
}
