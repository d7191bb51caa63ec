/* /v1/batch: many operations in one change, atomic or one by one. The operations are written as requests and go through the route table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_body.h"
#include "api/handlers.h"
#include "api/operation.h"
#include "api/problem_json.h"
#include "api/reply.h"
#include "api/suspended_request.h"
#include "api/warning.h"
#include "service/spec/wgquick.h"

static const char *const batch_members[] = { "atomic", "operations", NULL };
static const char *const operation_members[] = { "method", "path", "body", "if_match", "if_none_match", NULL };

/* A string member, or NULL with a fault if it has another type, or is required and missing. */
static const char *string_member(json_t *object, const char *name, bool is_needed, const char *pointer, struct problem *problem)
{
	char place[64];
	snprintf(place, sizeof(place), "%s/%s", pointer, name);
	json_t *value = json_object_get(object, name);
	if (value == NULL && is_needed)
		problem_add(problem, place, "required", "This member is required.");
	else if (value != NULL && !json_is_string(value) && !(json_is_null(value) && !is_needed))
		problem_add(problem, place, "wrong_type", "This must be a string.");
	return json_string_value(value);
}

/* The route of an operation; its parameters remain in `target`. */
static const struct api_route *find_route(const char *method, const char *path, struct api_request_target *target,
                                          const char *parameters[API_ROUTE_PARAMETERS_MAX], const char *pointer, struct problem *problem)
{
	char place[64];
	bool is_known = false;
	const struct api_route *route = NULL;
	if (api_request_target_parse(target, path) == TARGET_OK) {
		route = api_route_find(method, target, parameters, &is_known);
		if (route != NULL && route->operation != API_ROUTE_NO_OPERATION && target->parameter_count == 0)
			return route;
		api_request_target_clear(target);
	}
	snprintf(place, sizeof(place), "%s/%s", pointer, is_known && route == NULL ? "method" : "path");
	problem_add(problem, place, "unsupported",
	            "An operation must be a POST of /v1/tunnels or /v1/pools, a PUT, PATCH or DELETE of a tunnel, pool or peer, or "
	            "actions/reconnect, without a query.");
	return NULL;
}

/* What is known of the operation's file, if it has one, is kept under its number. */
static void keep(json_t **all, size_t index, json_t *value)
{
	char name[24];
	snprintf(name, sizeof(name), "%zu", index);
	if (*all == NULL)
		*all = json_object();
	(void)json_object_set_new(*all, name, value);
}

static json_t *kept(const json_t *all, size_t index)
{
	char name[24];
	snprintf(name, sizeof(name), "%zu", index);
	return json_object_get(all, name);
}

/* A wg-quick file as a string. */
static json_t *read_file(struct api_request *request, const json_t *body, size_t index, const char *place, struct problem *problem)
{
	struct problem faults;
	json_t *warnings, *lines;
	problem_init(&faults);
	json_t *document = wgquick_to_document(json_string_value(body), json_string_length(body), &warnings, &lines, &faults);
	keep(&request->warnings, index, warnings);
	keep(&request->lines, index, lines);
	problem_add_all(problem, place, &faults);
	problem_clear(&faults);
	return document;
}

static json_t *take_body(struct api_request *request, json_t *written, const struct api_route *route, size_t index, struct problem *problem)
{
	char place[64];
	snprintf(place, sizeof(place), "/operations/%zu/body", index);
	json_t *body = json_object_get(written, "body");
	bool is_needed = route->body & API_BODY_JSON && !(route->body & API_BODY_OPTIONAL), may_be_file = route->body & API_BODY_WGQUICK;
	if (json_is_object(body))
		return is_needed ? json_incref(body) : NULL;
	if (may_be_file && json_is_string(body))
		return read_file(request, body, index, place, problem);
	if (is_needed)
		problem_add(problem, place, body != NULL ? "wrong_type" : "required", "This operation needs a JSON object%s as its body.",
		            may_be_file ? ", or a wg-quick file in a string," : "");
	return NULL;
}

static void read_operation(struct api_request *request, struct operation *operation, json_t *written, size_t index, struct problem *problem)
{
	char pointer[48];
	snprintf(pointer, sizeof(pointer), "/operations/%zu", index);
	if (!json_is_object(written)) {
		problem_add(problem, pointer, "wrong_type", "An operation must be an object.");
		return;
	}
	api_json_body_check_members(written, pointer, operation_members, problem);
	const char *method = string_member(written, "method", true, pointer, problem);
	const char *path = string_member(written, "path", true, pointer, problem);
	const char *if_match = string_member(written, "if_match", false, pointer, problem);
	const char *if_none_match = string_member(written, "if_none_match", false, pointer, problem);
	struct api_request_target target;
	const char *parameters[API_ROUTE_PARAMETERS_MAX];
	const struct api_route *route = method != NULL && path != NULL ? find_route(method, path, &target, parameters, pointer, problem) : NULL;
	if (route == NULL)
		return;
	json_t *body = take_body(request, written, route, index, problem);
	operation->is_file = json_is_string(json_object_get(written, "body"));
	api_operation_fill(operation, route, parameters, body, pointer, problem);
	if (!api_operation_conditions(operation, if_match, if_none_match))
		problem_out_of_memory(problem);
	api_request_target_clear(&target);
}

