/* The life of a request under libmicrohttpd, which calls the handler once with the head, once for each piece of the body, once at the body's
 * end, and once more after a suspended connection was resumed. */
#include "api/request.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "api/request_check.h"
#include "api/clock.h"
#include "api/json_body.h"
#include "api/elsewhere.h"
#include "api/reply.h"
#include "service/spec/selector.h"

static struct api_http_connection *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info != NULL ? info->socket_context : NULL;
}

void *api_request_begin(void *context, const char *uri, struct MHD_Connection *connection)
{
	struct api *api = context;
	struct api_request *request = calloc(1, sizeof(*request));
	char *raw = strdup(uri);
	if (request == NULL || raw == NULL) {
		free(request);
		free(raw);
		return NULL;
	}
	request->api = api;
	request->connection = connection;
	request->client = client_of(connection);
	request->raw = raw;
	request->started_us = api_clock_us();
	problem_init(&request->problem);
	uint8_t random[8];
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(request->id, sizeof(request->id), random, sizeof(random));
	atomic_fetch_add(&api->active, 1);
	if (request->client != NULL)
		api_http_connection_enter(api->connections, request->client, CONNECTION_HEAD, api_clock_ms());
	return request;
}

void api_request_completed(void *context, struct MHD_Connection *connection, void **handle, enum MHD_RequestTerminationCode code)
{
	(void)connection;
	(void)code;
	struct api *api = context;
	struct api_request *request = *handle;
	if (request == NULL)
		return;
	*handle = NULL;
	if (request->client != NULL)
		api_http_connection_enter(api->connections, request->client, CONNECTION_IDLE, api_clock_ms());
	api_body_clear(&request->body, &api->body_bytes);
	api_request_target_clear(&request->target);
	problem_clear(&request->problem);
	problem_clear(&request->faults);
	json_decref(request->warnings);
	json_decref(request->lines);
	access_release(request->caller.access);
	if (request->mutation != NULL)
		mutation_free(request->mutation);
	free(request->raw);
	free(request);
	atomic_fetch_sub(&api->active, 1);
}

/* Checks the head. A problem is replied after the body was read, so that the client is not cut off while it writes, unless the framing is
 * ambiguous, the client waits for 100 (Expect), or the body is too large to read. */
static enum MHD_Result take_head(struct api_request *request, const char *method)
{
	request->method = method;
	request->stage = API_REQUEST_BODY;
	api_request_check(request);
	bool is_large = request->body_expected > request->body_cap * BODY_DISCARD;
	if (request->problem.code != PROBLEM_NONE && (request->must_close || is_large || request->headers[API_HEADER_EXPECT] != NULL)) {
		request->must_close = true;
		api_reply_problem(request, &request->problem, NULL);
		return request->result;
	}
	api_http_connection_enter(request->api->connections, request->client, CONNECTION_BODY, api_clock_ms());
	return MHD_YES;
}

static enum MHD_Result take_body(struct api_request *request, const char *bytes, size_t *length)
{
	size_t count = *length;
	*length = 0;
	request->body_seen += count;
	if (request->stage != API_REQUEST_BODY || request->body_seen > request->body_cap * BODY_DISCARD)
		return MHD_NO;
	bool is_wanted = request->problem.code == PROBLEM_NONE && request->kind != API_BODY_NONE;
	if (!is_wanted)
		return MHD_YES;
	if (request->body_seen > request->body_cap) {
		problem_set(&request->problem, PROBLEM_BODY_TOO_LARGE, "The body is larger than %llu bytes.", (unsigned long long)request->body_cap);
		return MHD_YES;
	}
	switch ((enum body_error)api_body_append(&request->body, bytes, count, (size_t)request->body_expected, &request->api->body_bytes)) {
	case BODY_OK: break;
	case BODY_OUT_OF_MEMORY: problem_out_of_memory(&request->problem); break;
	case BODY_OVER_BUDGET: problem_set(&request->problem, PROBLEM_OUT_OF_RESOURCES, "Too many large request bodies are being received."); break;
	}
	return MHD_YES;
}

static void dispatch(struct api_request *request)
{
	if (request->problem.code != PROBLEM_NONE)
		api_reply_problem(request, &request->problem, NULL);
	else if (!api_elsewhere_ask(request))
		request->route->handle(request);
}

static void resume(struct api_request *request)
{
	struct mutation *mutation = request->mutation;
	request->mutation = NULL;
	if (mutation == NULL) {
		api_reply_failure(request, PROBLEM_WORKER_UNAVAILABLE, "The daemon is stopping; it is unknown whether the change was made.");
		return;
	}
	request->finish(request, mutation);
	mutation_free(mutation);
}

