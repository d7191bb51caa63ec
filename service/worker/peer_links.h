/* Links between workers, over which clients of pools travel (pool_message.h): a pair of sockets for each two. Service's thread only. */
#ifndef WARREN_SERVICE_WORKER_PEER_LINKS_H
#define WARREN_SERVICE_WORKER_PEER_LINKS_H

#include "service/worker/supervisor.h"

/* A worker has just become ready: joins it with all that are. */
void peer_links_join(struct supervisor *supervisor, struct worker *fresh);
/* LINK_BROKEN: the worker has closed a link because of the other end. They get another, but only now and then; the other may be innocent, so that
 * nothing else follows. False if the message breaks the protocol. */
bool peer_links_take_broken(struct supervisor *supervisor, struct worker *worker, struct message_reader *body);

#endif
