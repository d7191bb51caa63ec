/* The names, status codes and titles of what can go wrong, and the list of faults that a reply carries. */
#include "service/spec/problem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kind {
	const char *name;
	int status;
	const char *title;
};

static const struct kind kinds[] = {
	[PROBLEM_NONE] = { "none", 200, "No problem" },
	[PROBLEM_INVALID_JSON] = { "invalid_json", 400, "The body is not valid JSON" },
	[PROBLEM_INVALID_REQUEST] = { "invalid_request", 400, "The request is malformed" },
	[PROBLEM_UNAUTHORIZED] = { "unauthorized", 401, "A valid token is required" },
	[PROBLEM_FORBIDDEN] = { "forbidden", 403, "The caller lacks the permission" },
	[PROBLEM_NOT_FOUND] = { "not_found", 404, "Not found" },
	[PROBLEM_METHOD_NOT_ALLOWED] = { "method_not_allowed", 405, "The method is not allowed here" },
	[PROBLEM_LISTENER_IN_USE] = { "listener_in_use", 409, "An address or port is already in use" },
	[PROBLEM_TUNNEL_EXISTS] = { "tunnel_exists", 409, "A tunnel with this id already exists" },
	[PROBLEM_POOL_EXISTS] = { "pool_exists", 409, "A pool with this id already exists" },
	[PROBLEM_MANAGED_BY_FILE] = { "managed_by_file", 409, "A file of the tunnels directory manages this" },
	[PROBLEM_EVENTS_EXPIRED] = { "events_expired", 410, "The requested events have expired" },
	[PROBLEM_PRECONDITION_FAILED] = { "precondition_failed", 412, "A precondition does not hold" },
	[PROBLEM_BODY_TOO_LARGE] = { "body_too_large", 413, "The body is too large" },
	[PROBLEM_UNSUPPORTED_MEDIA_TYPE] = { "unsupported_media_type", 415, "The media type is not supported" },
	[PROBLEM_MISDIRECTED] = { "misdirected", 421, "The Host header does not name this API" },
	[PROBLEM_VALIDATION_FAILED] = { "validation_failed", 422, "The request is invalid" },
	[PROBLEM_TOO_MANY_REQUESTS] = { "too_many_requests", 429, "Too many requests" },
	[PROBLEM_INTERNAL] = { "internal", 500, "Internal error" },
	[PROBLEM_WORKER_UNAVAILABLE] = { "worker_unavailable", 503, "The worker of this tunnel is not available" },
	[PROBLEM_OUT_OF_RESOURCES] = { "out_of_resources", 503, "The host is out of a resource" },
	[PROBLEM_FLEET_UNAVAILABLE] = { "fleet_unavailable", 503, "The fleet takes no changes now" },
	[PROBLEM_HANDSHAKE_TIMEOUT] = { "handshake_timeout", 504, "The handshake timed out" },
};
static_assert(sizeof(kinds) / sizeof(kinds[0]) == PROBLEM_CODE_COUNT, "a kind for each code");

const char *problem_code_name(enum problem_code code)
{
	return kinds[code].name;
}

int problem_code_status(enum problem_code code)
{
	return kinds[code].status;
}

const char *problem_code_title(enum problem_code code)
{
	return kinds[code].title;
}

void problem_init(struct problem *problem)
{
	*problem = (struct problem){ .code = PROBLEM_NONE };
}

void problem_clear(struct problem *problem)
{
	for (size_t i = 0; i < problem->fault_count && i < PROBLEM_FAULT_MAX; i++) {
		free(problem->faults[i].pointer);
		free(problem->faults[i].detail);
	}
	free(problem->faults);
	problem_init(problem);
}

void problem_set(struct problem *problem, enum problem_code code, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	problem->code = code;
	vsnprintf(problem->detail, sizeof(problem->detail), format, arguments);
	va_end(arguments);
}

void problem_out_of_memory(struct problem *problem)
{
	problem_set(problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
}

static bool make_room(struct problem *problem)
{
	if (problem->fault_count % 16 != 0)
		return true;
	struct problem_fault *grown = realloc(problem->faults, (problem->fault_count + 16) * sizeof(*grown));
	if (grown == NULL)
		return false;
	problem->faults = grown;
	return true;
}

void problem_add(struct problem *problem, const char *pointer, const char *code, const char *format, ...)
{
	if (problem->code == PROBLEM_NONE)
		problem_set(problem, PROBLEM_VALIDATION_FAILED, "The request is invalid; every fault is listed in errors.");
	if (problem->fault_count >= PROBLEM_FAULT_MAX) {
		snprintf(problem->detail, sizeof(problem->detail), "There are more than %d faults; the first %d are listed.", PROBLEM_FAULT_MAX,
		         PROBLEM_FAULT_MAX);
		return;
	}
	if (!make_room(problem))
		return;
	char detail[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(detail, sizeof(detail), format, arguments);
	va_end(arguments);
	struct problem_fault fault = { .pointer = strdup(pointer), .code = code, .detail = strdup(detail) };
	if (fault.pointer == NULL || fault.detail == NULL) {
		free(fault.pointer);
		free(fault.detail);
		return;
	}
	problem->faults[problem->fault_count++] = fault;
}

void problem_add_all(struct problem *problem, const char *pointer, const struct problem *other)
{
	if (other->code != PROBLEM_NONE && other->fault_count == 0 && problem->code == PROBLEM_NONE)
		problem_set(problem, other->code, "%s", other->detail);
	for (size_t i = 0; i < other->fault_count; i++) {
		char place[512];
		snprintf(place, sizeof(place), "%s%s", pointer, other->faults[i].pointer);
		problem_add(problem, place, other->faults[i].code, "%s", other->faults[i].detail);
	}
}
