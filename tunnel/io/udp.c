#include "tunnel/io/udp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/io/poison.h"

#define SLAB_SIZE 65536
#define SLABS 12          /* received in one turn; the turn then ends to free them. Fits a core's L2 cache */
#define TRAIN_BYTES 65507 /* of one UDP datagram before it is cut (udp(7)) */
#define TRAIN_SEGMENTS 64 /* UDP_MAX_SEGMENTS of every kernel */
#define GATHERED 32       /* datagrams that are handed over without looking for more */
#define RECEIVE_ROUNDS 32 /* system calls per socket and turn, so that no tunnel starves another */

struct udp_batch {
	struct loop *loop;
	bool gso;
	size_t slabs_used;
	struct deferred release;
	bool is_last_release;
	/* Received and not yet handed over. */
	struct udp_datagram gathered[UDP_TOGETHER];
	size_t gathered_count;
	union wireguard_endpoint from[SLABS]; /* where each slab is from */
	/* The train being gathered. */
	struct udp_socket *socket;
	union wireguard_endpoint to;
	size_t segment; /* length of all datagrams but the last */
	size_t length;
	size_t count;
	bool is_full; /* the last one was shorter */
	uint8_t out[SLAB_SIZE];
	uint8_t in[SLABS][SLAB_SIZE];
};

/* A train that the kernel did not accept. */
struct parked {
	union wireguard_endpoint to;
	size_t segment, length;
	uint8_t bytes[];
};

struct udp_socket {
	struct udp_batch *batch;
	struct poller *poller;
	int descriptor;
	bool v6;
	struct parked *parked;
	const struct udp_events *events;
	void *owner;
	struct udp_counts counts;
};

/* It was queued with the turn's first datagram, before tunnels that other datagrams woke; those must settle first. */
static void release_slabs(void *owner)
{
	struct udp_batch *batch = owner;
	batch->is_last_release = !batch->is_last_release;
	if (batch->is_last_release) {
		deferred_queue(batch->loop, &batch->release);
		return;
	}
	poison(batch->in, batch->slabs_used * SLAB_SIZE);
	batch->slabs_used = 0;
}

struct udp_batch *udp_batch_create(struct loop *loop, bool gso)
{
	struct udp_batch *batch = malloc(sizeof(*batch)); /* not zeroed, so that unused slabs take no memory */
	if (batch == NULL)
		return NULL;
	memset(batch, 0, offsetof(struct udp_batch, out));
	batch->loop = loop;
	batch->gso = gso;
	deferred_init(&batch->release, release_slabs, batch);
	poison(batch->in, sizeof(batch->in));
	return batch;
}

void udp_batch_free(struct udp_batch *batch)
{
	if (batch == NULL)
		return;
	deferred_cancel(batch->loop, &batch->release);
	unpoison(batch->in, sizeof(batch->in));
	free(batch);
}

/* Converts the address to the socket's family. */
static socklen_t address_of(const struct udp_socket *sock, const union wireguard_endpoint *endpoint, union wireguard_endpoint *address)
{
	*address = *endpoint;
	if (endpoint->any.sa_family == AF_INET6)
		return sizeof(address->v6);
	if (!sock->v6)
		return sizeof(address->v4);
	*address = (union wireguard_endpoint){ .v6 = { .sin6_family = AF_INET6, .sin6_port = endpoint->v4.sin_port } };
	address->v6.sin6_addr.s6_addr[10] = address->v6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&address->v6.sin6_addr.s6_addr[12], &endpoint->v4.sin_addr, 4);
	return sizeof(address->v6);
}

static int send_once(struct udp_socket *sock, const union wireguard_endpoint *to, uint8_t *bytes, size_t length, size_t segment)
{
	union wireguard_endpoint address;
	struct iovec part = { .iov_base = bytes, .iov_len = length };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_name = &address, .msg_namelen = address_of(sock, to, &address) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control = { .bytes = { 0 } };
	if (length > segment) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_UDP;
		header->cmsg_type = UDP_SEGMENT;
		header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
		uint16_t size = (uint16_t)segment;
		memcpy(CMSG_DATA(header), &size, sizeof(size));
	}
	ssize_t sent;
	do
		sent = sendmsg(sock->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? errno : 0;
}

