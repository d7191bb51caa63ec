/* What both WireGuard fuzz targets stand on: a cursor over the input, and a node whose env keeps what the device does. A broken promise
 * of the device aborts. */
#ifndef WARREN_TESTS_FUZZ_FUZZ_WIREGUARD_WORLD_H
#define WARREN_TESTS_FUZZ_FUZZ_WIREGUARD_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/wireguard/device.h"
#include "tunnel/wireguard/device_private.h"

#define SECOND UINT64_C(1000000000)

struct cursor {
	const uint8_t *bytes;
	size_t length;
};

static inline uint8_t cursor_byte(struct cursor *cursor)
{
	if (cursor->length == 0)
		return 0;
	cursor->length--;
	return *cursor->bytes++;
}

static inline unsigned cursor_word(struct cursor *cursor)
{
	unsigned high = cursor_byte(cursor);

	return high << 8 | cursor_byte(cursor);
}

/* Up to `size` bytes; the first byte of the input says how many. */
static inline size_t cursor_take(struct cursor *cursor, uint8_t *bytes, size_t size)
{
	size_t length = cursor_byte(cursor);

	length = length > size ? size : length;
	for (size_t i = 0; i < length; i++)
		bytes[i] = cursor_byte(cursor);
	return length;
}

enum { WORLD_QUEUE = 32, WORLD_DATAGRAM = 2048 };

struct world_datagram {
	size_t length;
	union wireguard_endpoint to;
	uint8_t bytes[WORLD_DATAGRAM];
};

struct world_node {
	struct wireguard_device *device;
	struct wireguard_key private_key;
	union wireguard_endpoint address;
	uint8_t inner; /* of 10.0.0.x */
	uint64_t random;
	uint64_t now; /* for the wall clock */
	bool is_full;
	size_t reserved;
	unsigned delivered, count; /* datagrams sent; the last WORLD_QUEUE are kept */
	struct world_datagram sent[WORLD_QUEUE];
	uint8_t room[65536];
};

#define world_must(condition)                                                                                                                        \
	do {                                                                                                                                         \
		if (!(condition))                                                                                                                    \
			__builtin_trap();                                                                                                            \
	} while (0)

void world_start(void);
void world_create(struct world_node *node, uint8_t number);
struct wireguard_peer *world_add(struct world_node *node, const struct wireguard_key *public_key, const union wireguard_endpoint *endpoint,
                                 uint8_t inner, const struct wireguard_key *preshared);
/* The datagram sent `back` datagrams ago, or NULL. */
struct world_datagram *world_sent(struct world_node *node, unsigned back);
/* Hands it in in memory of its exact size. */
void world_receive(struct world_node *node, const union wireguard_endpoint *from, const void *bytes, size_t length, uint64_t now);
/* Lets time pass for a device and looks at what must hold then. */
void world_tick(struct world_node *node, uint64_t now);

#endif
