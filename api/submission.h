/* Changes on their way through the service: the connection is suspended until the answer is there. */
#ifndef WARREN_API_SUBMISSION_H
#define WARREN_API_SUBMISSION_H

#include "api/request.h"

struct api_submissions;

struct api_submissions *api_submissions_create(void);
void api_submissions_free(struct api_submissions *submissions);
/* Suspends the request and hands the change (taken) to the service; `finish` runs on the connection's own thread with the answer
 * and replies. The caller returns at once. */
void api_submission_send(struct api_request *request, struct change *change, void (*finish)(struct api_request *request, struct change *change));
/* Waits until every submission is answered; after `patience_ms` the rest is told that the daemon stops. No request is suspended then. */
void api_submissions_drain(struct api_submissions *submissions, unsigned patience_ms);

#endif
