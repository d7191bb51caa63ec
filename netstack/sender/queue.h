/* The bytes of a stream that are written but not yet acknowledged, by their place in the stream. They are borrowed, not copied. */
#ifndef WARREN_NETSTACK_SENDER_QUEUE_H
#define WARREN_NETSTACK_SENDER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct budget;
struct queue_chunk;

struct queue {
	struct budget *budget;    /* of the records; the bytes are charged by the sender */
	struct queue_chunk *ring; /* NULL while empty */
	uint32_t mask;
	uint32_t head;
	uint32_t tail;
	uint32_t hint;  /* the chunk used last */
	uint64_t start; /* place of the first byte held */
	uint64_t end;
	uint8_t *owned; /* after queue_own: the bytes of the only chunk */
};

/* false: out of memory or budget; nothing was appended. */
bool queue_append(struct queue *queue, const void *bytes, size_t length);
/* Drops the bytes before `place`. */
void queue_release(struct queue *queue, uint64_t place);
/* Gathers `length` bytes from `place` on, all of which must be held. Returns the number of parts, at most `max`, and in `*gathered` their
 * number of bytes. */
size_t queue_gather(struct queue *queue, uint64_t place, size_t length, struct iovec *parts, size_t max, size_t *gathered);
/* Copies all bytes held, so that nothing is borrowed any more. */
bool queue_own(struct queue *queue);
void queue_clear(struct queue *queue);

#endif
