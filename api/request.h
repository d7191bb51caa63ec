/* One request, from its request line to its last byte. It belongs to its connection's thread, which the service wakes when a change is done
 * (suspended_request.h). */
#ifndef WARREN_API_REQUEST_H
#define WARREN_API_REQUEST_H

#include <microhttpd.h>

#include "api/api.h"
#include "api/body.h"
#include "api/forwarded.h"
#include "api/request_target.h"
#include "api/route.h"

/* Headers that are used. Each may appear once, because a repeated one can be used to smuggle requests past a proxy that picks the other. */
enum api_header {
	API_HEADER_HOST,
	API_HEADER_CONTENT_LENGTH,
	API_HEADER_TRANSFER_ENCODING,
	API_HEADER_CONTENT_TYPE,
	API_HEADER_AUTHORIZATION,
	API_HEADER_ORIGIN,
	API_HEADER_EXPECT,
	API_HEADER_ACCEPT,
	API_HEADER_IF_MATCH,
	API_HEADER_IF_NONE_MATCH,
	API_HEADER_LAST_EVENT_ID,
	API_HEADER_COUNT
};

/* HEAD: not checked yet. BODY: checked, perhaps with a problem that is replied after the body was read.
 * WAITING: suspended until its mutation is answered. REPLIED: a response is queued; no handler runs any more. */
enum api_request_stage { API_REQUEST_HEAD, API_REQUEST_BODY, API_REQUEST_WAITING, API_REQUEST_REPLIED };

#define API_CLIENT_SIZE FORWARDED_CLIENT_SIZE

struct api_request {
	struct api *api;
	struct MHD_Connection *connection;
	struct api_http_connection *client;
	enum api_request_stage stage;
	char id[17]; /* X-Request-Id */
	uint64_t started_us;
	char *raw;          /* the request target as received */
	const char *method; /* owned by the library, valid as long as the request */
	struct api_request_target target;
	const char *headers[API_HEADER_COUNT]; /* as the method */
	const struct api_route *route;         /* NULL when none fits */
	const char *parameters[API_ROUTE_PARAMETERS_MAX];
	struct api_forwarded forwarded; /* by a trusted proxy; else empty */
	struct api_caller caller;       /* after the checks */
	char from[API_CLIENT_SIZE];     /* the client's address, or "unix" */
	char object[64];                /* the id that is written to, for the audit trail; or empty */
	enum api_body_kind kind;        /* the body's type: JSON, MERGE, WGQUICK or NONE */
	struct api_body body;
	uint64_t body_seen, body_cap, body_expected;
	struct problem problem;    /* the result of the checks */
	unsigned status_override;  /* 431 with an invalid_request, else 0 */
	bool must_close;           /* framing is in doubt, or the body is not read to its end */
	bool is_secret;            /* the reply is wiped after it is sent */
	json_t *warnings;          /* of a wg-quick body or its spec, owned, or NULL */
	json_t *lines;             /* of a wg-quick body (wgquick_locate), owned, or NULL */
	struct problem faults;     /* of a wg-quick body, until the operation has them */
	struct mutation *mutation; /* answered, owned */
	struct mutation *found;    /* what other nodes run, while the handler goes on with it (elsewhere.h); borrowed, or NULL */
	void (*finish)(struct api_request *request, struct mutation *mutation);
	enum MHD_Result result; /* of the queued reply */
};

/* The library's callbacks; `context` is struct api. */
void *api_request_begin(void *context, const char *uri, struct MHD_Connection *connection);
enum MHD_Result api_request_handle(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                   const char *upload, size_t *upload_size, void **handle);
void api_request_completed(void *context, struct MHD_Connection *connection, void **handle, enum MHD_RequestTerminationCode code);

/* The body as JSON, or NULL if a problem was replied. If the route allows an empty body, that is NULL without a reply. */
json_t *api_request_document(struct api_request *request);
/* Reads a boolean query parameter; returns false, with a reply, if it is neither true nor false. Without the parameter `value` keeps its default. */
bool api_request_flag(struct api_request *request, const char *name, bool *value);
/* Reads view=: basic or full. */
bool api_request_view(struct api_request *request, bool *is_full);
bool api_request_number(struct api_request *request, const char *name, uint64_t low, uint64_t high, uint64_t *value);
/* Returns false, with a reply, if a label=KEY=VALUE parameter, which sets a label, is malformed. */
bool api_request_labels_are_valid(struct api_request *request);
/* Reads the label= parameters of a filter into an owned array; returns false, with a reply, if one is malformed. */
bool api_request_selectors(struct api_request *request, struct selector **selectors, size_t *count);
/* A reference to the tunnel or pool that the first path parameter names; NULL if a 404 was replied. */
struct snapshot *api_request_object(struct api_request *request);

#endif
