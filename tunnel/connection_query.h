/* Answers the control process's questions about connections, a bounded piece at a time (ipc/query.h). */
#ifndef WARREN_TUNNEL_CONNECTION_QUERY_H
#define WARREN_TUNNEL_CONNECTION_QUERY_H

#include "ipc/query.h"
#include "tunnel/context.h"

struct connection;

/* Sends one piece: at most `limit` connections, as many as fit in a message, out of a bounded number that are looked at. With `ends` they are
 * ended. Not from within a callback of a stack or a connection. */
void connection_query_answer(struct context *context, const struct query *query);
/* What others may know of it. */
void connection_query_describe(const struct connection *connection, struct query_connection *to);

#endif