enum MHD_Result api_request_handle(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                   const char *upload, size_t *upload_size, void **handle)
{
	(void)context;
	(void)connection;
	(void)url;
	(void)version;
	struct api_request *request = *handle;
	if (request == NULL || request->client == NULL)
		return MHD_NO;
	if (request->stage == API_REQUEST_HEAD)
		return take_head(request, method);
	if (*upload_size > 0)
		return take_body(request, upload, upload_size);
	switch (request->stage) {
	case API_REQUEST_BODY: dispatch(request); break;
	case API_REQUEST_WAITING: resume(request); break;
	case API_REQUEST_HEAD:
	case API_REQUEST_REPLIED: return MHD_NO;
	}
	return request->stage == API_REQUEST_REPLIED ? request->result : MHD_YES;
}

json_t *api_request_document(struct api_request *request)
{
	if (request->kind == API_BODY_NONE || (request->body.length == 0 && request->route->body & API_BODY_OPTIONAL))
		return NULL;
	struct problem problem;
	problem_init(&problem);
	json_t *document = api_json_body_parse(request->body.bytes, request->body.length, &problem);
	api_body_clear(&request->body, &request->api->body_bytes);
	if (document != NULL && !json_is_object(document)) {
		json_decref(document);
		document = NULL;
		problem_add(&problem, "", "wrong_type", "The body must be a JSON object.");
	}
	if (document == NULL)
		api_reply_problem(request, &problem, NULL);
	problem_clear(&problem);
	return document;
}

bool api_request_flag(struct api_request *request, const char *name, bool *value)
{
	const char *written = api_request_target_parameter(&request->target, name);
	if (written == NULL)
		return true;
	*value = strcmp(written, "true") == 0;
	if (*value || strcmp(written, "false") == 0)
		return true;
	api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"%s\" must be true or false.", name);
	return false;
}

bool api_request_number(struct api_request *request, const char *name, uint64_t low, uint64_t high, uint64_t *value)
{
	const char *written = api_request_target_parameter(&request->target, name);
	if (written == NULL)
		return true;
	size_t length = strlen(written);
	if (length > 0 && length <= 19 && strspn(written, "0123456789") == length) {
		*value = strtoull(written, NULL, 10);
		if (*value >= low && *value <= high)
			return true;
	}
	api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"%s\" must be a number from %llu to %llu.", name,
	                  (unsigned long long)low, (unsigned long long)high);
	return false;
}

bool api_request_view(struct api_request *request, bool *is_full)
{
	const char *view = api_request_target_parameter(&request->target, "view");
	if (view == NULL)
		return true;
	*is_full = strcmp(view, "full") == 0;
	if (*is_full || strcmp(view, "basic") == 0)
		return true;
	api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"view\" must be basic or full.");
	return false;
}

static bool is_label(const char *written)
{
	const char *equals = strchr(written, '=');
	return equals != NULL && equals != written;
}

bool api_request_labels_are_valid(struct api_request *request)
{
	const struct api_request_target *target = &request->target;
	for (size_t i = 0; i < target->parameter_count; i++)
		if (strcmp(target->parameters[i].name, "label") == 0 && !is_label(target->parameters[i].value)) {
			api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"label\" must have the form label=KEY=VALUE.");
			return false;
		}
	return true;
}

bool api_request_selectors(struct api_request *request, struct selector **selectors, size_t *count)
{
	const struct api_request_target *target = &request->target;
	*selectors = calloc(target->parameter_count + 1, sizeof(**selectors));
	*count = 0;
	int error = *selectors == NULL ? SELECTOR_OUT_OF_MEMORY : 0;
	for (size_t i = 0; error == 0 && i < target->parameter_count; i++) {
		if (strcmp(target->parameters[i].name, "label") != 0)
			continue;
		error = selector_parse(target->parameters[i].value, &(*selectors)[*count]);
		*count += error == 0;
	}
	if (error == 0)
		return true;
	selectors_free(*selectors, *count);
	*selectors = NULL;
	*count = 0;
	if (error == SELECTOR_MALFORMED)
		api_reply_failure(request, PROBLEM_INVALID_REQUEST,
		                  "The query parameter \"label\" must have the form label=KEY=VALUE, label=KEY!=VALUE or label=KEY.");
	else
		api_reply_out_of_memory(request);
	return false;
}

struct snapshot *api_request_object(struct api_request *request)
{
	struct service *service = request->api->service;
	enum spec_kind kind = api_route_object(request->route);
	if (request->found != NULL)
		return snapshot_reference(request->found->found[0]);
	const char *id = request->parameters[0];
	struct snapshot *snapshot =
	    kind == SPEC_POOL ? service_find_pool(service, request->caller.access, id) : service_find(service, request->caller.access, id);
	if (snapshot == NULL)
		api_reply_failure(request, PROBLEM_NOT_FOUND, "There is no %s with this id.", spec_kind_name(kind));
	return snapshot;
}
