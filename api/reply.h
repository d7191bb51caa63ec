/* Replies: the body, the common headers, and queueing. One reply per request. */
#ifndef WARREN_API_REPLY_H
#define WARREN_API_REPLY_H

#include "api/request.h"
#include "api/text.h"

/* Creates a response with the text as its body; takes the text. NULL when out of memory; the functions below accept NULL. */
struct MHD_Response *api_reply_create(struct api_request *request, const char *type, struct text *body);
void api_reply_header(struct MHD_Response *response, const char *name, const char *value);
void api_reply_etag(struct MHD_Response *response, uint64_t revision);
/* Adds the common headers, and queues and releases the response. With NULL the connection is closed. */
void api_reply_send(struct api_request *request, unsigned status, struct MHD_Response *response);

void api_reply_json(struct api_request *request, unsigned status, struct text *body); /* takes the text */
/* 200 with the ETag of what the text is about; takes the text and the reference. */
void api_reply_snapshot(struct api_request *request, struct snapshot *snapshot, struct text *body);
/* 307 to the same path and query at another API, "https://ams-1:8470". */
void api_reply_redirect(struct api_request *request, const char *api);
void api_reply_empty(struct api_request *request, unsigned status);
/* `members` as in api_problem_write. */
void api_reply_problem(struct api_request *request, const struct problem *problem, const char *members);
void api_reply_out_of_memory(struct api_request *request);
void api_reply_failure(struct api_request *request, enum problem_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
