/* Problems of a request: a code, and all faults at once (openapi.yaml, Problem; RFC 9457). */
#ifndef WARREN_SERVICE_SPEC_PROBLEM_H
#define WARREN_SERVICE_SPEC_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>

/* The detail of PROBLEM_WORKER_UNAVAILABLE at the end, and for the moment of an upgrade: which of them it is, is not known everywhere. */
#define PROBLEM_LEAVING "The daemon is stopping, or another version takes its place: try again in a moment."

enum problem_code {
	PROBLEM_NONE = 0,
	PROBLEM_INVALID_JSON,
	PROBLEM_INVALID_REQUEST,
	PROBLEM_UNAUTHORIZED,
	PROBLEM_FORBIDDEN,
	PROBLEM_NOT_FOUND,
	PROBLEM_METHOD_NOT_ALLOWED,
	PROBLEM_LISTENER_IN_USE,
	PROBLEM_TUNNEL_EXISTS,
	PROBLEM_POOL_EXISTS,
	PROBLEM_MANAGED_BY_FILE,
	PROBLEM_EVENTS_EXPIRED,
	PROBLEM_PRECONDITION_FAILED,
	PROBLEM_BODY_TOO_LARGE,
	PROBLEM_UNSUPPORTED_MEDIA_TYPE,
	PROBLEM_MISDIRECTED,
	PROBLEM_VALIDATION_FAILED,
	PROBLEM_TOO_MANY_REQUESTS,
	PROBLEM_INTERNAL,
	PROBLEM_WORKER_UNAVAILABLE,
	PROBLEM_OUT_OF_RESOURCES,
	PROBLEM_FLEET_UNAVAILABLE,
	PROBLEM_HANDSHAKE_TIMEOUT,
	PROBLEM_CODE_COUNT
};

struct problem_fault {
	char *pointer;    /* JSON pointer (RFC 6901), or "/line/N" of a wg-quick file */
	const char *code; /* static: "required", "unknown_member", "wrong_type", "out_of_range", "invalid_key", "invalid_address" … */
	char *detail;     /* a sentence for the user: what is wrong and what to write instead; never contains a secret */
};

#define PROBLEM_FAULT_MAX 256

struct problem {
	enum problem_code code;
	char detail[256];
	struct problem_fault *faults;
	size_t fault_count;
};

const char *problem_code_name(enum problem_code code); /* "listener_in_use" */
int problem_code_status(enum problem_code code);       /* 409 */
const char *problem_code_title(enum problem_code code);
void problem_init(struct problem *problem);
void problem_clear(struct problem *problem);
void problem_set(struct problem *problem, enum problem_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void problem_out_of_memory(struct problem *problem);
/* Adds a fault, and makes the problem validation_failed if it was none. Faults beyond the maximum are only counted, in the detail. */
void problem_add(struct problem *problem, const char *pointer, const char *code, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Adds the faults of another, whose document is at `pointer` of this one's; or becomes what it is, if that has none. */
void problem_add_all(struct problem *problem, const char *pointer, const struct problem *other);

#endif
