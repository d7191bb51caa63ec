#include "ipc/query.h"

const char *query_protocol_name(unsigned protocol)
{
	static const char *const names[] = { "http", "connect", "socks5", "socks4", "forward", "unknown", "udp" };
	_Static_assert(sizeof(names) / sizeof(names[0]) == QUERY_PROTOCOLS, "a name for each protocol");
	return names[protocol];
}

static void put_cursor(struct message_writer *writer, const struct query_cursor *cursor)
{
	message_put_u64(writer, cursor->place);
	message_put_u64(writer, cursor->within);
}

static void get_cursor(struct message_reader *reader, struct query_cursor *cursor)
{
	cursor->place = message_get_u64(reader);
	cursor->within = message_get_u64(reader);
}

void query_encode(struct message_writer *writer, const struct query *query)
{
	const struct query_filter *filter = &query->filter;
	message_put_u64(writer, query->request);
	message_put_u8(writer, query->kind);
	message_put_u8(writer, query->ends);
	message_put_u8(writer, query->counts);
	message_put_u32(writer, query->limit);
	put_cursor(writer, &query->cursor);
	message_put_u64(writer, filter->number);
	message_put_u32(writer, filter->slot);
	message_put_u64(writer, filter->pool);
	message_put_u8(writer, filter->protocol);
	message_put_endpoint(writer, &filter->client);
	message_put_text(writer, filter->user, sizeof(filter->user));
	message_put_text(writer, filter->target, sizeof(filter->target));
}

bool query_decode(struct message_reader *reader, struct query *query)
{
	struct query_filter *filter = &query->filter;
	query->request = message_get_u64(reader);
	query->kind = message_get_u8(reader);
	query->ends = message_get_u8(reader) != 0;
	query->counts = message_get_u8(reader) != 0;
	query->limit = message_get_u32(reader);
	get_cursor(reader, &query->cursor);
	filter->number = message_get_u64(reader);
	filter->slot = message_get_u32(reader);
	filter->pool = message_get_u64(reader);
	filter->protocol = message_get_u8(reader);
	message_get_endpoint(reader, &filter->client);
	message_get_text(reader, filter->user, sizeof(filter->user));
	message_get_text(reader, filter->target, sizeof(filter->target));
	return message_is_whole(reader) && query->kind < QUERY_KINDS && filter->protocol <= QUERY_ANY_PROTOCOL;
}

void query_encode_connection(struct message_writer *writer, const struct query_connection *connection)
{
	message_put_u64(writer, connection->number);
	message_put_u32(writer, connection->slot);
	message_put_u8(writer, connection->protocol);
	message_put_u8(writer, connection->result);
	message_put_u8(writer, connection->failure);
	message_put_endpoint(writer, &connection->client);
	message_put_endpoint(writer, &connection->address);
	message_put_u64(writer, connection->opened_at);
	message_put_u64(writer, connection->closed_at);
	message_put_u64(writer, connection->bytes_sent);
	message_put_u64(writer, connection->bytes_received);
	message_put_text(writer, connection->user, sizeof(connection->user));
	message_put_text(writer, connection->target, sizeof(connection->target));
	message_put_u64(writer, connection->pool);
	message_put_text(writer, connection->session, sizeof(connection->session));
}

bool query_decode_connection(struct message_reader *reader, struct query_connection *connection)
{
	connection->number = message_get_u64(reader);
	connection->slot = message_get_u32(reader);
	connection->protocol = message_get_u8(reader);
	connection->result = message_get_u8(reader);
	connection->failure = message_get_u8(reader);
	message_get_endpoint(reader, &connection->client);
	message_get_endpoint(reader, &connection->address);
	connection->opened_at = message_get_u64(reader);
	connection->closed_at = message_get_u64(reader);
	connection->bytes_sent = message_get_u64(reader);
	connection->bytes_received = message_get_u64(reader);
	message_get_text(reader, connection->user, sizeof(connection->user));
	message_get_text(reader, connection->target, sizeof(connection->target));
	connection->pool = message_get_u64(reader);
	message_get_text(reader, connection->session, sizeof(connection->session));
	return !reader->failed && connection->protocol < QUERY_PROTOCOLS && connection->result < QUERY_RESULTS &&
	       connection->failure < COUNTERS_FAILURES;
}

void query_encode_answer(struct message_writer *writer, const struct queried *answer, const struct message_writer *items)
{
	message_put_u64(writer, answer->request);
	message_put_u8(writer, answer->is_over);
	put_cursor(writer, &answer->cursor);
	message_put_u16(writer, answer->count);
	message_put_bytes(writer, items->bytes, items->length);
	writer->failed |= items->failed;
}

static size_t count_connections(struct message_reader *items)
{
	struct query_connection connection;
	size_t count = 0;
	while (items->left > 0 && query_decode_connection(items, &connection))
		count++;
	return message_is_whole(items) ? count : 0;
}

bool query_decode_answer(struct message_reader *reader, struct queried *answer)
{
	answer->request = message_get_u64(reader);
	answer->is_over = message_get_u8(reader) != 0;
	get_cursor(reader, &answer->cursor);
	answer->count = message_get_u16(reader);
	answer->items = *reader;
	return message_is_whole(reader) || (!reader->failed && count_connections(reader) == answer->count);
}

bool query_are_connections(struct message_reader items)
{
	return count_connections(&items) > 0;
}
