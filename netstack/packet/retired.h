/* Buffers that the stack no longer needs, but whose bytes may have been passed to `received`. They live until the stack is settled, because
 * owners may keep pointers into them until then. Every such buffer begins with struct retired_buffer and is freed only here. */
#ifndef WARREN_NETSTACK_PACKET_RETIRED_H
#define WARREN_NETSTACK_PACKET_RETIRED_H

#include <stddef.h>

struct budget;

/* The first member of a buffer from malloc. */
struct retired_buffer {
	struct retired_buffer *next;
	size_t charged; /* bytes to return to the budget when it is freed */
};

/* Embedded by value; empty when first is NULL. */
struct retired {
	struct retired_buffer *first;
	struct budget *budget; /* the one that was charged */
};

/* Takes the buffer. NULL is allowed. */
void retired_add(struct retired *retired, struct retired_buffer *buffer);
/* At the end of netstack_settle, and with the stack. */
void retired_free_all(struct retired *retired);

#endif
