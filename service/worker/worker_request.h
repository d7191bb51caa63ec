/* A message that a worker answers, and its answer. Main thread only. */
#ifndef WARREN_SERVICE_WORKER_WORKER_REQUEST_H
#define WARREN_SERVICE_WORKER_WORKER_REQUEST_H

#include "ipc/message.h"
#include "ipc/pool_message.h"
#include "ipc/query.h"

struct worker;

/* The answer to a request. PREPARE has `prepared`, PROBE has `probed`, QUERY has `queried`, POOL_FORGET `forgotten`, POOL_COUNT `counted`, the others
 * `ack`. */
struct worker_reply {
	bool gone;              /* the worker died, or the request could not be sent */
	enum message_type type; /* PREPARED, DONE, PROBED, QUERIED, POOL_FORGOTTEN or POOL_COUNTED */
	struct message_prepared prepared;
	struct message_ack ack;
	struct message_probed probed;
	struct queried queried; /* its items are borrowed for the call */
	struct pool_forgotten forgotten;
	struct pool_counted counted;
};
typedef void reply_handler(void *owner, const struct worker_reply *reply);

/* A message that a worker answers; embedded in what waits for the answer, so that asking allocates nothing and cannot fail. */
struct worker_request {
	/* to be filled in */
	uint32_t slot;
	uint64_t generation;
	enum message_type reply; /* as above; one of another type breaks the protocol */
	bool is_removal;         /* while it waits, a hung worker is killed earlier, because its copies of sockets stay open */
	const char *removed;     /* the object's key, with is_removal; borrowed while it waits */
	uint64_t patience_ms;    /* for which the worker itself may have to wait, besides the seconds that it has for an answer */
	size_t peers;            /* that it is to prepare: it, and what is sent behind it but removals, may be answered so much later */
	reply_handler *handler;
	void *owner;
	/* by worker_expect */
	uint64_t number; /* 0: it does not wait */
	unsigned ticks_left;
	struct worker_request *next;
};

/* Puts the request among those that wait and gives it its number, which is written into the message. It stays where it is until its handler is
 * called, once, or it is forgotten. */
void worker_expect(struct worker *worker, struct worker_request *request);
void worker_forget(struct worker *worker, struct worker_request *request); /* does nothing when it does not wait */

#endif
