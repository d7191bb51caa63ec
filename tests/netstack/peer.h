/* The owner of a stream in the tests: sends a pattern that identifies every byte's place, and checks the received pattern. */
#ifndef WARREN_TESTS_NETSTACK_PEER_H
#define WARREN_TESTS_NETSTACK_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/netstack/link.h"

struct peer {
	struct link *link;
	struct netstack_stream *stream; /* NULL once closed */
	uint64_t to_send;               /* bytes, then a FIN */
	bool keeps_open;                /* sends no FIN */
	bool does_not_read;             /* consumes nothing */
	uint64_t written, acknowledged;
	uint64_t received, unread;
	bool is_wrong; /* a byte differs from the pattern */
	bool is_connected, is_finished, is_closed;
	enum netstack_error why;
	uint64_t last_at; /* of the last byte */
};

extern const struct netstack_stream_events peer_events;
void peer_init(struct peer *peer, struct link *link, uint64_t to_send);
int peer_connect(struct peer *peer, int side, uint8_t family, uint16_t port);
/* An `accept` for netstack_listen: the owner is the peer that takes the stream. */
void peer_accept(void *owner, struct netstack_stream *stream);
struct netstack_listener *peer_listen(struct peer *peer, int side, uint8_t family, uint16_t port);
void peer_pump(struct peer *peer);
void peer_read(struct peer *peer); /* consumes what is unread */

#endif
