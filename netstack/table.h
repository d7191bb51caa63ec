/* Finds a stack's connections by their addresses and ports. */
#ifndef WARREN_NETSTACK_TABLE_H
#define WARREN_NETSTACK_TABLE_H

#include "netstack/stream.h"

/* false: out of memory. */
bool table_insert(struct stack_streams *table, struct netstack_stream *stream);
void table_remove(struct stack_streams *table, struct netstack_stream *stream);
struct netstack_stream *table_find(struct stack_streams *table, const struct netstack_endpoint *local, const struct netstack_endpoint *remote);
void table_clear(struct stack_streams *table);

#endif
