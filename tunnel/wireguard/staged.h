/* Packets that wait for a session, oldest first. They are copies; the queue takes no memory while it is empty.
 * A packet without a byte is a keepalive: it waits like the others, but its loss is none. */
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

/* Embedded in the peer. All zero is empty. */
struct wireguard_staged {
	struct wireguard_staged_packet *first;
	struct wireguard_staged_packet **last; /* where the next one is hung; unset while empty */
	unsigned count;
};

/* The number of packets that had to go to make room, 0 or 1, or WIREGUARD_OUT_OF_MEMORY. */
int wireguard_staged_push(struct wireguard_staged *staged, const struct iovec *parts, size_t count, size_t length)
    __attribute__((warn_unused_result));
void wireguard_staged_pop(struct wireguard_staged *staged);
/* Returns how many packets were lost. */
unsigned wireguard_staged_purge(struct wireguard_staged *staged);

/* Copies `length` bytes that lie in `parts` one behind the other; the parts hold exactly as many. */
void wireguard_staged_gather(uint8_t *bytes, size_t length, const struct iovec *parts, size_t count);

#endif