static bool is_full(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

/* Sends as much of a train as possible. Returns the bytes handled: less than `length` if the kernel's buffer is full. */
static size_t send_train(struct udp_socket *sock, const union wireguard_endpoint *to, uint8_t *bytes, size_t length, size_t segment)
{
	size_t done = 0;
	int refusal = 0;
	bool is_taken = false;
	while (done < length) {
		size_t left = length - done;
		size_t step = sock->batch->gso || left < segment ? left : segment;
		int error = send_once(sock, to, bytes + done, step, segment);
		if (is_full(error))
			break;
		if (error != 0 && step > segment) {
			/* EIO: the route has no checksum offload; EINVAL, EMSGSIZE: the MTU is smaller than the segment. Sending one by one always
			 * works. */
			if (error == EIO)
				sock->batch->gso = false;
			step = segment;
			error = send_once(sock, to, bytes + done, step, segment);
			if (is_full(error))
				break;
		}
		size_t datagrams = (step + segment - 1) / segment;
		if (error != 0) {
			sock->counts.refused += datagrams;
			refusal = error;
		} else {
			is_taken = true;
			sock->counts.datagrams_sent += datagrams;
			sock->counts.bytes_sent += step;
		}
		done += step;
	}
	if (is_taken)
		refusal = 0;
	if (is_taken || (refusal != 0 && refusal != EMSGSIZE))
		sock->events->tried(sock->owner, to, refusal);
	return done;
}

static void park(struct udp_socket *sock, const union wireguard_endpoint *to, const uint8_t *bytes, size_t length, size_t segment)
{
	struct parked *parked = malloc(sizeof(*parked) + length);
	if (parked == NULL) {
		sock->counts.refused += (length + segment - 1) / segment;
		return;
	}
	parked->to = *to;
	parked->segment = segment;
	parked->length = length;
	memcpy(parked->bytes, bytes, length);
	sock->parked = parked;
	poller_set(sock->poller, LOOP_READABLE | LOOP_WRITABLE);
}

/* Asks the owner, and counts the train as refused if it must not go. */
static bool may_send(struct udp_socket *sock, const union wireguard_endpoint *to, const uint8_t *bytes, size_t length, size_t segment)
{
	bool may = sock->events->may_send(sock->owner, to, bytes, length < segment ? length : segment);
	if (!may)
		sock->counts.refused += (length + segment - 1) / segment;
	return may;
}

void udp_batch_flush(struct udp_batch *batch)
{
	struct udp_socket *sock = batch->socket;
	size_t length = batch->length, segment = batch->segment;
	if (sock == NULL || batch->count == 0)
		return;
	batch->count = 0;
	batch->length = 0;
	batch->is_full = false;
	if (!sock->events->complete(sock->owner)) {
		sock->counts.refused += (length + segment - 1) / segment;
		return;
	}
	if (!may_send(sock, &batch->to, batch->out, length, segment))
		return;
	size_t done = send_train(sock, &batch->to, batch->out, length, segment);
	if (done < length)
		park(sock, &batch->to, batch->out + done, length - done, segment);
}

uint8_t *udp_reserve(struct udp_socket *sock, const union wireguard_endpoint *to, size_t length)
{
	struct udp_batch *batch = sock->batch;
	assert(length > 0);
	if (sock->parked != NULL || length > TRAIN_BYTES)
		return NULL;
	if (batch->count > 0 && (batch->socket != sock || batch->is_full || length > batch->segment || batch->count == TRAIN_SEGMENTS ||
	                         batch->length + length > TRAIN_BYTES || !endpoint_equal(&batch->to, to))) {
		udp_batch_flush(batch);
		if (sock->parked != NULL)
			return NULL;
	}
	if (batch->count == 0) {
		batch->socket = sock;
		batch->to = *to;
		batch->segment = length;
	}
	return batch->out + batch->length;
}

void udp_commit(struct udp_socket *sock, size_t length)
{
	struct udp_batch *batch = sock->batch;
	batch->length += length;
	batch->count++;
	batch->is_full = length < batch->segment;
}

/* Receiving. */

static size_t segment_of(struct msghdr *message, size_t length)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_UDP || header->cmsg_type != UDP_GRO)
			continue;
		int size;
		memcpy(&size, CMSG_DATA(header), sizeof(size));
		return size > 0 ? (size_t)size : length;
	}
	return length;
}

static void hand_over(struct udp_socket *sock)
{
	struct udp_batch *batch = sock->batch;
	size_t count = batch->gathered_count;
	batch->gathered_count = 0;
	if (count > 0)
		sock->events->received(sock->owner, batch->gathered, count);
}

