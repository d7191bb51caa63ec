#include "service/worker/access_log.h"

#include "ipc/query.h"
#include "ipc/wall_clock.h"
#include "service/registry/connection_record.h"
#include "service/worker/worker_process.h"

_Static_assert(CONNECTION_RECORD_MAX <= LINE_WRITER_LINE_MAX, "a connection is one line");

/* The key of what has the slot: a tunnel, or a pool whose client never came to a tunnel. What is being removed has left the table, while its last
 * connections are still told. NULL: the worker has nothing there. */
static const char *key_of(const struct access_log *log, const struct worker *worker, uint32_t slot)
{
	const struct entry *entry = slot_table_at(log->slots, worker_index(worker), slot);
	return entry == NULL ? worker_removing(worker, slot) : entry->key;
}

static const char *pool_of(const struct access_log *log, const struct query_connection *connection)
{
	const struct entry *pool = connection->pool == 0 ? NULL : registry_pool(log->registry, connection->pool);
	return pool == NULL ? NULL : pool->id;
}

bool access_log_take(const struct access_log *log, struct worker *worker, struct message_reader *body)
{
	struct query_connection connection;
	char line[CONNECTION_RECORD_MAX];
	uint64_t now_ms = (uint64_t)wall_clock_ms();
	if (log->writer == NULL || !query_are_connections(*body))
		return false;
	while (body->left > 0 && query_decode_connection(body, &connection)) {
		const char *key = key_of(log, worker, connection.slot);
		const struct connection_id id = { .worker = worker_index(worker), .term = worker_term(worker), .number = connection.number };
		if (key == NULL)
			continue;
		bool is_pool = object_key_kind(key) == SPEC_POOL;
		const char *tunnel = is_pool ? NULL : object_key_id(key), *pool = is_pool ? object_key_id(key) : pool_of(log, &connection);
		if (!allowance_take(&worker->lines, WORKER_LINES_PER_SECOND, WORKER_LINES_BURST, uv_now(log->loop))) {
			line_writer_drop(log->writer);
			continue;
		}
		if (connection.closed_at == 0)
			connection.closed_at = now_ms;
		line_writer_put(log->writer, line, connection_record_write(line, &id, tunnel, pool, &connection, now_ms));
	}
	return true;
}
