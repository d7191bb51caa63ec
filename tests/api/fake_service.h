/* A service without workers, store or sockets: tunnels live in an array, and its own thread answers changes. It checks as much as the API's tests
 * need, and implements every function of service/service.h. */
#ifndef WARREN_TESTS_API_FAKE_SERVICE_H
#define WARREN_TESTS_API_FAKE_SERVICE_H

#include "service/service.h"

#define FAKE_PRIVATE_KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define FAKE_PEER_KEY "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define FAKE_READ_TOKEN "token-of-a-reader-0000000000000000000000000"
#define FAKE_WRITE_TOKEN "token-of-a-writer-0000000000000000000000000"
#define FAKE_METRICS_TOKEN "token-of-metrics-00000000000000000000000000"

struct service *fake_service_create(void);
/* Answers waiting changes with worker_unavailable. */
void fake_service_free(struct service *service);
/* A tunnel that is up, with `peers` peers of `allowed_ips` allowed IPs each. */
void fake_service_add(struct service *service, const char *id, const char *pool, size_t peers, size_t allowed_ips);
/* Its counters, to be set by the test; live as long as the tunnel. */
struct counters_tunnel *fake_service_counters(struct service *service, const char *id);
struct counters_peer *fake_service_peer_counters(struct service *service, const char *id, size_t peer);
/* While held, changes wait. */
void fake_service_hold(struct service *service, bool held);
size_t fake_service_waiting(struct service *service);
void fake_service_set_ready(struct service *service, bool ready);
/* From here on this process counts as the daemon's. */
void fake_service_own_everyone(struct service *service);

#endif
