/* The messages that create, change and end a tunnel's runtime in its worker. */
#ifndef WARREN_SERVICE_WORKER_RUNTIME_H
#define WARREN_SERVICE_WORKER_RUNTIME_H

#include "service/registry/registry.h"
#include "service/worker/supervisor.h"

/* Sends PREPARE for `snapshot`; `addresses` as in the entry. With `all_fresh` every socket is sent along, otherwise only the fresh ones. False when
 * out of memory or descriptors: then nothing is sent. */
bool runtime_send_prepare(const struct entry *entry, const struct snapshot *snapshot, const struct socket_list *sockets,
                          const struct message_addresses *addresses, bool all_fresh, uint64_t request);
/* About what the bytes of a PREPARE are: thousands of peers are megabytes. */
size_t runtime_prepare_length(const struct snapshot *snapshot);
/* COMMIT, ABORT, REMOVE or RECONNECT. */
void runtime_send(struct worker *worker, enum message_type type, uint64_t request, uint32_t slot, uint64_t generation);

#endif
