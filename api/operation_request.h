/* Requests that are one operation: create, put, patch or delete a tunnel or a peer, or reconnect a tunnel. */
#ifndef WARREN_API_OPERATION_REQUEST_H
#define WARREN_API_OPERATION_REQUEST_H

#include "api/request.h"

/* Takes the document, which may be NULL. Submits the route's operation, and replies now or later. */
void api_operation_request_send(struct api_request *request, json_t *document);

#endif
