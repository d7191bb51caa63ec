/* Buffers that the stack is done with, and whose bytes an owner may have been shown. They live until the turn is settled, because the owner
 * may keep pointers into them until then. Every such buffer begins with struct retired_buffer and is freed here, by nobody else. */
#ifndef WARREN_NETSTACK_RETIRED_H
#define WARREN_NETSTACK_RETIRED_H

#include <stddef.h>

struct budget;

/* The first member of a buffer from malloc. */
struct retired_buffer {
	struct retired_buffer *next;
	size_t charged; /* bytes of the budget that are given back with it */
};

/* Embedded by value; with no first it is empty. */
struct retired {
	struct retired_buffer *first;
	struct budget *budget; /* that was charged */
};

/* Takes the buffer. NULL is allowed. */
void retired_add(struct retired *retired, struct retired_buffer *buffer);
/* At the end of netstack_settle, and with the stack. */
void retired_free_all(struct retired *retired);

#endif
