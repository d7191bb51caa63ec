/* Provides host sockets that a worker requests. The worker is not trusted: it gets only what the tunnel's spec allows. Main thread only. */
#ifndef WARREN_SERVICE_WORKER_BROKER_H
#define WARREN_SERVICE_WORKER_BROKER_H

#include "service/registry/slot_table.h"
#include "service/worker/dialer.h"

struct broker;

/* Borrowed. */
struct broker_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct lock_queue *locks;
	struct slot_table *slots;
	struct endpoint_resolver *resolver;
	const struct protection *protection;
	const struct socket_roots *roots;
};

struct broker *broker_create(const struct broker_means *means, unsigned workers); /* NULL when out of memory */
/* To be called after every worker is forgotten, the loop's handles are closed and the loop has no more work. */
void broker_free(struct broker *broker);
/* Handles a WANT_UDP, WANT_DIAL or WANT_RELAY. False if more is requested at once than an honest worker would. */
bool broker_take(struct broker *broker, struct worker *worker, enum message_type type, const struct message_want *message);
/* The worker has died, or the service ends: drops its requests. */
void broker_forget(struct broker *broker, const struct worker *worker);
/* For the program that takes this one's place: whether no worker waits for a socket; and answers those that do, with a failure. */
bool broker_is_idle(const struct broker *broker, unsigned workers);
void broker_give_up(struct broker *broker);

#endif
