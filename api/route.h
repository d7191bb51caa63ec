/* The route table: the only place that defines the scope, body and query parameters of each method and path. */
#ifndef WARREN_API_ROUTE_H
#define WARREN_API_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "api/request_target.h"
#include "api/text.h"
#include "ipc/spec.h"

struct api_request;

/* The body types that a route accepts, as bits. */
enum api_body_kind {
	API_BODY_NONE = 0,
	API_BODY_JSON = 1,
	API_BODY_MERGE = 2,    /* application/merge-patch+json */
	API_BODY_WGQUICK = 4,  /* text/plain */
	API_BODY_OPTIONAL = 8, /* the body may be missing */
	API_BODY_LARGE = 16,   /* 64 MiB instead of 4 */
};

#define API_ROUTE_PARAMETERS_MAX 2
#define API_ROUTE_NO_OPERATION (-1)

struct api_route {
	const char *method;
	const char *path; /* "{…}" segments are parameters */
	unsigned scope;   /* enum scope; none: no token is required */
	unsigned body;
	const char *query; /* names of its parameters, each between blanks: " dry_run wait " */
	int operation;     /* enum edit_kind of this route, for single requests and batches, or API_ROUTE_NO_EDIT */
	void (*handle)(struct api_request *request);
};

size_t api_route_count(void);
const struct api_route *api_route_at(size_t index);
size_t api_route_index(const struct api_route *route);

/* The route for a method and target; HEAD finds GET. NULL with `is_known` set if the path has other methods. */
const struct api_route *api_route_find(const char *method, const struct api_request_target *target, const char *parameters[API_ROUTE_PARAMETERS_MAX],
                                       bool *is_known);
/* The value of Allow for a target: "GET, HEAD, POST". */
void api_route_allow(const struct api_request_target *target, struct text *text);
enum spec_kind api_route_object(const struct api_route *route); /* what its operation is about */
bool api_route_knows_query(const struct api_route *route, const char *name);

#endif
