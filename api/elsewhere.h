/* In a fleet: requests about what another node runs. What is desired of it is answered here, from etcd; what is live is that node's to answer, and
 * the client is sent there (307). */
#ifndef WARREN_API_ELSEWHERE_H
#define WARREN_API_ELSEWHERE_H

#include "api/request.h"

/* Before the route's handler. True: the fleet is asked first, and the handler runs, or a reply is sent, when it has answered. */
bool api_elsewhere_ask(struct api_request *request);

#endif
