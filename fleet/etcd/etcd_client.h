/* Does what the fleet's core asks of etcd (fleet/fleet_request.h), and tells what comes back. When to try again is the core's.
 *
 * All on the loop's thread. Nothing blocks. Everything told is from the loop, and never from within a function of this header. */
#ifndef WARREN_FLEET_ETCD_ETCD_CLIENT_H
#define WARREN_FLEET_ETCD_ETCD_CLIENT_H

#include "fleet/etcd/gateway.h"
#include "fleet/fleet_request.h"

/* What it tells. Texts are valid during the call. */
struct etcd_client_listener {
	void *owner;
	/* `error` is why a result is FLEET_UNKNOWN, and from the member of the URL `member`. */
	void (*reply)(void *owner, const struct fleet_reply *reply, enum etcd_error error, const char *member);
	void (*listed)(void *owner, const struct fleet_kv *kv); /* before FLEET_LIST's reply */
	void (*watch_created)(void *owner, int64_t revision, uint64_t cluster);
	void (*watch_event)(void *owner, const struct fleet_kv *kv);
	void (*watch_progress)(void *owner, int64_t revision);                                          /* each event up to it has been told */
	void (*watch_ended)(void *owner, bool is_compacted, enum etcd_error error, const char *member); /* ETCD_OK: etcd ended it */
};

struct etcd_client;

/* NULL when out of memory. */
struct etcd_client *etcd_client_create(uv_loop_t *loop, const struct etcd_client_config *config, const struct etcd_client_listener *listener);
/* Ends all that is under way and tells nothing more. The loop must run once more. Not from within a listener. NULL is allowed. */
void etcd_client_free(struct etcd_client *client);
/* The request is read before this returns. False when out of memory: then nothing comes back. */
bool etcd_client_ask(struct etcd_client *client, const struct fleet_request *request);

#endif
