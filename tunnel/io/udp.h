/* Outer UDP in batches: trains of equally sized datagrams are sent with one system call (UDP_SEGMENT) and received with one (UDP_GRO). A
 * worker has one slab per direction. This is the only place that sends UDP to the network, and the owner first approves each train's address. */
#ifndef WARREN_TUNNEL_IO_UDP_H
#define WARREN_TUNNEL_IO_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/endpoint.h"
#include "tunnel/io/loop.h"

struct udp_batch;
struct udp_socket;

enum { UDP_TOGETHER = 64 };

struct udp_datagram {
	uint8_t *bytes;
	size_t length;
	const union wireguard_endpoint *from;
};

struct udp_counts {
	uint64_t datagrams_sent, bytes_sent, datagrams_received, bytes_received, refused;
};

struct udp_events {
	/* Datagrams in the order of their arrival, at most UDP_TOGETHER of them. Their bytes are valid until the turn ends. */
	void (*received)(void *owner, const struct udp_datagram *datagrams, size_t count);
	/* A socket that was full has room again. */
	void (*writable)(void *owner);
	/* A train is about to go: the owner completes its datagrams. False if it cannot: then none of them goes. */
	bool (*complete)(void *owner);
	/* Whether this address may be sent to. Asked once per train, and again if it waited for room; `datagram` is its first one. */
	bool (*may_send)(void *owner, const union wireguard_endpoint *to, const uint8_t *datagram, size_t length);
	/* The kernel took some of a train to this address (0), or refused all of it (errno; not for its size). Called while a datagram is
	 * reserved: it must not send. */
	void (*tried)(void *owner, const union wireguard_endpoint *to, int error);
};

/* `gso` false sends and receives one by one. NULL when out of memory. */
struct udp_batch *udp_batch_create(struct loop *loop, bool gso);
void udp_batch_free(struct udp_batch *batch);
/* Sends the train that is being gathered. */
void udp_batch_flush(struct udp_batch *batch);

/* Takes the descriptor, also on failure (NULL). */
struct udp_socket *udp_socket_create(struct udp_batch *batch, int descriptor, const struct udp_events *events, void *owner);
void udp_socket_start(struct udp_socket *socket); /* nothing is received before this. Cannot fail */
void udp_socket_free(struct udp_socket *socket);
const struct udp_counts *udp_socket_counts(const struct udp_socket *socket);
/* Room for a datagram of `length` bytes, or NULL while the kernel accepts none. Follow with udp_commit of the same length, or with nothing. */
uint8_t *udp_reserve(struct udp_socket *socket, const union wireguard_endpoint *to, size_t length);
void udp_commit(struct udp_socket *socket, size_t length);

#endif
