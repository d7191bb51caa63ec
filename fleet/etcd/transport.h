/* POST requests over HTTP/1.1, with libcurl on a libuv loop. Nothing blocks: host names are resolved by a thread of libcurl's. Each exchange that is
 * under way has a connection of its own, so a long answer delays no other. The loop's thread only.
 *
 * HTTP/1.1 and not 2, for that reason, and because etcd's gateway answers a stream only when the request's body has ended. */
#ifndef WARREN_FLEET_ETCD_TRANSPORT_H
#define WARREN_FLEET_ETCD_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "fleet/etcd/curl.h"
#include "fleet/etcd/error.h"

#define ETCD_EXCHANGES 16   /* at once */
#define ETCD_CONNECT_MS 700 /* etcd's own limit for a request is 7 s: too long for a heartbeat */
#define ETCD_REQUEST_MS 2000

/* Files in PEM; NULL: none. Copied. Without `ca` the system's are trusted. */
struct etcd_tls {
	const char *ca, *certificate, *key;
};

struct etcd_transport;
struct etcd_exchange;

struct etcd_post {
	const char *base, *path; /* "https://etcd-1:2379", "/v3/kv/range" */
	const char *body;        /* borrowed until the exchange is done or cancelled */
	const char *token;       /* of a login; NULL: none */
	bool is_stream;          /* without a limit of time; told line by line */
};

/* Called from the loop, never from within a function of this header. Texts are valid during the call. */
struct etcd_listener {
	void *owner;
	void (*line)(void *owner, const char *text, size_t length); /* of a stream */
	/* Its exchange is gone. `error`: of the transport. `text`: the answer; of a stream, what followed the last line. */
	void (*done)(void *owner, int error, long status, const char *text, size_t length);
};

/* Borrows the functions. NULL when out of memory. */
struct etcd_transport *etcd_transport_create(uv_loop_t *loop, const struct etcd_curl *curl, const struct etcd_tls *tls);
/* Cancels what is under way, tells nobody, and is gone when the loop has run once more. Not from within a listener. */
void etcd_transport_close(struct etcd_transport *transport);
/* NULL when out of memory. At most ETCD_EXCHANGES. */
struct etcd_exchange *etcd_transport_post(struct etcd_transport *transport, const struct etcd_post *post, const struct etcd_listener *listener);
/* Tells nobody. From within a listener too. */
void etcd_transport_cancel(struct etcd_transport *transport, struct etcd_exchange *exchange);

#endif
