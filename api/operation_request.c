/* Single operations from request to reply. */
#include "api/operation_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "api/operation.h"
#include "api/reply.h"
#include "api/suspended_request.h"
#include "api/warning.h"
#include "service/spec/wgquick.h"

#define WAIT_DEFAULT 30
#define WAIT_MAX 3600

static bool read_wait(struct api_request *request, struct mutation *mutation)
{
	uint64_t timeout = WAIT_DEFAULT;
	const char *wait = api_request_target_parameter(&request->target, "wait");
	if (!api_request_flag(request, "dry_run", &mutation->dry_run) || !api_request_number(request, "timeout", 1, WAIT_MAX, &timeout))
		return false;
	mutation->timeout = (unsigned)timeout;
	mutation->wait_up = wait != NULL && !mutation->dry_run;
	if (wait == NULL || strcmp(wait, "up") == 0)
		return true;
	api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"wait\" must be \"up\".");
	return false;
}

static void reply_problem(struct api_request *request, const struct operation *operation)
{
	struct text members;
	text_init(&members);
	api_operation_problem_members(&members, request, operation);
	text_put_char(&members, '\0');
	api_reply_problem(request, &operation->problem, members.failed ? NULL : members.bytes);
	text_clear(&members);
}

static void add_location(struct MHD_Response *response, const struct operation *operation)
{
	char location[160], key[64];
	if (operation->kind == OPERATION_PEER_PUT) {
		sodium_bin2base64(key, sizeof(key), operation->peer.bytes, sizeof(operation->peer.bytes), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
		snprintf(location, sizeof(location), "/v1/tunnels/%s/peers/%s", operation->snapshot->id, key);
	} else {
		snprintf(location, sizeof(location), "/v1/%ss/%s", spec_kind_name(operation->object), operation->snapshot->id);
	}
	api_reply_header(response, MHD_HTTP_HEADER_LOCATION, location);
}

#define INSIDE_MAX 100

/* Names the tunnels that went through it, because they have no way now. */
static void reply_deleted(struct api_request *request, const struct operation *operation)
{
	struct snapshot *inside[INSIDE_MAX];
	struct text none, ids;
	text_init(&none);
	text_init(&ids);
	bool is_tunnel = operation->kind == OPERATION_DELETE && operation->object == SPEC_TUNNEL;
	size_t count = is_tunnel ? service_find_inside(request->api->service, request->caller.access, operation->id, inside, INSIDE_MAX) : 0;
	for (size_t i = 0; i < count; i++) {
		text_printf(&ids, "%s%s", i == 0 ? "" : ", ", inside[i]->id);
		snapshot_release(inside[i]);
	}
	struct MHD_Response *response = api_reply_create(request, NULL, &none);
	text_put_char(&ids, '\0');
	if (count > 0 && !ids.failed)
		api_reply_header(response, "Warren-Inside", ids.bytes);
	text_clear(&ids);
	api_reply_send(request, MHD_HTTP_NO_CONTENT, response);
}

static void finish_operation(struct api_request *request, struct mutation *mutation)
{
	struct operation *operation = &mutation->operations[0];
	wgquick_locate(request->lines, &operation->problem);
	/* One that was created without an id has it now. */
	snprintf(request->object, sizeof(request->object), "%s", operation->id);
	if (mutation->problem.code != PROBLEM_NONE && operation->problem.code == PROBLEM_NONE) {
		api_reply_problem(request, &mutation->problem, NULL);
		return;
	}
	if (operation->problem.code != PROBLEM_NONE) {
		reply_problem(request, operation);
		return;
	}
	unsigned status = api_operation_status(operation);
	if (status == MHD_HTTP_NO_CONTENT) {
		reply_deleted(request, operation);
		return;
	}
	struct text body;
	text_init(&body);
	char *members = api_warning_members(&request->warnings, request->kind == API_BODY_WGQUICK, request, operation);
	api_operation_write(&body, request, operation, members);
	free(members);
	struct MHD_Response *response = api_reply_create(request, "application/json", &body);
	if (operation->snapshot != NULL && !mutation->dry_run) {
		api_reply_etag(response, operation->snapshot->revision);
		if (status == MHD_HTTP_CREATED)
			add_location(response, operation);
	}
	api_reply_send(request, status, response);
}

/* Fills in the change's only operation; false when a problem was replied. */
static bool prepare(struct api_request *request, struct mutation *mutation, json_t *document)
{
	struct operation *operation = &mutation->operations[0];
	struct problem problem;
	problem_init(&problem);
	operation->is_file = request->kind == API_BODY_WGQUICK;
	operation->faults = request->faults;
	problem_init(&request->faults);
	bool good = api_operation_fill(operation, request->route, request->parameters, document, "", &problem);
	if (!good && document == NULL)
		api_reply_failure(request, PROBLEM_NOT_FOUND, "There is no such %s.", operation->object == SPEC_POOL ? "pool" : "tunnel or peer");
	else if (!good)
		api_reply_problem(request, &problem, NULL);
	problem_clear(&problem);
	if (!good)
		return false;
	if (api_operation_conditions(operation, request->headers[API_HEADER_IF_MATCH], request->headers[API_HEADER_IF_NONE_MATCH]))
		return read_wait(request, mutation);
	api_reply_out_of_memory(request);
	return false;
}

void api_operation_request_send(struct api_request *request, json_t *document)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	if (mutation == NULL) {
		json_decref(document);
		api_reply_out_of_memory(request);
	} else if (prepare(request, mutation, document)) {
		api_suspended_request_send(request, mutation, finish_operation);
	} else {
		mutation_free(mutation);
	}
}
