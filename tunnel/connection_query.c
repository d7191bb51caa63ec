#include "tunnel/connection_query.h"

#include <string.h>

#include "tunnel/address.h"
#include "tunnel/connection.h"

/* Of a piece: the work of looking at a chain is 1, at a connection 16. */
#define WORK_MOST 4096
#define WORK_OF_CONNECTION 16

struct walk {
	struct context *context;
	const struct query *query;
	struct query_cursor cursor;
	unsigned work;
	uint16_t count;
	struct message_writer items;
};

/* Filters. */

static bool is_client(const struct connection *connection, const union wireguard_endpoint *wanted)
{
	struct netstack_endpoint address;
	if (wanted->any.sa_family == AF_UNSPEC)
		return true;
	return address_from_host(&address, wanted) && address_is_same_host(&address, &connection->client) &&
	       (address.port == 0 || address.port == connection->client.port);
}

/* "host", with or without the brackets of an IPv6 address, or "host:port". */
static bool is_target(const char *target, const char *wanted)
{
	if (target == NULL)
		return false;
	if (strcmp(target, wanted) == 0)
		return true;
	size_t host = (size_t)(strrchr(target, ':') - target), length = strlen(wanted);
	bool is_bare = target[0] == '[' && wanted[0] != '[';
	if (is_bare)
		return length == host - 2 && memcmp(target + 1, wanted, length) == 0;
	return length == host && memcmp(target, wanted, length) == 0;
}

static bool is_meant(const struct connection *connection, const struct query_filter *filter)
{
	if (filter->slot != QUERY_ANY_SLOT && connection->tunnel->slot != filter->slot)
		return false;
	if (filter->pool != 0 && connection->pool != filter->pool)
		return false;
	if (filter->protocol != QUERY_ANY_PROTOCOL && connection_spoken(connection) != filter->protocol)
		return false;
	if (filter->user[0] != '\0' && (connection->user == NULL || strcmp(connection->user, filter->user) != 0))
		return false;
	return is_client(connection, &filter->client) && (filter->target[0] == '\0' || is_target(connection->target, filter->target));
}

/* The answer. */

static void copy_text(char *to, size_t size, const char *text)
{
	size_t length = text == NULL ? 0 : strnlen(text, size - 1);
	memcpy(to, text == NULL ? "" : text, length);
	memset(to + length, 0, size - length);
}

static void describe_endpoint(union wireguard_endpoint *to, const struct netstack_endpoint *from)
{
	*to = (union wireguard_endpoint){ 0 };
	if (from->family != 0)
		address_to_host(to, from);
}

void connection_query_describe(const struct connection *connection, struct query_connection *to)
{
	to->number = connection->number;
	to->slot = connection->tunnel->slot;
	to->protocol = (uint8_t)connection_spoken(connection);
	to->result = (uint8_t)connection->result;
	to->failure = (uint8_t)connection->failure;
	describe_endpoint(&to->client, &connection->client);
	describe_endpoint(&to->address, &connection->address);
	to->opened_at = connection->opened_at;
	to->closed_at = 0;
	to->bytes_sent = connection->bytes_sent;
	to->bytes_received = connection->bytes_received;
	copy_text(to->user, sizeof(to->user), connection->user);
	copy_text(to->target, sizeof(to->target), connection->target);
	to->pool = connection->pool;
	copy_text(to->session, sizeof(to->session), connection->session);
}

static bool has_room(const struct walk *walk)
{
	return walk->count < walk->query->limit && walk->items.length + QUERY_ITEM_MAX <= QUERY_PIECE_MAX && walk->work < WORK_MOST;
}

static void take(struct walk *walk, struct connection *connection)
{
	struct query_connection item;
	if (!is_meant(connection, &walk->query->filter))
		return;
	walk->count++;
	if (!walk->query->counts) {
		connection_query_describe(connection, &item);
		query_encode_connection(&walk->items, &item);
	}
	if (walk->query->ends)
		connection_end(connection, QUERY_RESULT_CUT);
}

/* The connection of a chain with the highest number below the cursor's. */
static struct connection *next_in_chain(const struct walk *walk)
{
	struct connection *connection = walk->context->connections.chains[walk->cursor.place];
	while (connection != NULL && walk->cursor.within != 0 && connection->number >= walk->cursor.within)
		connection = connection->below;
	return connection;
}

/* True when the walk is over. */
static bool walk_on(struct walk *walk)
{
	while (walk->cursor.place < CONNECTION_TABLE_CHAINS) {
		if (!has_room(walk))
			return false;
		struct connection *connection = next_in_chain(walk);
		walk->work += connection == NULL ? 1 : WORK_OF_CONNECTION;
		if (connection == NULL) {
			walk->cursor = (struct query_cursor){ .place = walk->cursor.place + 1 };
			continue;
		}
		walk->cursor.within = connection->number;
		take(walk, connection);
	}
	return true;
}

void connection_query_answer(struct context *context, const struct query *query)
{
	struct walk walk = { .context = context, .query = query, .cursor = query->cursor };
	struct queried answer = { .request = query->request, .is_over = true };
	struct message_writer writer;
	message_writer_init(&writer);
	message_writer_init(&walk.items);
	struct connection *one = query->filter.number == 0 ? NULL : connection_table_find(&context->connections, query->filter.number);
	if (query->filter.number == 0)
		answer.is_over = walk_on(&walk);
	else if (one != NULL)
		take(&walk, one);
	answer.cursor = walk.cursor;
	answer.count = walk.count;
	query_encode_answer(&writer, &answer, &walk.items);
	message_writer_clear(&walk.items);
	context->send(context, MESSAGE_QUERIED, &writer);
}
