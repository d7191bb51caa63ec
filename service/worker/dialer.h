/* Connections to the targets of inbound forwards, the only connections that the control process makes for tunnels. */
#ifndef WARREN_SERVICE_WORKER_DIALER_H
#define WARREN_SERVICE_WORKER_DIALER_H

#include <uv.h>

#include "service/socket/socket_path.h"
#include "service/worker/endpoint_resolver.h"
#include "service/worker/protection.h"
#include "service/worker/want.h"

struct dialer;

/* Borrowed. */
struct dialer_means {
	uv_loop_t *loop;
	struct endpoint_resolver *resolver;
	struct registry *registry;
	const struct protection *protection;
	const struct socket_roots *roots;
	/* Gets the descriptor, or -1 and an errno. Takes the want and the descriptor. */
	void (*answer)(void *owner, struct want *want, int descriptor, int error);
	void *owner;
};

struct dialer *dialer_create(const struct dialer_means *means); /* NULL when out of memory */
void dialer_free(struct dialer *dialer);                        /* once every dial is ended */
/* Takes the want and answers it, perhaps before this returns. The forward is read at once. */
void dialer_start(struct dialer *dialer, const struct spec_forward *forward, struct want *want);
void dialer_give_up(struct dialer *dialer); /* answers all with ETIMEDOUT */
/* Cancels the dials of a worker that died; none is answered. */
void dialer_end_of(struct dialer *dialer, const struct worker *worker);

#endif
