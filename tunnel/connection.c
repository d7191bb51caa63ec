#include "tunnel/connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/place.h"
#include "ipc/wall_clock.h"
#include "tunnel/http/target.h"

#define WAITING_MOST ((size_t)1024)
#define WAITING_OF_SOURCE (WAITING_MOST / 2)

static void count_open(struct connection *connection, int by)
{
	counter *open = &connection->tunnel->counters->connections_open[connection->protocol];
	counter_set(open, counter_read(open) + (uint64_t)(int64_t)by);
}

static void link_in(struct connection *connection, struct tunnel *tunnel)
{
	connection->next = tunnel->connections;
	connection->before = &tunnel->connections;
	if (connection->next != NULL)
		connection->next->before = &connection->next;
	tunnel->connections = connection;
}

static void link_out(struct connection *connection)
{
	*connection->before = connection->next;
	if (connection->next != NULL)
		connection->next->before = connection->before;
}

static void add(struct connection *connection, struct tunnel *tunnel, enum counters_protocol protocol, void (*end)(struct connection *connection))
{
	assert(end != NULL);
	*connection = (struct connection){ .tunnel = tunnel, .proxy = &tunnel->spec, .protocol = protocol, .end = end };
	link_in(connection, tunnel);
	connection->opened_at = (uint64_t)wall_clock_ms();
	connection->failure = COUNTERS_FAILED_CLIENT_GONE; /* unless it comes to something */
	connection_table_add(&tunnel->context->connections, connection);
	count_open(connection, 1);
}

void connection_add(struct connection *connection, struct tunnel *tunnel, enum counters_protocol protocol, void (*end)(struct connection *connection))
{
	add(connection, tunnel, protocol, end);
	tunnel->connection_count++;
}

static size_t count_waiting(const struct tunnel *tunnel, uint64_t source)
{
	size_t count = 0;
	for (const struct connection *at = tunnel->longest_waiting; at != NULL; at = at->shorter)
		count += at->source == source;
	return count;
}

/* The source with the most waiting places. The table is twice as large as the number of places, so there is always a free entry. */
static uint64_t who_has_most(const struct tunnel *tunnel)
{
	struct {
		uint64_t source;
		size_t count;
	} table[2 * WAITING_MOST] = { 0 };
	uint64_t source = 0;
	size_t most = 0;
	assert(tunnel->waiting_count <= WAITING_MOST);
	for (const struct connection *at = tunnel->longest_waiting; at != NULL; at = at->shorter) {
		size_t place = (size_t)((at->source * 0x9e3779b97f4a7c15u) >> 32) % (2 * WAITING_MOST);
		while (table[place].count > 0 && table[place].source != at->source)
			place = (place + 1) % (2 * WAITING_MOST);
		table[place].source = at->source;
		if (++table[place].count <= most)
			continue;
		most = table[place].count;
		source = at->source;
	}
	return source;
}

/* The one of a source that has waited longest; one that is held back only if all are. */
static struct connection *longest_of(const struct tunnel *tunnel, uint64_t source)
{
	struct connection *held = NULL;
	for (struct connection *at = tunnel->longest_waiting; at != NULL; at = at->shorter) {
		if (at->source != source)
			continue;
		if (!at->is_held)
			return at;
		held = held == NULL ? at : held;
	}
	return held;
}

/* The connection to drop for one more of `source`. NULL: there is room. */
static struct connection *who_gives_way(const struct tunnel *tunnel, uint64_t source)
{
	if (count_waiting(tunnel, source) >= WAITING_OF_SOURCE)
		return longest_of(tunnel, source);
	return tunnel->waiting_count >= WAITING_MOST ? longest_of(tunnel, who_has_most(tunnel)) : NULL;
}

void connection_add_waiting(struct connection *connection, struct tunnel *tunnel, uint64_t source, void (*end)(struct connection *connection))
{
	struct connection *gone = who_gives_way(tunnel, source);
	if (gone != NULL) {
		connection_count_failed(gone, COUNTERS_FAILED_LIMIT);
		gone->end(gone);
	}
	add(connection, tunnel, COUNTERS_UNKNOWN, end);
	connection->source = source;
	connection->waits = true;
	connection->longer = tunnel->shortest_waiting;
	if (connection->longer != NULL)
		connection->longer->shorter = connection;
	else
		tunnel->longest_waiting = connection;
	tunnel->shortest_waiting = connection;
	tunnel->waiting_count++;
}

