#include "tunnel/connection.h"

#include <assert.h>

static void count_open(struct connection *connection, int by)
{
	counter *open = &connection->tunnel->counters->connections_open[connection->protocol];
	counter_set(open, counter_read(open) + (uint64_t)(int64_t)by);
}

void connection_add(struct connection *connection, struct tunnel *tunnel, enum counters_protocol protocol, void (*end)(struct connection *connection))
{
	assert(end != NULL);
	*connection =
	    (struct connection){ .tunnel = tunnel, .next = tunnel->connections, .before = &tunnel->connections, .protocol = protocol, .end = end };
	if (connection->next != NULL)
		connection->next->before = &connection->next;
	tunnel->connections = connection;
	tunnel->connection_count++;
	count_open(connection, 1);
}

void connection_remove(struct connection *connection)
{
	*connection->before = connection->next;
	if (connection->next != NULL)
		connection->next->before = connection->before;
	connection->tunnel->connection_count--;
	count_open(connection, -1);
}

void connection_set_protocol(struct connection *connection, enum counters_protocol protocol)
{
	count_open(connection, -1);
	connection->protocol = protocol;
	count_open(connection, 1);
}

void connection_count_ok(struct connection *connection)
{
	counter_add(&connection->tunnel->counters->connections_ok[connection->protocol], 1);
}

void connection_count_failed(struct connection *connection, enum counters_failure failure)
{
	counter_add(&connection->tunnel->counters->connections_failed[failure], 1);
	counter_add(&connection->tunnel->counters->connections_failed_by_protocol[connection->protocol], 1);
}

bool connection_is_over_limit(const struct connection *connection)
{
	const struct tunnel *tunnel = connection->tunnel;
	return tunnel->spec.limits.connections != 0 && tunnel->connection_count > tunnel->spec.limits.connections;
}
