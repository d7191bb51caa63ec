#include "tunnel/pool/link.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/log.h"
#include "tunnel/pool/visit.h"

#define MESSAGES_A_TURN 64
#define WAITING_MOST 1024u            /* messages */
#define WAITING_BYTES_MOST (4u << 20) /* of clients */
#define ENDED_MOST 128u               /* in a message */
#define BYTES_MOST 65536u             /* of a client: a large block */
#define NO_PLACE UINT32_MAX
#define TELL_PAUSE LOOP_SECOND         /* while there is no memory */
#define UNREAD_MOST (10 * LOOP_SECOND) /* without taking a message that waits */

enum { HANDOVER = 1, RETURN, ENDED };

/* A client that has ended, and what is to be counted for its pool. */
struct client_end {
	uint32_t place, serial;
	uint32_t succeeded, failed;
	uint16_t protocol, failure; /* enum counters_protocol, enum counters_failure */
};

/* Both ends are of the same build. No byte of it is padding. */
struct head {
	uint64_t pool;
	uint32_t type;
	uint32_t member;
	uint16_t listen_index, error; /* enum http_error */
	uint32_t count;               /* of the bytes, or of those that have ended, behind it */
	struct client_end end;        /* the place of a client; RETURN: with its results */
	uint16_t is_bounced;          /* RETURN: the client was not taken */
	uint16_t is_later;            /* RETURN: a later request of it than the one that it was handed over with */
};
_Static_assert(sizeof(struct head) == 48 && sizeof(struct client_end) == 20, "the head has no padding");

struct packet {
	struct packet *next;
	struct head head;
	struct poller *client;
	struct block *bytes;
	struct client_end ended[];
};

struct place {
	struct pool_visit *visit; /* NULL: free */
	uint32_t serial, next;    /* of the free ones */
};

struct link {
	struct pools *pools;
	uint32_t worker, incarnation;
	struct poller *poller;
	struct place *places; /* of clients that are there */
	uint32_t place_count, first_free;
	struct pool_visit *guests; /* from there */
	size_t guest_count;
	struct packet *first, **last; /* to be sent */
	size_t waiting, waiting_bytes;
	struct client_end ended[ENDED_MOST];
	uint32_t ended_count;
	struct deferred tell;
	struct deadline unread, tell_again;
	bool is_broken;
};

static struct context *context_of(const struct link *link)
{
	return pools_means(link->pools)->context;
}

uint32_t link_worker(const struct link *link)
{
	return link->worker;
}

uint32_t link_incarnation(const struct link *link)
{
	return link->incarnation;
}

/* Places. */

static bool grow(struct link *link)
{
	uint32_t count = link->place_count == 0 ? 64 : 2 * link->place_count;
	if (link->place_count >= LINK_PLACES)
		return false;
	struct place *places = realloc(link->places, count * sizeof(*places));
	if (places == NULL)
		return false;
	for (uint32_t i = link->place_count; i < count; i++)
		places[i] = (struct place){ .next = i + 1 < count ? i + 1 : NO_PLACE };
	link->first_free = link->place_count;
	link->places = places;
	link->place_count = count;
	return true;
}

static bool take_place(struct link *link, struct pool_visit *visit)
{
	if (link->first_free == NO_PLACE && !grow(link))
		return false;
	visit->link = link;
	visit->place = link->first_free;
	struct place *place = &link->places[visit->place];
	visit->serial = ++place->serial;
	place->visit = visit;
	link->first_free = place->next;
	return true;
}

/* The client at a place, unless it is another one by now. */
static struct pool_visit *at_place(const struct link *link, const struct client_end *end)
{
	const struct place *place = &link->places[end->place];
	return place->serial == end->serial ? place->visit : NULL;
}

static bool is_from_there(const struct pool_visit *visit)
{
	return visit->link_before != NULL;
}

void link_forget(struct pool_visit *visit)
{
	struct link *link = visit->link;
	if (link == NULL)
		return;
	visit->link = NULL;
	if (!is_from_there(visit)) {
		link->places[visit->place].visit = NULL;
		link->places[visit->place].next = link->first_free;
		link->first_free = visit->place;
		return;
	}
	*visit->link_before = visit->link_next;
	if (visit->link_next != NULL)
		visit->link_next->link_before = visit->link_before;
	visit->link_before = NULL;
	link->guest_count--;
}

static void add_guest(struct link *link, struct pool_visit *visit)
{
	visit->link_next = link->guests;
	visit->link_before = &link->guests;
	if (visit->link_next != NULL)
		visit->link_next->link_before = &visit->link_next;
	link->guests = visit;
	link->guest_count++;
}