static void write_done(struct text *body, const struct operation *operation, size_t index, const struct api_request *request)
{
	json_t *warnings = json_incref(kept(request->warnings, index));
	char *members = api_warning_members(&warnings, operation->is_file, request, operation);
	api_operation_write(body, request, operation, members);
	free(members);
	json_decref(warnings);
}

static void write_result(struct text *body, struct operation *operation, size_t index, const struct api_request *request)
{
	wgquick_locate(kept(request->lines, index), &operation->problem);
	bool is_done = operation->problem.code == PROBLEM_NONE;
	unsigned status = is_done ? api_operation_status(operation) : (unsigned)problem_code_status(operation->problem.code);
	text_printf(body, "{\"status\":%u,\"body\":", status);
	if (!is_done)
		api_problem_write(body, &operation->problem, status, request->id, NULL);
	else if (status == MHD_HTTP_NO_CONTENT)
		text_put(body, "null");
	else
		write_done(body, operation, index, request);
	text_put_char(body, '}');
}

/* For an atomic batch, the problem of the operation that failed, with its faults. */
static void reply_problem(struct api_request *request, struct mutation *mutation)
{
	struct problem *problem = &mutation->problem;
	char members[48] = "";
	if (mutation->atomic && mutation->failed_operation < mutation->operation_count) {
		snprintf(members, sizeof(members), ",\"operation\":%zu", mutation->failed_operation);
		if (mutation->operations[mutation->failed_operation].problem.code != PROBLEM_NONE)
			problem = &mutation->operations[mutation->failed_operation].problem;
	}
	wgquick_locate(kept(request->lines, mutation->failed_operation), problem);
	api_reply_problem(request, problem, members);
}

static void finish_batch(struct api_request *request, struct mutation *mutation)
{
	if (mutation->problem.code != PROBLEM_NONE) {
		reply_problem(request, mutation);
		return;
	}
	struct text body;
	text_init(&body);
	text_put(&body, "{\"results\":[");
	for (size_t i = 0; i < mutation->operation_count; i++) {
		if (i > 0)
			text_put_char(&body, ',');
		write_result(&body, &mutation->operations[i], i, request);
	}
	text_put(&body, "]}");
	api_reply_json(request, MHD_HTTP_OK, &body);
}

#define BATCH_MOST 16384 /* each takes some 3 KB until the answer */

static struct mutation *read_batch(struct api_request *request, json_t *document, struct problem *problem)
{
	json_t *list = json_object_get(document, "operations"), *atomic = json_object_get(document, "atomic");
	api_json_body_check_members(document, "", batch_members, problem);
	if (atomic != NULL && !json_is_boolean(atomic))
		problem_add(problem, "/atomic", "wrong_type", "This must be true or false.");
	if (!json_is_array(list)) {
		problem_add(problem, "/operations", list != NULL ? "wrong_type" : "required", "This must be an array of operations.");
		return NULL;
	}
	if (json_array_size(list) > BATCH_MOST) {
		problem_add(problem, "/operations", "too_many", "A batch can have at most 16,384 operations.");
		return NULL;
	}
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, json_array_size(list));
	if (mutation == NULL) {
		problem_out_of_memory(problem);
		return NULL;
	}
	mutation->atomic = json_is_true(atomic);
	for (size_t i = 0; i < mutation->operation_count; i++)
		read_operation(request, &mutation->operations[i], json_array_get(list, i), i, problem);
	return mutation;
}

void api_batch_run(struct api_request *request)
{
	bool dry_run = false;
	json_t *document = api_request_flag(request, "dry_run", &dry_run) ? api_request_document(request) : NULL;
	if (document == NULL)
		return;
	struct problem problem;
	problem_init(&problem);
	struct mutation *mutation = read_batch(request, document, &problem);
	json_decref(document);
	if (mutation == NULL || problem.code != PROBLEM_NONE) {
		if (mutation != NULL)
			mutation_free(mutation);
		api_reply_problem(request, &problem, NULL);
		problem_clear(&problem);
		return;
	}
	mutation->dry_run = dry_run;
	api_suspended_request_send(request, mutation, finish_batch);
}