/* Cuts a train. */
static void gather(struct udp_socket *sock, uint8_t *slab, size_t filled, size_t segment, const union wireguard_endpoint *from)
{
	struct udp_batch *batch = sock->batch;
	for (size_t at = 0; at < filled; at += segment) {
		size_t size = filled - at < segment ? filled - at : segment;
		sock->counts.datagrams_received++;
		sock->counts.bytes_received += size;
		batch->gathered[batch->gathered_count++] = (struct udp_datagram){ slab + at, size, from };
		if (batch->gathered_count == UDP_TOGETHER)
			hand_over(sock);
	}
	if (batch->gathered_count >= GATHERED)
		hand_over(sock);
}

/* Receives with one system call. False when there is no more. */
static bool receive_once(struct udp_socket *sock)
{
	struct udp_batch *batch = sock->batch;
	if (batch->slabs_used == SLABS) {
		hand_over(sock);
		loop_end_turn(batch->loop);
	}
	deferred_queue(batch->loop, &batch->release);
	uint8_t *slab = batch->in[batch->slabs_used];
	union wireguard_endpoint name, *from = &batch->from[batch->slabs_used];
	struct iovec part = { .iov_base = slab, .iov_len = SLAB_SIZE };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = { .msg_iov = &part,
		                  .msg_iovlen = 1,
		                  .msg_name = &name,
		                  .msg_namelen = sizeof(name),
		                  .msg_control = control.bytes,
		                  .msg_controllen = sizeof(control.bytes) };
	unpoison(slab, SLAB_SIZE);
	ssize_t got = recvmsg(sock->descriptor, &message, MSG_DONTWAIT);
	size_t filled = got > 0 ? (size_t)got : 0;
	poison(slab + filled, SLAB_SIZE - filled);
	if (got < 0)
		return errno == EINTR || errno == ECONNREFUSED;
	if (!endpoint_from(&name.any, from))
		return true;
	batch->slabs_used++;
	gather(sock, slab, filled, segment_of(&message, filled), from);
	return true;
}

static void unpark(struct udp_socket *sock)
{
	struct parked *parked = sock->parked;
	size_t done = parked->length;
	if (may_send(sock, &parked->to, parked->bytes, parked->length, parked->segment))
		done = send_train(sock, &parked->to, parked->bytes, parked->length, parked->segment);
	if (done < parked->length) {
		memmove(parked->bytes, parked->bytes + done, parked->length - done);
		parked->length -= done;
		return;
	}
	free(parked);
	sock->parked = NULL;
	poller_set(sock->poller, LOOP_READABLE);
	sock->events->writable(sock->owner);
}

static void on_ready(void *owner, int events)
{
	struct udp_socket *sock = owner;
	if ((events & LOOP_READABLE) != 0) {
		for (int i = 0; i < RECEIVE_ROUNDS && receive_once(sock); i++)
			;
		hand_over(sock);
	}
	if ((events & LOOP_WRITABLE) != 0 && sock->parked != NULL)
		unpark(sock);
}

struct udp_socket *udp_socket_create(struct udp_batch *batch, int descriptor, const struct udp_events *events, void *owner)
{
	assert(events->received != NULL && events->writable != NULL && events->complete != NULL && events->may_send != NULL && events->tried != NULL);
	struct udp_socket *sock = calloc(1, sizeof(*sock));
	struct poller *poller = sock == NULL ? NULL : poller_create(batch->loop, descriptor, on_ready, sock);
	if (poller == NULL) {
		close(descriptor);
		free(sock);
		return NULL;
	}
	int family = 0, on = 1, dont = IP_PMTUDISC_DONT;
	socklen_t length = sizeof(family);
	getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &length);
	/* The outer packet may be fragmented: a tunnel must not die in an MTU black hole. */
	setsockopt(descriptor, IPPROTO_IP, IP_MTU_DISCOVER, &dont, sizeof(dont));
	if (family == AF_INET6)
		setsockopt(descriptor, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &dont, sizeof(dont));
	if (batch->gso)
		setsockopt(descriptor, SOL_UDP, UDP_GRO, &on, sizeof(on));
	*sock = (struct udp_socket){
		.batch = batch, .poller = poller, .descriptor = descriptor, .v6 = family == AF_INET6, .events = events, .owner = owner
	};
	return sock;
}

void udp_socket_start(struct udp_socket *sock)
{
	poller_set(sock->poller, LOOP_READABLE);
}

void udp_socket_free(struct udp_socket *sock)
{
	if (sock == NULL)
		return;
	if (sock->batch->socket == sock) {
		udp_batch_flush(sock->batch);
		sock->batch->socket = NULL;
	}
	poller_free(sock->poller);
	free(sock->parked);
	free(sock);
}

const struct udp_counts *udp_socket_counts(const struct udp_socket *sock)
{
	return &sock->counts;
}
