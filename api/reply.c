/* Creates and queues responses. */
#include "api/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "api/audit.h"
#include "api/clock.h"
#include "api/problem_json.h"

static const char no_memory[] = "{\"type\":\"urn:warren:problem:out_of_resources\",\"title\":\"Out of resources\",\"status\":503,"
				"\"detail\":\"Out of memory.\",\"code\":\"out_of_resources\"}";

/* A body that is wiped after the library has used it. */
struct secret {
	size_t length;
	char *bytes;
};

static void free_secret(void *context)
{
	struct secret *secret = context;
	sodium_memzero(secret->bytes, secret->length);
	free(secret->bytes);
	free(secret);
}

static struct MHD_Response *create_secret(struct text *body)
{
	struct secret *secret = malloc(sizeof(*secret));
	if (secret == NULL)
		return NULL;
	*secret = (struct secret){ .length = body->length, .bytes = body->bytes };
	struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(body->length, body->bytes, free_secret, secret);
	if (response == NULL)
		free(secret);
	return response;
}

struct MHD_Response *api_reply_create(struct api_request *request, const char *type, struct text *body)
{
	struct MHD_Response *response = NULL;
	if (!body->failed && request->is_secret && body->length > 0)
		response = create_secret(body);
	else if (!body->failed)
		response = MHD_create_response_from_buffer(body->length, body->bytes, MHD_RESPMEM_MUST_FREE);
	if (response == NULL && body->bytes != NULL) {
		sodium_memzero(body->bytes, body->length);
		free(body->bytes);
	}
	text_init(body);
	if (response != NULL && type != NULL)
		api_reply_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	return response;
}

void api_reply_header(struct MHD_Response *response, const char *name, const char *value)
{
	if (response != NULL)
		MHD_add_response_header(response, name, value);
}

void api_reply_etag(struct MHD_Response *response, uint64_t revision)
{
	char written[32];
	snprintf(written, sizeof(written), "\"%llu\"", (unsigned long long)revision);
	api_reply_header(response, MHD_HTTP_HEADER_ETAG, written);
}

void api_reply_snapshot(struct api_request *request, struct snapshot *snapshot, struct text *body)
{
	struct MHD_Response *response = api_reply_create(request, "application/json", body);
	api_reply_etag(response, snapshot->revision);
	snapshot_release(snapshot);
	api_reply_send(request, MHD_HTTP_OK, response);
}

void api_reply_send(struct api_request *request, unsigned status, struct MHD_Response *response)
{
	request->stage = API_REQUEST_REPLIED;
	if (response == NULL) {
		status = MHD_HTTP_SERVICE_UNAVAILABLE;
		response = MHD_create_response_from_buffer(sizeof(no_memory) - 1, (void *)(uintptr_t)no_memory, MHD_RESPMEM_PERSISTENT);
		if (response == NULL) {
			request->result = MHD_NO;
			return;
		}
		api_reply_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/problem+json");
	}
	api_reply_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	api_reply_header(response, "X-Content-Type-Options", "nosniff");
	api_reply_header(response, "X-Request-Id", request->id);
	if (request->must_close || api_http_connection_is_reserve(request->client))
		api_reply_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	uint64_t duration_us = api_clock_us() - request->started_us;
	api_measure_record(request->api->measure, request->route != NULL ? api_route_index(request->route) : api_route_count(), status, duration_us);
	api_audit_record(request->api->audit, request, status, duration_us);
	api_http_connection_enter(request->api->connections, request->client, CONNECTION_REPLYING, api_clock_ms());
	request->result = MHD_queue_response(request->connection, status, response);
	MHD_destroy_response(response);
}

void api_reply_json(struct api_request *request, unsigned status, struct text *body)
{
	api_reply_send(request, status, api_reply_create(request, "application/json", body));
}

/* A target may name a host of its own (RFC 9112, 3.2.2). */
static const char *path_of(const char *target)
{
	const char *host = strstr(target, "://");
	if (*target == '/' || host == NULL)
		return target;
	const char *path = strchr(host + 3, '/');
	return path == NULL ? "/" : path;
}

void api_reply_redirect(struct api_request *request, const char *api)
{
	char *location;
	if (asprintf(&location, "%s%s", api, path_of(request->raw)) < 0) {
		api_reply_out_of_memory(request);
		return;
	}
	struct text body;
	text_init(&body);
	struct MHD_Response *response = api_reply_create(request, NULL, &body);
	if (response != NULL)
		api_reply_header(response, MHD_HTTP_HEADER_LOCATION, location);
	free(location);
	api_reply_send(request, MHD_HTTP_TEMPORARY_REDIRECT, response);
}

void api_reply_empty(struct api_request *request, unsigned status)
{
	struct text body;
	text_init(&body);
	api_reply_send(request, status, api_reply_create(request, NULL, &body));
}

void api_reply_problem(struct api_request *request, const struct problem *problem, const char *members)
{
	unsigned status = request->status_override ? request->status_override : (unsigned)problem_code_status(problem->code);
	struct text body;
	text_init(&body);
	api_problem_write(&body, problem, status, request->id, members);
	struct MHD_Response *response = api_reply_create(request, "application/problem+json", &body);
	if (problem->code == PROBLEM_UNAUTHORIZED)
		api_reply_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"warren\"");
	if (problem->code == PROBLEM_METHOD_NOT_ALLOWED) {
		struct text allow;
		text_init(&allow);
		api_route_allow(&request->target, &allow);
		text_put_char(&allow, '\0');
		if (!allow.failed)
			api_reply_header(response, MHD_HTTP_HEADER_ALLOW, allow.bytes);
		text_clear(&allow);
	}
	if (problem->code == PROBLEM_TOO_MANY_REQUESTS || problem->code == PROBLEM_WORKER_UNAVAILABLE)
		api_reply_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	api_reply_send(request, status, response);
}

void api_reply_failure(struct api_request *request, enum problem_code code, const char *format, ...)
{
	char detail[256];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(detail, sizeof(detail), format, arguments);
	va_end(arguments);
	struct problem problem;
	problem_init(&problem);
	problem_set(&problem, code, "%s", detail);
	api_reply_problem(request, &problem, NULL);
	problem_clear(&problem);
}

void api_reply_out_of_memory(struct api_request *request)
{
	struct problem problem;
	problem_init(&problem);
	problem_out_of_memory(&problem);
	api_reply_problem(request, &problem, NULL);
}
