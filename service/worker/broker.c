/* Host sockets that a worker asks for. It gets what the tunnel's spec allows and nothing else: it is not trusted to know. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/endpoint.h"
#include "ipc/log.h"
#include "service/registry/snapshot_make.h"
#include "service/service_private.h"
#include "service/worker/broker_dial.h"

/* Limits for each tunnel. The control process does not learn when a worker closes a descriptor, so it limits the rate and not the number. */
#define DIALS_PER_SECOND 8192
#define DIALS_BURST 8192
#define RELAYS_PER_SECOND 64
#define RELAYS_BURST 1024 /* as many clients as a tunnel has by default */
#define HEALINGS_PER_SECOND 1
#define HEALINGS_BURST 8
#define QUEUED_MOST 1024 /* descriptors on their way to the worker */
#define LATER_MS 10      /* until wants that were put off are looked at again */
#define LATER_MOST 4096  /* of them at a time, so that they do not hold the loop */

/* A want that is over the rate. The clients of a tunnel can make an honest worker ask too often, so it is neither refused nor a reason to
 * end the worker: it waits. */
struct late_want {
	struct late_want *next;
	struct worker *worker;
	enum message_type type;
	struct message_want want;
};

/* NULL: there is no such slot. */
static uint8_t *unanswered(struct service *service, const struct worker *worker, uint32_t slot)
{
	return slot < COUNTERS_TUNNELS ? &service->unanswered[worker_index(worker)][slot] : NULL;
}

static enum message_status status_of(int error)
{
	if (error == EMFILE || error == ENFILE)
		return MESSAGE_STATUS_DESCRIPTORS;
	if (error == ENOMEM || error == ENOBUFS)
		return MESSAGE_STATUS_NO_MEMORY;
	if (error == ETIMEDOUT)
		return MESSAGE_STATUS_TIMED_OUT;
	return error == ECONNREFUSED || error == EACCES || error == ENOENT ? MESSAGE_STATUS_REFUSED : MESSAGE_STATUS_UNREACHABLE;
}

static void answer(struct service *service, struct worker *worker, const struct message_want *want, enum message_status status, int descriptor)
{
	struct message_ack message = { .request = want->request, .slot = want->slot, .generation = want->generation, .status = (uint8_t)status };
	struct message_writer writer;
	uint8_t *count = unanswered(service, worker, want->slot);
	/* None is owed to a worker that died. */
	if (*count > 0)
		(*count)--;
	message_writer_init(&writer);
	message_encode_ack(&writer, &message);
	worker_send(worker, MESSAGE_GRANTED, &writer, &descriptor, descriptor >= 0 ? 1 : 0);
}

void broker_answer(struct service *service, struct worker *worker, const struct message_want *want, int descriptor, int error)
{
	answer(service, worker, want, descriptor >= 0 ? MESSAGE_STATUS_OK : status_of(error), descriptor);
}

static void refuse(struct service *service, struct worker *worker, const struct message_want *want, enum message_status status)
{
	answer(service, worker, want, status, -1);
}

static struct host_socket *open_fresh(const struct entry *entry, const struct socket_entry *udp, int *error)
{
	uint16_t port = entry->snapshot->spec.listen_port;
	host_socket_share(udp->socket, true);
	struct host_socket *fresh = host_socket_open_wireguard(port, 0, false, true, error);
	host_socket_share(udp->socket, false);
	return fresh;
}

/* What is shown of the tunnel is made before the worker gets the socket. */
static void grant_udp(struct service *service, struct worker *worker, struct entry *entry, const struct message_want *want,
                      const struct lock_claim *turn)
{
	struct socket_entry *udp = socket_list_udp(&entry->sockets);
	int error = 0;
	if (udp == NULL) {
		refuse(service, worker, want, MESSAGE_STATUS_REFUSED);
		return;
	}
	struct snapshot *shown = snapshot_copy(entry->snapshot);
	struct host_socket *fresh = shown == NULL ? NULL : open_fresh(entry, udp, &error);
	int descriptor = fresh == NULL ? -1 : host_socket_duplicate(fresh);
	if (fresh != NULL && descriptor < 0)
		error = errno;
	broker_answer(service, worker, want, descriptor, shown == NULL ? ENOMEM : error);
	if (descriptor < 0) {
		host_socket_release(fresh);
		snapshot_release(shown);
		return;
	}
	/* Under the same id: to the worker it is the tunnel's UDP socket as before. */
	host_socket_release(udp->socket);
	udp->socket = fresh;
	shown->udp_port = host_socket_port(fresh);
	snapshot_release(registry_swap(service->registry, entry, turn, shown));
}

/* A want of another UDP socket, which changes what the tunnel has: it waits for the tunnel's turn. */
struct udp_want {
	struct service *service;
	struct worker *worker;
	unsigned incarnation;
	struct message_want want;
	struct lock_claim turn;
};

/* It is this one's turn. The worker may have been replaced meanwhile, and the tunnel changed: then it asks again when it needs to. */
static void grant_in_turn(void *owner)
{
	struct udp_want *late = owner;
	struct service *service = late->service;
	struct entry *entry = service_seated(service, late->worker, late->want.slot);
	bool is_same = entry != NULL && entry->snapshot->generation == late->want.generation;
	if (worker_incarnation(late->worker) == late->incarnation) {
		if (is_same)
			grant_udp(service, late->worker, entry, &late->want, &late->turn);
		else
			refuse(service, late->worker, &late->want, MESSAGE_STATUS_UNKNOWN);
	}
	lock_queue_release(service->locks, &late->turn);
	free(late);
}

