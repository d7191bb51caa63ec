/* Requests that are one edit: create, put, patch or delete a tunnel or a peer, or reconnect a tunnel. */
#ifndef WARREN_API_EDIT_REQUEST_H
#define WARREN_API_EDIT_REQUEST_H

#include "api/request.h"

/* Takes the document, which may be NULL. Submits the route's edit, and replies now or later. */
void api_edit_request_send(struct api_request *request, json_t *document);

#endif
