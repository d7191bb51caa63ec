#include "netstack/sender/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/packet/budget.h"

#define FIRST_SIZE 8

struct queue_chunk {
	const uint8_t *bytes;
	uint64_t start;
	uint64_t end;
};

static struct queue_chunk *at(const struct queue *queue, uint32_t index)
{
	return &queue->ring[index & queue->mask];
}

static size_t size_of_ring(const struct queue *queue)
{
	return queue->ring == NULL ? 0 : (size_t)(queue->mask + 1) * sizeof(struct queue_chunk);
}

static bool grow(struct queue *queue)
{
	uint32_t size = queue->ring == NULL ? FIRST_SIZE : 2 * (queue->mask + 1);
	if (queue->ring != NULL && budget_is_spent(queue->budget))
		return false;
	struct queue_chunk *ring = malloc(size * sizeof(*ring));
	if (ring == NULL)
		return false;
	budget_charge(queue->budget, size * sizeof(*ring) - size_of_ring(queue));
	for (uint32_t i = queue->head; i != queue->tail; i++)
		ring[i & (size - 1)] = *at(queue, i);
	free(queue->ring);
	queue->ring = ring;
	queue->mask = size - 1;
	return true;
}

bool queue_append(struct queue *queue, const void *bytes, size_t length)
{
	if (queue->head != queue->tail) {
		struct queue_chunk *last = at(queue, queue->tail - 1);
		if (last->bytes + (last->end - last->start) == bytes) {
			last->end += length;
			queue->end += length;
			return true;
		}
	}
	if ((queue->ring == NULL || queue->tail - queue->head > queue->mask) && !grow(queue))
		return false;
	*at(queue, queue->tail++) = (struct queue_chunk){ bytes, queue->end, queue->end + length };
	queue->end += length;
	return true;
}

void queue_release(struct queue *queue, uint64_t place)
{
	assert(place <= queue->end);
	queue->start = place;
	while (queue->head != queue->tail && at(queue, queue->head)->end <= place)
		queue->head++;
	if (queue->head == queue->tail)
		queue_clear(queue);
}

/* New data is near the chunk used last; retransmitted data can be anywhere. */
static uint32_t find(struct queue *queue, uint64_t place)
{
	uint32_t low = queue->head, high = queue->tail - 1;

	if (queue->hint - low <= high - low && at(queue, queue->hint)->start <= place) {
		low = queue->hint;
		if (place < at(queue, low)->end)
			return low;
	}
	while (low != high) {
		uint32_t middle = low + (high - low) / 2;
		if (at(queue, middle)->end <= place)
			low = middle + 1;
		else
			high = middle;
	}
	queue->hint = low;
	return low;
}

size_t queue_gather(struct queue *queue, uint64_t place, size_t length, struct iovec *parts, size_t max, size_t *gathered)
{
	size_t count = 0;

	*gathered = 0;
	if (length == 0)
		return 0;
	assert(place >= queue->start && place + length <= queue->end);
	for (uint32_t index = find(queue, place); length > 0 && count < max; index++) {
		const struct queue_chunk *chunk = at(queue, index);
		size_t part = (size_t)(chunk->end - place);
		if (part > length)
			part = length;
		parts[count++] = (struct iovec){ (void *)(uintptr_t)(chunk->bytes + (place - chunk->start)), part };
		place += part;
		length -= part;
		*gathered += part;
	}
	return count;
}

bool queue_own(struct queue *queue)
{
	size_t length = (size_t)(queue->end - queue->start), done = 0;

	if (length == 0 || queue->owned != NULL)
		return true;
	uint8_t *bytes = malloc(length);
	if (bytes == NULL)
		return false;
	while (done < length) {
		struct iovec part;
		size_t gathered;
		queue_gather(queue, queue->start + done, length - done, &part, 1, &gathered);
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): queued bytes are always gathered. */
		memcpy(bytes + done, part.iov_base, gathered);
		done += gathered;
	}
	queue->tail = queue->head + 1;
	queue->hint = queue->head;
	*at(queue, queue->head) = (struct queue_chunk){ bytes, queue->start, queue->end };
	queue->owned = bytes;
	return true;
}

void queue_clear(struct queue *queue)
{
	budget_release(queue->budget, size_of_ring(queue));
	free(queue->ring);
	free(queue->owned);
	*queue = (struct queue){ .budget = queue->budget, .start = queue->start, .end = queue->end };
	queue->start = queue->end;
}
