/* Packets that wait for a session, oldest first. They are copies; an empty queue takes no memory.
 * An empty packet is a keepalive: it waits like the others, but does not count as lost. */
#ifndef WARREN_TUNNEL_WIREGUARD_STAGED_H
#define WARREN_TUNNEL_WIREGUARD_STAGED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { WIREGUARD_STAGED_MAX = 128 };

struct wireguard_staged_packet {
	struct wireguard_staged_packet *next;
	size_t length;
	uint8_t bytes[];
};

/* Embedded in the peer. Starts as all zeros. */
struct wireguard_staged {
	struct wireguard_staged_packet *first;
	struct wireguard_staged_packet **last; /* where to link the next one; unset while empty */
	unsigned count;
};

/* Returns the number of packets dropped to make room, 0 or 1, or WIREGUARD_OUT_OF_MEMORY. */
int wireguard_staged_push(struct wireguard_staged *staged, const struct iovec *parts, size_t count, size_t length)
    __attribute__((warn_unused_result));
void wireguard_staged_pop(struct wireguard_staged *staged);
/* Returns how many packets were lost. */
unsigned wireguard_staged_purge(struct wireguard_staged *staged);

/* Copies `length` bytes from `parts`, which hold exactly as many. */
void wireguard_staged_gather(uint8_t *bytes, size_t length, const struct iovec *parts, size_t count);

#endif