static void take_udp_want(struct service *service, struct worker *worker, const struct entry *entry, const struct message_want *want)
{
	struct udp_want *late = calloc(1, sizeof(*late));
	if (late == NULL) {
		refuse(service, worker, want, MESSAGE_STATUS_NO_MEMORY);
		return;
	}
	*late = (struct udp_want){ .service = service, .worker = worker, .incarnation = worker_incarnation(worker), .want = *want };
	lock_queue_claim_one(service->locks, &late->turn, entry->id, grant_in_turn, late);
}

static const struct host_socket *proxy_listener(const struct entry *entry, uint16_t index)
{
	for (size_t i = 0; i < entry->sockets.count; i++)
		if (entry->sockets.list[i].kind == MESSAGE_SOCKET_PROXY && entry->sockets.list[i].index == index)
			return entry->sockets.list[i].socket;
	return NULL;
}

static bool may_relay(const struct entry *entry, const struct message_want *want)
{
	const struct host_socket *listener = proxy_listener(entry, want->index);
	if (listener == NULL || listener->kind != HOST_SOCKET_TCP || (want->local.any.sa_family != AF_INET && want->local.any.sa_family != AF_INET6))
		return false;
	if (endpoint_is_any(&want->local))
		return false;
	return endpoint_is_loopback(&want->local) || endpoint_same_host(&want->local, &listener->bound) ||
	       (endpoint_is_any(&listener->bound) && host_socket_is_local(&want->local));
}

static void grant_relay(struct service *service, struct worker *worker, const struct entry *entry, const struct message_want *want)
{
	if (!may_relay(entry, want)) {
		refuse(service, worker, want, MESSAGE_STATUS_REFUSED);
		return;
	}
	int descriptor = host_socket_relay(&want->local);
	broker_answer(service, worker, want, descriptor, errno);
}

static void grant_connection(struct service *service, struct worker *worker, const struct entry *entry, const struct message_want *want)
{
	const struct spec *spec = &entry->snapshot->spec;
	if (want->index >= spec->forward_count || spec->forwards[want->index].direction != SPEC_INBOUND)
		refuse(service, worker, want, MESSAGE_STATUS_UNKNOWN);
	else
		broker_dial_start(service, worker, &spec->forwards[want->index], want);
}

static bool is_too_often(const struct service *service, const struct worker *worker, struct entry *entry, enum message_type type)
{
	uint64_t now = uv_now(&service->loop);
	if (worker_queued_descriptors(worker) >= QUEUED_MOST)
		return true;
	if (type == MESSAGE_WANT_DIAL)
		return !allowance_take(&entry->dial_rate, DIALS_PER_SECOND, DIALS_BURST, now);
	if (type == MESSAGE_WANT_RELAY)
		return !allowance_take(&entry->relay_rate, RELAYS_PER_SECOND, RELAYS_BURST, now);
	return !allowance_take(&entry->udp_rate, HEALINGS_PER_SECOND, HEALINGS_BURST, now);
}

/* False: over the rate. */
static bool grant(struct service *service, struct worker *worker, enum message_type type, const struct message_want *want)
{
	struct entry *entry = service_seated(service, worker, want->slot);
	if (entry == NULL || entry->snapshot->generation != want->generation)
		refuse(service, worker, want, MESSAGE_STATUS_UNKNOWN);
	else if (is_too_often(service, worker, entry, type))
		return false;
	else if (type == MESSAGE_WANT_UDP)
		take_udp_want(service, worker, entry, want);
	else if (type == MESSAGE_WANT_RELAY)
		grant_relay(service, worker, entry, want);
	else
		grant_connection(service, worker, entry, want);
	return true;
}

static struct late_want *take_first(struct service *service)
{
	struct late_want *first = service->late;
	service->late = first->next;
	if (service->late == NULL)
		service->late_end = &service->late;
	return first;
}

static void append(struct service *service, struct late_want *late)
{
	late->next = NULL;
	*service->late_end = late;
	service->late_end = &late->next;
	service->late_count++;
}

static void on_later(uv_timer_t *timer)
{
	struct service *service = timer->data;
	size_t count = service->late_count < LATER_MOST ? service->late_count : LATER_MOST;
	for (size_t i = 0; i < count; i++) {
		struct late_want *late = take_first(service);
		service->late_count--;
		if (grant(service, late->worker, late->type, &late->want))
			free(late);
		else
			append(service, late);
	}
	if (service->late == NULL)
		uv_timer_stop(timer);
}

static void put_off(struct service *service, struct worker *worker, enum message_type type, const struct message_want *want)
{
	struct late_want *late = calloc(1, sizeof(*late));
	if (late == NULL) {
		refuse(service, worker, want, MESSAGE_STATUS_NO_MEMORY);
		return;
	}
	*late = (struct late_want){ .worker = worker, .type = type, .want = *want };
	append(service, late);
	if (!uv_is_active((uv_handle_t *)&service->later))
		uv_timer_start(&service->later, on_later, LATER_MS, LATER_MS);
}

void broker_forget(struct service *service, const struct worker *worker)
{
	size_t count = service->late_count;
	service->late_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct late_want *late = take_first(service);
		if (late->worker == worker)
			free(late);
		else
			append(service, late);
	}
	broker_dial_end_of(service, worker);
	memset(service->unanswered[worker_index(worker)], 0, COUNTERS_TUNNELS * sizeof(**service->unanswered));
}

bool broker_take(struct service *service, struct worker *worker, enum message_type type, const struct message_want *want)
{
	uint8_t *count = unanswered(service, worker, want->slot);
	if (count == NULL || *count >= MESSAGE_WANTS_MOST)
		return false;
	(*count)++;
	if (!grant(service, worker, type, want))
		put_off(service, worker, type, want);
	return true;
}
