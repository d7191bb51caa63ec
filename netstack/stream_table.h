/* Finds a stack's connections by their addresses and ports. */
#ifndef WARREN_NETSTACK_STREAM_TABLE_H
#define WARREN_NETSTACK_STREAM_TABLE_H

#include "netstack/stream.h"

/* false: out of memory. */
bool stream_table_insert(struct stack_streams *table, struct netstack_stream *stream);
void stream_table_remove(struct stack_streams *table, struct netstack_stream *stream);
struct netstack_stream *stream_table_find(struct stack_streams *table, const struct netstack_endpoint *local, const struct netstack_endpoint *remote);
void stream_table_clear(struct stack_streams *table);

#endif
