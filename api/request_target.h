/* Parses a request target into path segments and query parameters, each decoded separately. The library's decoded path is not used, because there
 * %00 truncates the path and %2F becomes a separator. */
#ifndef WARREN_API_REQUEST_TARGET_H
#define WARREN_API_REQUEST_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#define TARGET_SEGMENTS_MAX 8
#define TARGET_PARAMETERS_MAX 64

struct api_request_target_parameter {
	const char *name;
	const char *value;
};

struct api_request_target {
	char *storage;         /* the memory of all strings below */
	const char *authority; /* of the absolute form (RFC 9112, 3.2.2), else NULL */
	const char *segments[TARGET_SEGMENTS_MAX];
	size_t segment_count; /* "/" has one, empty */
	struct api_request_target_parameter parameters[TARGET_PARAMETERS_MAX];
	size_t parameter_count;
};

enum target_error {
	TARGET_OK = 0,
	TARGET_MALFORMED = -1, /* no path, a bad escape, an escaped NUL, or too many parameters */
	TARGET_OUT_OF_MEMORY = -2,
	TARGET_TOO_DEEP = -3, /* more segments than any route has */
};

/* Copies `raw`. On an error the target is cleared. */
int api_request_target_parse(struct api_request_target *target, const char *raw) __attribute__((warn_unused_result));
void api_request_target_clear(struct api_request_target *target);
/* The first value of a parameter, or NULL. */
const char *api_request_target_parameter(const struct api_request_target *target, const char *name);

#endif
