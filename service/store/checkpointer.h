/* Stores values that change by themselves and must outlive the daemon: the timestamp of the last handshake (W8) and the use of total_bytes.
 * They are kept in memory and written periodically, all tunnels in one transaction. Service's thread only. */
#ifndef WARREN_SERVICE_STORE_CHECKPOINTER_H
#define WARREN_SERVICE_STORE_CHECKPOINTER_H

#include "service/registry/registry.h"
#include "service/store/store.h"

struct checkpointer;

/* Borrows both. NULL when out of memory. */
struct checkpointer *checkpointer_create(struct registry *registry, struct store *store);
void checkpointer_free(struct checkpointer *checkpointer);
/* Something became dirty that should not wait for the next regular checkpoint. */
void checkpointer_hurry(struct checkpointer *checkpointer);
bool checkpointer_is_urgent(const struct checkpointer *checkpointer);
/* Writes every dirty tunnel. Does nothing while another checkpoint is in progress. */
void checkpointer_write(struct checkpointer *checkpointer);

#endif