/* Sending. */

static void free_packet(struct link *link, struct packet *packet)
{
	if (packet->bytes != NULL)
		sodium_memzero(packet->bytes->bytes, packet->bytes->end);
	block_pool_give(context_of(link)->blocks, packet->bytes);
	poller_free(packet->client);
	free(packet);
}

/* 1: sent, 0: later, -1: never. */
static int send_packet(const struct link *link, const struct packet *packet)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec parts[2] = { { .iov_base = (void *)(uintptr_t)&packet->head, .iov_len = sizeof(packet->head) } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	if (packet->head.type == ENDED)
		parts[1] = (struct iovec){ .iov_base = (void *)(uintptr_t)packet->ended, .iov_len = packet->head.count * sizeof(*packet->ended) };
	else if (packet->bytes != NULL)
		parts[1] = (struct iovec){ .iov_base = packet->bytes->bytes + packet->bytes->start, .iov_len = packet->head.count };
	if (packet->client != NULL) {
		int descriptor = poller_descriptor(packet->client);
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.room);
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(&control.head), &descriptor, sizeof(descriptor));
	}
	if (sendmsg(poller_descriptor(link->poller), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 1;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? 0 : -1;
}

static void watch(struct link *link)
{
	poller_set(link->poller, LOOP_READABLE | (link->first == NULL ? 0 : LOOP_WRITABLE));
}

static void expect_reading(struct link *link)
{
	struct loop *loop = context_of(link)->loop;
	deadline_set(loop, &link->unread, link->first == NULL ? LOOP_NEVER : loop_now(loop) + UNREAD_MOST);
}

static void queue_packet(struct link *link, struct packet *packet)
{
	bool is_first = link->first == NULL;
	*link->last = packet;
	link->last = &packet->next;
	link->waiting++;
	link->waiting_bytes += packet->bytes == NULL ? 0 : packet->bytes->capacity;
	if (is_first)
		expect_reading(link);
	watch(link);
}

static struct packet *take_packet(struct link *link)
{
	struct packet *packet = link->first;
	link->first = packet->next;
	if (link->first == NULL)
		link->last = &link->first;
	link->waiting--;
	link->waiting_bytes -= packet->bytes == NULL ? 0 : packet->bytes->capacity;
	return packet;
}

/* Takes the packet unless it can never be sent. */
static bool post(struct link *link, struct packet *packet)
{
	int sent = link->first == NULL ? send_packet(link, packet) : 0;
	if (sent < 0)
		return false;
	if (sent == 0)
		queue_packet(link, packet);
	else
		free_packet(link, packet);
	return true;
}

static bool has_room(const struct link *link)
{
	return !link->is_broken && link->waiting < WAITING_MOST && link->waiting_bytes < WAITING_BYTES_MOST;
}

static struct packet *make_packet(uint32_t type, size_t ended)
{
	struct packet *packet = calloc(1, sizeof(*packet) + ended * sizeof(struct client_end));
	if (packet != NULL)
		packet->head.type = type;
	return packet;
}

/* A client on its way is watched for nothing. */
static void on_nothing(void *owner, int events)
{
	(void)owner, (void)events;
}

/* A packet with a client; false leaves the client to the caller. */
static bool post_client(struct link *link, struct packet *packet, struct poller *client, struct block *bytes)
{
	packet->client = client;
	packet->bytes = bytes;
	packet->head.count = bytes == NULL ? 0 : bytes->end - bytes->start;
	int before = poller_events(client);
	poller_set_owner(client, on_nothing, NULL);
	poller_set(client, 0);
	poller_set_sole(client, false);
	if (post(link, packet))
		return true;
	poller_set(client, before);
	free(packet);
	return false;
}

bool link_hand_over(struct link *link, struct pool_visit *visit, struct poller *client, struct block *bytes, uint16_t listen_index)
{
	struct packet *packet = has_room(link) ? make_packet(HANDOVER, 0) : NULL;
	if (packet == NULL || !take_place(link, visit)) {
		free(packet);
		return false;
	}
	packet->head.pool = visit->pool->number;
	packet->head.member = visit->member;
	packet->head.listen_index = listen_index;
	packet->head.end.place = visit->place;
	packet->head.end.serial = visit->serial;
	if (post_client(link, packet, client, bytes))
		return true;
	link_forget(visit);
	return false;
}

/* There was no memory for it. */
static struct client_end end_without_memory(uint32_t place, uint32_t serial)
{
	return (struct client_end){ .place = place, .serial = serial, .failed = 1, .protocol = COUNTERS_UNKNOWN, .failure = COUNTERS_FAILED_MEMORY };
}

static struct client_end end_of(const struct pool_visit *visit)
{
	const struct connection *connection = visit->connection;
	if (connection == NULL)
		return end_without_memory(visit->place, visit->serial);
	return (struct client_end){ .place = visit->place,
		                    .serial = visit->serial,
		                    .succeeded = connection->succeeded,
		                    .failed = connection->failed,
		                    .protocol = (uint16_t)connection->protocol,
		                    .failure = (uint16_t)connection->failure };
}

bool link_give_back(struct pool_visit *visit, struct poller *client, struct block *bytes, enum http_error error)
{
	struct link *link = visit->link;
	struct packet *packet = link != NULL && has_room(link) ? make_packet(RETURN, 0) : NULL;
	if (packet == NULL)
		return false;
	packet->head.pool = visit->pool->number;
	packet->head.error = (uint16_t)error;
	packet->head.is_later = visit->is_later;
	packet->head.end = end_of(visit);
	if (!post_client(link, packet, client, bytes))
		return false;
	link_forget(visit);
	visit_end(visit);
	return true;
}

static void tell(void *owner)
{
	struct link *link = owner;
	struct packet *packet = link->ended_count == 0 ? NULL : make_packet(ENDED, link->ended_count);
	if (packet == NULL && link->ended_count > 0)
		deadline_set(context_of(link)->loop, &link->tell_again, loop_now(context_of(link)->loop) + TELL_PAUSE);
	if (packet == NULL)
		return;
	memcpy(packet->ended, link->ended, link->ended_count * sizeof(*link->ended));
	packet->head.count = link->ended_count;
	link->ended_count = 0;
	if (!post(link, packet))
		free_packet(link, packet); /* the link is dead, which its poller will tell */
}

static void tell_end(struct link *link, struct client_end end)
{
	if (link->ended_count == ENDED_MOST)
		tell(link);
	if (link->ended_count < ENDED_MOST)
		link->ended[link->ended_count++] = end;
	deferred_queue(context_of(link)->loop, &link->tell);
}

void link_tell_ended(struct pool_visit *visit)
{
	if (visit->link != NULL)
		tell_end(visit->link, end_of(visit));
}

/* Receiving. */

struct received {
	struct head head;
	uint8_t bytes[BYTES_MOST];
};

struct letter {
	const struct head *head;
	const uint8_t *bytes;
	int descriptor; /* -1: none */
	bool is_cut;    /* its descriptor could not be received */
};

static int option(int descriptor, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);
	return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

/* A stream socket that is connected or was. */
static bool is_client(int descriptor)
{
	int domain = option(descriptor, SO_DOMAIN), protocol = option(descriptor, SO_PROTOCOL);
	bool is_inet = (domain == AF_INET || domain == AF_INET6) && protocol == IPPROTO_TCP;
	bool is_unix = domain == AF_UNIX && protocol == 0;
	return (is_inet || is_unix) && option(descriptor, SO_TYPE) == SOCK_STREAM && option(descriptor, SO_ACCEPTCONN) == 0;
}

static struct block *copy_bytes(struct link *link, const struct letter *letter)
{
	uint32_t length = letter->head->count;
	struct block *block = block_pool_take(context_of(link)->blocks, false);
	if (block != NULL && block->capacity < length) {
		block_pool_give(context_of(link)->blocks, block);
		block = block_pool_take(context_of(link)->blocks, true);
	}
	if (block == NULL)
		return NULL;
	memcpy(block->bytes, letter->bytes, length);
	block->end = length;
	return block;
}

static void count_for_pool(const struct pool_visit *visit, const struct client_end *end)
{
	struct counters_tunnel *counters = visit->pool->front->counters;
	counter_add(&counters->connections_ok[end->protocol], end->succeeded);
	counter_add(&counters->connections_failed[end->failure], end->failed);
	counter_add(&counters->connections_failed_by_protocol[end->protocol], end->failed);
}

/* It is answered as ended: nothing can be done for it here. */
static void refuse(struct link *link, const struct head *head)
{
	tell_end(link, end_without_memory(head->end.place, head->end.serial));
}

/* A pool or member that is not known here, perhaps not yet or no more: the home chooses again. */
static bool bounce(struct link *link, const struct letter *letter, struct poller *client, struct block *bytes)
{
	struct packet *packet = has_room(link) ? make_packet(RETURN, 0) : NULL;
	if (packet == NULL)
		return false;
	packet->head.pool = letter->head->pool;
	packet->head.error = HTTP_ERROR_DESTINATION_UNAVAILABLE;
	packet->head.is_bounced = 1;
	packet->head.end.place = letter->head->end.place;
	packet->head.end.serial = letter->head->end.serial;
	packet->head.end.protocol = COUNTERS_UNKNOWN;
	return post_client(link, packet, client, bytes);
}

static struct pool_visit *receive_visit(struct link *link, const struct head *head)
{
	struct pool *pool = pools_find(link->pools, head->pool);
	bool is_known = pool != NULL && pool->front == NULL && pool->home == link->worker && link->guest_count < LINK_PLACES;
	struct pool_visit *visit = is_known ? visit_receive(pool, head->member) : NULL;
	if (visit == NULL)
		return NULL;
	visit->link = link;
	visit->place = head->end.place;
	visit->serial = head->end.serial;
	add_guest(link, visit);
	return visit;
}

static bool on_handover(struct link *link, const struct letter *letter)
{
	struct context *context = context_of(link);
	struct link_arrival arrival = { .listen_index = letter->head->listen_index };
	struct poller *client = letter->descriptor < 0 ? NULL : poller_create(context->loop, letter->descriptor, on_nothing, NULL);
	arrival.bytes = client == NULL ? NULL : copy_bytes(link, letter);
	arrival.client = client;
	if (client == NULL && letter->descriptor >= 0)
		close(letter->descriptor);
	if (arrival.bytes == NULL) {
		poller_free(client);
		refuse(link, letter->head);
		return true;
	}
	arrival.visit = receive_visit(link, letter->head);
	if (arrival.visit != NULL) {
		pools_means(link->pools)->arrived(context, &arrival);
		return true;
	}
	if (!bounce(link, letter, client, arrival.bytes)) {
		poller_free(client);
		block_pool_give(context->blocks, arrival.bytes);
		refuse(link, letter->head);
	}
	return true;
}

static bool on_return(struct link *link, const struct letter *letter)
{
	const struct head *head = letter->head;
	struct context *context = context_of(link);
	if (head->end.place >= link->place_count || head->error >= HTTP_ERRORS || head->end.protocol >= COUNTERS_PROTOCOLS ||
	    head->end.failure >= COUNTERS_FAILURES) {
		if (letter->descriptor >= 0)
			close(letter->descriptor);
		return false;
	}
	struct pool_visit *visit = at_place(link, &head->end);
	struct poller *client = visit == NULL || letter->descriptor < 0 ? NULL : poller_create(context->loop, letter->descriptor, on_nothing, NULL);
	if (client == NULL && letter->descriptor >= 0)
		close(letter->descriptor);
	if (visit == NULL)
		return true;
	count_for_pool(visit, &head->end);
	link_forget(visit);
	struct link_arrival arrival = { .visit = visit, .client = client };
	arrival.bytes = client == NULL ? NULL : copy_bytes(link, letter);
	if (arrival.bytes == NULL) {
		poller_free(client);
		visit_end(visit);
		return true;
	}
	arrival.error = (enum http_error)head->error;
	arrival.is_bounced = head->is_bounced != 0;
	if (head->is_later != 0)
		visit_begin_request(visit);
	pools_means(link->pools)->arrived(context, &arrival);
	return true;
}

static bool on_ended(struct link *link, const struct letter *letter)
{
	if (letter->head->count > ENDED_MOST)
		return false;
	for (uint32_t i = 0; i < letter->head->count; i++) {
		struct client_end end;
		memcpy(&end, letter->bytes + i * sizeof(end), sizeof(end));
		if (end.place >= link->place_count || end.protocol >= COUNTERS_PROTOCOLS || end.failure >= COUNTERS_FAILURES)
			return false;
		struct pool_visit *visit = at_place(link, &end);
		if (visit == NULL)
			continue; /* its pool has ended here */
		count_for_pool(visit, &end);
		link_forget(visit);
		visit_end(visit);
	}
	return true;
}

/* Takes the descriptor. */
static bool take_letter(struct link *link, const struct letter *letter, size_t length)
{
	const struct head *head = letter->head;
	bool has_client = head->type == HANDOVER || head->type == RETURN;
	size_t unit = head->type == ENDED ? sizeof(struct client_end) : 1;
	bool is_sound = head->count <= BYTES_MOST && length == head->count * unit && (letter->descriptor >= 0 || letter->is_cut) == has_client;
	if (letter->descriptor >= 0 && (!is_sound || !is_client(letter->descriptor))) {
		close(letter->descriptor);
		return false;
	}
	if (!is_sound)
		return false;
	switch (head->type) {
	case HANDOVER: return on_handover(link, letter);
	case RETURN: return on_return(link, letter);
	case ENDED: return on_ended(link, letter);
	default: return false;
	}
}

/* The message's descriptor, or -1. Others are closed: then it is false. */
static bool take_descriptor(struct msghdr *message, int *descriptor)
{
	bool is_sound = true;
	*descriptor = -1;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
		bool is_rights = part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS;
		size_t count = is_rights ? (part->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
		is_sound = is_sound && is_rights;
		for (size_t i = 0; i < count; i++) {
			int got;
			memcpy(&got, CMSG_DATA(part) + i * sizeof(got), sizeof(got));
			if (*descriptor < 0) {
				*descriptor = got;
				continue;
			}
			close(got);
			is_sound = false;
		}
	}
	if (is_sound || *descriptor < 0)
		return is_sound;
	close(*descriptor);
	*descriptor = -1;
	return false;
}

/* 1: a message was taken, 0: there is none, -1: the link is dead or its protocol broken. */
static int receive(struct link *link)
{
	static struct received received; /* consumed at once */
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec parts[2] = { { .iov_base = &received.head, .iov_len = sizeof(received.head) },
		                  { .iov_base = received.bytes, .iov_len = sizeof(received.bytes) } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof(control.room) };
	ssize_t got = recvmsg(poller_descriptor(link->poller), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	struct letter letter = { .head = &received.head, .bytes = received.bytes };
	bool is_sound = take_descriptor(&message, &letter.descriptor);
	if (got == 0)
		return -1; /* the other end is closed */
	letter.is_cut = (message.msg_flags & MSG_CTRUNC) != 0;
	is_sound = is_sound && (message.msg_flags & MSG_TRUNC) == 0 && (size_t)got >= sizeof(received.head);
	if (!is_sound && letter.descriptor >= 0)
		close(letter.descriptor);
	is_sound = is_sound && take_letter(link, &letter, (size_t)got - sizeof(received.head));
	sodium_memzero(received.bytes, (size_t)got > sizeof(received.head) ? (size_t)got - sizeof(received.head) : 0);
	link->is_broken = !is_sound;
	return is_sound ? 1 : -1;
}

static bool send_waiting(struct link *link)
{
	while (link->first != NULL) {
		int sent = send_packet(link, link->first);
		if (sent < 0)
			return false;
		if (sent == 0)
			break;
		free_packet(link, take_packet(link));
		expect_reading(link);
	}
	watch(link);
	return true;
}

static void on_unread(void *owner)
{
	struct link *link = owner;
	pools_link_ended(link->pools, link, true);
}

static void on_ready(void *owner, int events)
{
	struct link *link = owner;
	int result = (events & LOOP_WRITABLE) == 0 || send_waiting(link) ? 1 : -1;
	if ((events & LOOP_READABLE) == 0 && result > 0)
		return;
	for (int i = 0; i < MESSAGES_A_TURN && result > 0; i++)
		result = receive(link);
	if (result < 0)
		pools_link_ended(link->pools, link, link->is_broken);
}

struct link *link_create(struct pools *pools, uint32_t worker, uint32_t incarnation, int descriptor)
{
	struct link *link = calloc(1, sizeof(*link));
	if (link == NULL) {
		close(descriptor);
		return NULL;
	}
	link->pools = pools;
	link->worker = worker;
	link->incarnation = incarnation;
	link->first_free = NO_PLACE;
	link->last = &link->first;
	deferred_init(&link->tell, tell, link);
	deadline_init(&link->unread, on_unread, link);
	deadline_init(&link->tell_again, tell, link);
	link->poller = poller_create(context_of(link)->loop, descriptor, on_ready, link);
	if (link->poller == NULL) {
		close(descriptor);
		free(link);
		return NULL;
	}
	watch(link);
	return link;
}

/* Those that are there: nobody knows what became of them. */
static void give_up_clients(struct link *link)
{
	const struct client_end lost = { .failed = 1, .protocol = COUNTERS_UNKNOWN, .failure = COUNTERS_FAILED_RESET };
	for (uint32_t i = 0; i < link->place_count; i++) {
		struct pool_visit *visit = link->places[i].visit;
		if (visit == NULL)
			continue;
		count_for_pool(visit, &lost);
		link_forget(visit);
		visit_end(visit);
	}
}

void link_free(struct link *link)
{
	if (link == NULL)
		return;
	give_up_clients(link);
	while (link->guests != NULL)
		link_forget(link->guests);
	while (link->first != NULL)
		free_packet(link, take_packet(link));
	deferred_cancel(context_of(link)->loop, &link->tell);
	deadline_set(context_of(link)->loop, &link->unread, LOOP_NEVER);
	deadline_set(context_of(link)->loop, &link->tell_again, LOOP_NEVER);
	poller_free(link->poller);
	free(link->places);
	free(link);
}
