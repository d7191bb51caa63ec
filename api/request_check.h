/* Checks a request by its head, before a byte of the body is read. */
#ifndef WARREN_API_REQUEST_CHECK_H
#define WARREN_API_REQUEST_CHECK_H

#include "api/request.h"

#define CHECK_HEAD_MAX 16384u

/* Fills in the target, the route, the scope and the body's kind and cap, or the problem. The order: framing, target, Host (421), Origin
 * (403), route (404, 405), limits (429), token (401, 403), query (400), type and length of the body (415, 413). */
void api_request_check(struct api_request *request);

#endif