static void stop_waiting(struct connection *connection)
{
	struct tunnel *tunnel = connection->tunnel;
	*(connection->longer == NULL ? &tunnel->longest_waiting : &connection->longer->shorter) = connection->shorter;
	*(connection->shorter == NULL ? &tunnel->shortest_waiting : &connection->shorter->longer) = connection->longer;
	connection->longer = connection->shorter = NULL;
	connection->waits = false;
	tunnel->waiting_count--;
}

void connection_admit(struct connection *connection)
{
	if (!connection->waits)
		return;
	stop_waiting(connection);
	connection->tunnel->connection_count++;
}

void connection_remove(struct connection *connection)
{
	link_out(connection);
	if (connection->waits)
		stop_waiting(connection);
	else
		connection->tunnel->connection_count--;
	count_open(connection, -1);
	connection_table_remove(connection);
	if (!connection->travels)
		access_report_add(&connection->tunnel->context->access_report, connection);
	free(connection->user);
	free(connection->target);
	connection->user = connection->target = NULL;
}

void connection_move(struct connection *connection, struct tunnel *to)
{
	assert(!connection->waits);
	count_open(connection, -1);
	connection->tunnel->connection_count--;
	link_out(connection);
	connection->tunnel = to;
	link_in(connection, to);
	to->connection_count++;
	count_open(connection, 1);
}

void connection_tell_down(struct tunnel *tunnel)
{
	for (struct connection *at = tunnel->connections; at != NULL; at = at->next)
		if (at->down != NULL)
			at->down(at);
}

void connection_end(struct connection *connection, enum query_result why)
{
	connection->result = why;
	connection->end(connection);
}

void connection_set_protocol(struct connection *connection, enum counters_protocol protocol)
{
	count_open(connection, -1);
	connection->protocol = protocol;
	count_open(connection, 1);
}

unsigned connection_spoken(const struct connection *connection)
{
	return connection->is_association ? QUERY_PROTOCOL_UDP : (unsigned)connection->protocol;
}

void connection_set_user(struct connection *connection, const char *user, size_t length)
{
	free(connection->user);
	connection->user = strndup(user, length);
}

void connection_set_target(struct connection *connection, const struct target *target)
{
	bool is_six = target->address.family == AF_INET6;
	free(connection->target);
	if (asprintf(&connection->target, is_six ? "[%s]:%u" : "%s:%u", target->host, (unsigned)target->port) < 0)
		connection->target = NULL;
}

void connection_set_place(struct connection *connection, const struct spec_place *place)
{
	free(connection->target);
	connection->target = place_format(place);
}

void connection_count_ok(struct connection *connection)
{
	connection->result = QUERY_RESULT_OK;
	connection->succeeded++;
	counter_add(&connection->tunnel->counters->connections_ok[connection->protocol], 1);
	if (connection->front != NULL)
		counter_add(&connection->front->connections_ok[connection->protocol], 1);
}

static void add_failed(struct counters_tunnel *counters, enum counters_protocol protocol, enum counters_failure failure)
{
	counter_add(&counters->connections_failed[failure], 1);
	counter_add(&counters->connections_failed_by_protocol[protocol], 1);
}

void connection_count_failed(struct connection *connection, enum counters_failure failure)
{
	connection->result = QUERY_RESULT_FAILED;
	connection->failure = failure;
	connection->failed++;
	add_failed(connection->tunnel->counters, connection->protocol, failure);
	if (connection->front != NULL)
		add_failed(connection->front, connection->protocol, failure);
}

void connection_count_sent(struct connection *connection, size_t bytes)
{
	connection->bytes_sent += bytes;
	tunnel_count_sent(connection->tunnel, bytes);
}

void connection_count_received(struct connection *connection, size_t bytes)
{
	connection->bytes_received += bytes;
	tunnel_count_received(connection->tunnel, bytes);
}

void connection_count_taken(struct connection *connection, struct netstack_stream *stream, size_t bytes)
{
	struct tunnel *tunnel = connection->tunnel;
	connection_count_received(connection, bytes);
	if (stream != NULL)
		netstack_stream_consumed(stream, bytes, loop_now(tunnel->context->loop));
	tunnel_wake(tunnel);
}

bool connection_is_over_limit(const struct connection *connection)
{
	const struct tunnel *tunnel = connection->tunnel;
	return tunnel->spec.limits.connections != 0 && tunnel->connection_count > tunnel->spec.limits.connections;
}
