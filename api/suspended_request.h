/* Changes in progress in the service: the connection is suspended until the answer arrives. */
#ifndef WARREN_API_SUSPENDED_REQUEST_H
#define WARREN_API_SUSPENDED_REQUEST_H

#include "api/request.h"

struct api_suspended_requests;

struct api_suspended_requests *api_suspended_requests_create(void);
void api_suspended_requests_free(struct api_suspended_requests *suspended_requests);
/* Suspends the request and passes the change to the service, which takes it. `finish` runs with the answer on the connection's own thread and
 * replies. The caller must return at once. */
void api_suspended_request_send(struct api_request *request, struct mutation *mutation,
                                void (*finish)(struct api_request *request, struct mutation *mutation));
/* Waits until every suspended request is answered; after `patience_ms` the rest is answered that the daemon stops. Then no request is suspended. */
void api_suspended_requests_drain(struct api_suspended_requests *suspended_requests, unsigned patience_ms);

#endif
