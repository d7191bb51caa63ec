/* A request that is one edit: a tunnel or a peer is created, put, patched, deleted, or made to connect again. */
#ifndef WARREN_API_EDIT_REQUEST_H
#define WARREN_API_EDIT_REQUEST_H

#include "api/request.h"

/* Takes the document (may be NULL). Submits the edit that the route stands for, and replies, now or later. */
void api_edit_request_send(struct api_request *request, json_t *document);

#endif
