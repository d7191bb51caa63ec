#include "fleet/etcd/received.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY ((size_t)16 * 1024)

void etcd_received_clear(struct etcd_received *received)
{
	if (received->bytes != NULL)
		sodium_memzero(received->bytes, received->end);
	free(received->bytes);
	*received = (struct etcd_received){ 0 };
}

static void drop_taken(struct etcd_received *received)
{
	if (received->start == 0)
		return;
	memmove(received->bytes, received->bytes + received->start, received->end - received->start);
	received->end -= received->start;
	received->scanned -= received->start;
	received->start = 0;
}

/* Not realloc, which would leave a copy behind. */
static int grow(struct etcd_received *received, size_t needed)
{
	size_t capacity = received->capacity == 0 ? FIRST_CAPACITY : received->capacity;
	while (capacity < needed)
		capacity *= 2;
	char *bytes = malloc(capacity);
	if (bytes == NULL)
		return ETCD_NO_MEMORY;
	struct etcd_received grown = { bytes, capacity, received->end, received->start, received->scanned };
	if (received->end > 0)
		memcpy(bytes, received->bytes, received->end);
	etcd_received_clear(received);
	*received = grown;
	return ETCD_OK;
}

int etcd_received_add(struct etcd_received *received, const char *bytes, size_t length)
{
	drop_taken(received);
	if (length > ETCD_ANSWER_MAX - received->end)
		return ETCD_TOO_LARGE;
	if (received->end + length > received->capacity && grow(received, received->end + length) != ETCD_OK)
		return ETCD_NO_MEMORY;
	if (length > 0)
		memcpy(received->bytes + received->end, bytes, length);
	received->end += length;
	return ETCD_OK;
}

const char *etcd_received_line(struct etcd_received *received, size_t *length)
{
	if (received->scanned == received->end)
		return NULL;
	const char *line = received->bytes + received->start;
	const char *end = memchr(received->bytes + received->scanned, '\n', received->end - received->scanned);
	if (end == NULL) {
		received->scanned = received->end;
		return NULL;
	}
	*length = (size_t)(end - line);
	received->start = received->scanned = (size_t)(end - received->bytes) + 1;
	return line;
}

const char *etcd_received_rest(const struct etcd_received *received, size_t *length)
{
	*length = received->end - received->start;
	return received->bytes == NULL ? "" : received->bytes + received->start;
}
