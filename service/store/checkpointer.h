/* Stores values that change by themselves and must outlive the daemon: the timestamp of the last handshake (W8), the use of total_bytes,
 * and when tokens were used last.
 * They are kept in memory and written periodically, all tunnels in one transaction. Service's thread only. */
#ifndef WARREN_SERVICE_STORE_CHECKPOINTER_H
#define WARREN_SERVICE_STORE_CHECKPOINTER_H

#include "service/registry/registry.h"
#include "service/store/store.h"
#include "service/store/token_table.h"

struct checkpointer;

/* Borrows all. NULL when out of memory. */
struct checkpointer *checkpointer_create(struct registry *registry, struct store *store, struct token_table *tokens);
void checkpointer_free(struct checkpointer *checkpointer);
/* Something became dirty that should not wait for the next regular checkpoint. */
void checkpointer_hurry(struct checkpointer *checkpointer);
bool checkpointer_is_urgent(const struct checkpointer *checkpointer);
/* Writes every dirty tunnel. Does nothing while another checkpoint is in progress. */
void checkpointer_write(struct checkpointer *checkpointer);

#endif
