/* One proxied connection as a JSON object, for the API and the access log. What a worker told of it is not trusted: whatever bytes a text has, the
 * object is valid UTF-8 and of bounded length. */
#ifndef WARREN_SERVICE_REGISTRY_CONNECTION_RECORD_H
#define WARREN_SERVICE_REGISTRY_CONNECTION_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/query.h"

#define CONNECTION_ID_SIZE 48
#define CONNECTION_RECORD_MAX 4096u

/* An id names a connection among all workers and all their processes: the worker, when its process was started, and its number there. */
struct connection_id {
	unsigned worker;
	uint64_t term, number;
};
void connection_id_write(const struct connection_id *id, char text[CONNECTION_ID_SIZE]);
/* False for any text that connection_id_write does not write. */
bool connection_id_read(const char *text, struct connection_id *id);

/* Writes the object without a NUL and returns its length. `tunnel` and `pool` are the ids of those that it came to, or NULL. With closed_at it gains
 * the members of one that ended. */
size_t connection_record_write(char out[CONNECTION_RECORD_MAX], const struct connection_id *id, const char *tunnel, const char *pool,
                               const struct query_connection *connection, uint64_t now_ms);

#endif
