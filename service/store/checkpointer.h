/* What changes without being asked for and must outlive the daemon: the timestamp of the last handshake (W8) and the use of total_bytes.
 * Kept in memory and written now and then, all tunnels in one transaction. Service's
 * thread only. */
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
/* Writes every tunnel that is dirty. Nothing while another checkpoint is under way. */
void checkpointer_write(struct checkpointer *checkpointer);

#endif
