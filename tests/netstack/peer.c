#include "tests/netstack/peer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PERIOD 1000003u
#define PIECE 65536u

static uint8_t *pattern(void)
{
	static uint8_t *bytes;

	if (bytes == NULL) {
		uint64_t state = 12345;
		bytes = malloc(PERIOD + PIECE);
		for (size_t i = 0; i < PERIOD; i++) {
			state = state * 6364136223846793005ull + 1442695040888963407ull;
			bytes[i] = (uint8_t)(state >> 56);
		}
		memcpy(bytes + PERIOD, bytes, PIECE);
	}
	return bytes;
}

void peer_init(struct peer *peer, struct link *link, uint64_t to_send)
{
	*peer = (struct peer){ .link = link, .to_send = to_send };
}

void peer_pump(struct peer *peer)
{
	while (peer->stream != NULL && peer->written < peer->to_send) {
		uint64_t left = peer->to_send - peer->written;
		size_t piece = left < PIECE ? (size_t)left : PIECE;
		size_t taken = netstack_stream_write(peer->stream, pattern() + peer->written % PERIOD, piece, link_now(peer->link));
		if (taken == 0)
			return;
		peer->written += taken;
	}
	if (peer->stream != NULL && !peer->keeps_open)
		netstack_stream_finish(peer->stream, link_now(peer->link));
}

void peer_read(struct peer *peer)
{
	size_t bytes = (size_t)peer->unread;

	peer->unread = 0;
	if (peer->stream != NULL && bytes > 0)
		netstack_stream_consumed(peer->stream, bytes, link_now(peer->link));
}

static void on_connected(void *owner)
{
	struct peer *peer = owner;
	peer->is_connected = true;
	peer_pump(peer);
}

static void on_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct peer *peer = owner;
	size_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		const uint8_t *bytes = parts[i].iov_base;
		size_t left = parts[i].iov_len;
		sum += left;
		if (left == 0)
			peer->is_wrong = true;
		while (left > 0) {
			size_t part = left < PIECE ? left : PIECE;
			if (memcmp(bytes, pattern() + peer->received % PERIOD, part) != 0)
				peer->is_wrong = true;
			peer->received += part;
			bytes += part;
			left -= part;
		}
	}
	if (sum != length || peer->is_finished)
		peer->is_wrong = true;
	peer->unread += length;
	peer->last_at = link_now(peer->link);
	if (!peer->does_not_read)
		peer_read(peer);
}

static void on_finished(void *owner)
{
	struct peer *peer = owner;
	peer->is_finished = true;
}

static void on_acknowledged(void *owner, size_t bytes)
{
	struct peer *peer = owner;
	peer->acknowledged += bytes;
	if (peer->acknowledged > peer->written)
		peer->is_wrong = true;
	peer_pump(peer);
}

static void on_closed(void *owner, enum netstack_error why)
{
	struct peer *peer = owner;
	peer->is_closed = true;
	peer->why = why;
	peer->stream = NULL;
}

const struct netstack_stream_events peer_events = { on_connected, on_received, on_finished, on_acknowledged, on_closed };

int peer_connect(struct peer *peer, int side, uint8_t family, uint16_t port)
{
	struct netstack_endpoint to = link_address(!side, family, port);
	return netstack_stream_connect(link_side(peer->link, side)->stack, &to, &peer_events, peer, link_now(peer->link), &peer->stream);
}

void peer_accept(void *owner, struct netstack_stream *stream)
{
	struct peer *peer = owner;

	peer->stream = stream;
	netstack_stream_set_owner(stream, &peer_events, peer);
	on_connected(peer);
}

struct netstack_listener *peer_listen(struct peer *peer, int side, uint8_t family, uint16_t port)
{
	struct netstack_endpoint at = link_address(side, family, port);
	struct netstack_listener *listener = NULL;

	if (netstack_listen(link_side(peer->link, side)->stack, &at, peer_accept, peer, &listener) != 0)
		abort();
	return listener;
}
