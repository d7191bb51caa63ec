#include "netstack/stream_table.h"

#include <stdlib.h>

#include "netstack/packet/random.h"

#define FIRST_SIZE 16

static bool is_same(const struct netstack_endpoint *one, const struct netstack_endpoint *other)
{
	return one->port == other->port && stack_is_same_host(one, other);
}

static bool is_between(const struct netstack_stream *stream, const struct netstack_endpoint *local, const struct netstack_endpoint *remote)
{
	return is_same(&stream->remote, remote) && is_same(&stream->local, local);
}

static uint64_t hash_of(const struct netstack_endpoint *local, const struct netstack_endpoint *remote)
{
	struct {
		uint8_t local[16], remote[16];
		uint16_t local_port, remote_port;
		uint32_t family;
	} key = { .local_port = local->port, .remote_port = remote->port, .family = local->family };
	size_t size = stack_address_size(local->family);

	memcpy(key.local, local->bytes, size);
	memcpy(key.remote, remote->bytes, size);
	return random_hash(&key, sizeof(key));
}

static bool grow(struct stack_streams *table)
{
	size_t size = table->buckets == NULL ? FIRST_SIZE : 2 * (table->mask + 1);
	struct netstack_stream **buckets = calloc(size, sizeof(struct netstack_stream *));

	if (buckets == NULL)
		return table->buckets != NULL; /* longer chains still work */
	for (size_t i = 0; table->buckets != NULL && i <= table->mask; i++) {
		for (struct netstack_stream *stream = table->buckets[i], *next; stream != NULL; stream = next) {
			next = stream->next_in_bucket;
			stream->next_in_bucket = buckets[stream->hash & (size - 1)];
			buckets[stream->hash & (size - 1)] = stream;
		}
	}
	free(table->buckets);
	table->buckets = buckets;
	table->mask = size - 1;
	return true;
}

bool stream_table_insert(struct stack_streams *table, struct netstack_stream *stream)
{
	if ((table->buckets == NULL || table->count > table->mask) && !grow(table))
		return false;
	stream->hash = hash_of(&stream->local, &stream->remote);
	struct netstack_stream **bucket = &table->buckets[stream->hash & table->mask];
	stream->next_in_bucket = *bucket;
	*bucket = stream;
	table->count++;
	return true;
}

void stream_table_remove(struct stack_streams *table, struct netstack_stream *stream)
{
	struct netstack_stream **at = &table->buckets[stream->hash & table->mask];

	while (*at != stream)
		at = &(*at)->next_in_bucket;
	*at = stream->next_in_bucket;
	if (table->latest == stream)
		table->latest = NULL;
	if (--table->count == 0)
		stream_table_clear(table);
}

struct netstack_stream *stream_table_find(struct stack_streams *table, const struct netstack_endpoint *local, const struct netstack_endpoint *remote)
{
	if (table->latest != NULL && is_between(table->latest, local, remote))
		return table->latest;
	if (table->buckets == NULL)
		return NULL;
	struct netstack_stream *stream = table->buckets[hash_of(local, remote) & table->mask];
	while (stream != NULL && !is_between(stream, local, remote)) /* one per bucket on average: the hash has a secret key */
		stream = stream->next_in_bucket;
	if (stream != NULL)
		table->latest = stream;
	return stream;
}

void stream_table_clear(struct stack_streams *table)
{
	free(table->buckets);
	*table = (struct stack_streams){ 0 };
}
