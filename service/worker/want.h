/* A worker's request for a host socket, until it is answered. Main thread only. */
#ifndef WARREN_SERVICE_WORKER_WANT_H
#define WARREN_SERVICE_WORKER_WANT_H

#include "ipc/message.h"
#include "service/registry/tunnel_identity.h"
#include "service/worker/supervisor.h"

struct want {
	struct want *next; /* of its holder */
	struct worker *worker;
	unsigned incarnation; /* of the process that asked */
	enum message_type type;
	struct message_want message;
	struct tunnel_identity tunnel; /* that it is for */
};

/* NULL when out of memory. */
struct want *want_create(struct worker *worker, const struct entry *entry, enum message_type type, const struct message_want *message);
void want_free(struct want *want);
/* The tunnel as the worker knew it when it asked; NULL if it was changed, moved or deleted since. */
struct entry *want_entry(const struct want *want, struct registry *registry);

#endif
