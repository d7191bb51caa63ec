/* Changes in progress in the service: the connection is suspended until the answer arrives. */
#ifndef WARREN_API_SUBMISSION_H
#define WARREN_API_SUBMISSION_H

#include "api/request.h"

struct api_submissions;

struct api_submissions *api_submissions_create(void);
void api_submissions_free(struct api_submissions *submissions);
/* Suspends the request and passes the change to the service, which takes it. `finish` runs with the answer on the connection's own thread and
 * replies. The caller must return at once. */
void api_submission_send(struct api_request *request, struct change *change, void (*finish)(struct api_request *request, struct change *change));
/* Waits until every submission is answered; after `patience_ms` the rest is answered that the daemon stops. Then no request is suspended. */
void api_submissions_drain(struct api_submissions *submissions, unsigned patience_ms);

#endif
