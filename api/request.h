/* One request, from its request line to its last byte. It belongs to the thread of its connection; the service answers changes by
 * waking it (submission.h). */
#ifndef WARREN_API_REQUEST_H
#define WARREN_API_REQUEST_H

#include <microhttpd.h>

#include "api/api.h"
#include "api/body.h"
#include "api/route.h"
#include "api/target.h"

/* Headers that are looked at. Each may come once: a second one is how requests are smuggled past whoever counts otherwise. */
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

/* HEAD: nothing was looked at yet. BODY: checked, perhaps with a problem that is told when the body has been read.
 * WAITING: suspended, until the submission is answered. REPLIED: a response is queued; no handler runs any more. */
enum api_request_stage { API_REQUEST_HEAD, API_REQUEST_BODY, API_REQUEST_WAITING, API_REQUEST_REPLIED };

struct api_request {
	struct api *api;
	struct MHD_Connection *connection;
	struct api_connection *client;
	enum api_request_stage stage;
	char id[17]; /* X-Request-Id */
	uint64_t started_us;
	char *raw;          /* the request target as it came */
	const char *method; /* the library's, valid as long as the request */
	struct api_target target;
	const char *headers[API_HEADER_COUNT]; /* as the method */
	const struct api_route *route;         /* NULL when none fits */
	const char *parameters[API_ROUTE_PARAMETERS_MAX];
	unsigned scope;          /* enum scope mask of the caller */
	enum api_body_kind kind; /* what the body is: JSON, MERGE, WGQUICK or NONE */
	struct api_body body;
	uint64_t body_seen, body_cap, body_expected;
	struct problem problem;   /* what the checks found */
	unsigned status_override; /* 431 with an invalid_request, else 0 */
	bool must_close;          /* framing is in doubt, or the body is not read to its end */
	bool is_secret;           /* the reply is wiped after it was sent */
	json_t *warnings;         /* of a wg-quick body or its spec, owned, or NULL */
	struct change *change;    /* answered, owned */
	void (*finish)(struct api_request *request, struct change *change);
	enum MHD_Result result; /* of the queued reply */
};

/* The library's callbacks; `context` is struct api. */
void *api_request_begin(void *context, const char *uri, struct MHD_Connection *connection);
enum MHD_Result api_request_handle(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                   const char *upload, size_t *upload_size, void **handle);
void api_request_completed(void *context, struct MHD_Connection *connection, void **handle, enum MHD_RequestTerminationCode code);

/* The body as JSON, or NULL when the problem was replied. An empty body is NULL without a reply when the route says it may be. */
json_t *api_request_document(struct api_request *request);
/* A query parameter that is true or false; false with a reply when it is neither. `value` keeps its default when there is none. */
bool api_request_flag(struct api_request *request, const char *name, bool *value);
bool api_request_number(struct api_request *request, const char *name, uint64_t low, uint64_t high, uint64_t *value);
/* The label=k=v parameters as an owned array; false when one was malformed (replied). */
bool api_request_labels(struct api_request *request, struct label **labels, size_t *count);
void api_request_free_labels(struct label *labels, size_t count);
/* The tunnel that the first parameter names, referenced; NULL when the 404 was replied. */
struct snapshot *api_request_tunnel(struct api_request *request);

#endif
