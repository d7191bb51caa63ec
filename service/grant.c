/* Host sockets that a worker asks for. It gets what the tunnel's spec allows and nothing else: it is not trusted to know. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service/grant_dial.h"
#include "service/service_private.h"
#include "service/snapshot_make.h"
#include "service/spec_text.h"
#include "tunnel/log.h"

/* Of a tunnel. A connection that ends gives its descriptor back to the worker alone, so the sum cannot be bounded here, but the rate. */
#define DIALS_PER_SECOND 8192
#define DIALS_BURST 8192
#define SOCKETS_PER_SECOND 64
#define SOCKETS_BURST 1024 /* as many clients as a tunnel has by default */
#define QUEUED_MOST 1024   /* descriptors on their way to the worker */
#define LATER_MS 10        /* until what was put off is looked at again */

/* A wish that is over the rate. The clients of a tunnel can make an honest worker ask too often, so it is neither refused nor a reason to
 * end the worker: it waits. */
struct late_wish {
	struct late_wish *next;
	struct worker *worker;
	unsigned incarnation;
	enum message_type type;
	struct message_want want;
};

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

void grant_answer(struct worker *worker, const struct message_want *want, int descriptor, int error)
{
	struct message_ack message = { .request = want->request,
		                       .slot = want->slot,
		                       .generation = want->generation,
		                       .status = (uint8_t)(descriptor >= 0 ? MESSAGE_STATUS_OK : status_of(error)) };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_ack(&writer, &message);
	worker_send(worker, MESSAGE_GRANTED, &writer, &descriptor, descriptor >= 0 ? 1 : 0);
}

static void refuse(struct worker *worker, const struct message_want *want, enum message_status status)
{
	struct message_ack message = { .request = want->request, .slot = want->slot, .generation = want->generation, .status = (uint8_t)status };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_ack(&writer, &message);
	worker_send(worker, MESSAGE_GRANTED, &writer, NULL, 0);
}

static struct host_socket *open_fresh(const struct entry *entry, const struct socket_entry *udp, int *error)
{
	if (entry->snapshot->spec.listen_port != 0)
		return host_socket_open_beside(udp->socket, error);
	return host_socket_open_wireguard(0, 0, false, error);
}

/* What is shown of the tunnel is made before the worker gets the socket. */
static void grant_udp(struct service *service, struct worker *worker, struct entry *entry, const struct message_want *want,
                      const struct lane_claim *turn)
{
	struct socket_entry *udp = socket_list_udp(&entry->sockets);
	int error = 0;
	if (udp == NULL) {
		refuse(worker, want, MESSAGE_STATUS_REFUSED);
		return;
	}
	struct snapshot *shown = snapshot_copy(entry->snapshot);
	struct host_socket *fresh = shown == NULL ? NULL : open_fresh(entry, udp, &error);
	int descriptor = fresh == NULL ? -1 : host_socket_duplicate(fresh);
	if (fresh != NULL && descriptor < 0)
		error = errno;
	grant_answer(worker, want, descriptor, shown == NULL ? ENOMEM : error);
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

/* A wish for another UDP socket, which changes what the tunnel has: it waits for the tunnel's turn. */
struct udp_wish {
	struct service *service;
	struct worker *worker;
	unsigned incarnation;
	struct message_want want;
	struct lane_claim turn;
};

/* It is this one's turn. The worker may have been replaced meanwhile, and the tunnel changed: then it asks again when it needs to. */
static void grant_wish(void *owner)
{
	struct udp_wish *wish = owner;
	struct service *service = wish->service;
	struct entry *entry = service_seated(service, wish->worker, wish->want.slot);
	bool is_same = entry != NULL && entry->snapshot->generation == wish->want.generation;
	if (worker_incarnation(wish->worker) == wish->incarnation) {
		if (is_same)
			grant_udp(service, wish->worker, entry, &wish->want, &wish->turn);
		else
			refuse(wish->worker, &wish->want, MESSAGE_STATUS_UNKNOWN);
	}
	lanes_release(service->lanes, &wish->turn);
	free(wish);
}

static void take_udp_wish(struct service *service, struct worker *worker, const struct entry *entry, const struct message_want *want)
{
	struct udp_wish *wish = calloc(1, sizeof(*wish));
	if (wish == NULL) {
		refuse(worker, want, MESSAGE_STATUS_NO_MEMORY);
		return;
	}
	*wish = (struct udp_wish){ .service = service, .worker = worker, .incarnation = worker_incarnation(worker), .want = *want };
	lanes_claim_one(service->lanes, &wish->turn, entry->id, grant_wish, wish);
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

static void grant_relay(struct worker *worker, const struct entry *entry, const struct message_want *want)
{
	if (!may_relay(entry, want)) {
		refuse(worker, want, MESSAGE_STATUS_REFUSED);
		return;
	}
	int descriptor = host_socket_relay(&want->local);
	grant_answer(worker, want, descriptor, errno);
}

static void grant_connection(struct service *service, struct worker *worker, const struct entry *entry, const struct message_want *want)
{
	const struct spec *spec = &entry->snapshot->spec;
	if (want->index >= spec->forward_count || spec->forwards[want->index].direction != SPEC_INBOUND)
		refuse(worker, want, MESSAGE_STATUS_UNKNOWN);
	else
		outside_grant_dial_start(service, worker, &spec->forwards[want->index], want);
}

static bool is_too_often(const struct service *service, const struct worker *worker, struct entry *entry, enum message_type type)
{
	uint64_t now = uv_now(&service->loop);
	if (worker_queued_descriptors(worker) >= QUEUED_MOST)
		return true;
	return type == MESSAGE_WANT_DIAL ? !allowance_take(&entry->dial_rate, DIALS_PER_SECOND, DIALS_BURST, now)
	                                 : !allowance_take(&entry->socket_rate, SOCKETS_PER_SECOND, SOCKETS_BURST, now);
}

/* False: over the rate. */
static bool grant(struct service *service, struct worker *worker, enum message_type type, const struct message_want *want)
{
	struct entry *entry = service_seated(service, worker, want->slot);
	if (entry == NULL || entry->snapshot->generation != want->generation)
		refuse(worker, want, MESSAGE_STATUS_UNKNOWN);
	else if (is_too_often(service, worker, entry, type))
		return false;
	else if (type == MESSAGE_WANT_UDP)
		take_udp_wish(service, worker, entry, want);
	else if (type == MESSAGE_WANT_RELAY)
		grant_relay(worker, entry, want);
	else
		grant_connection(service, worker, entry, want);
	return true;
}

static void on_later(uv_timer_t *timer)
{
	struct service *service = timer->data;
	for (struct late_wish **at = &service->late; *at != NULL;) {
		struct late_wish *wish = *at;
		bool is_gone = worker_incarnation(wish->worker) != wish->incarnation;
		if (!is_gone && !grant(service, wish->worker, wish->type, &wish->want)) {
			at = &wish->next;
			continue;
		}
		*at = wish->next;
		free(wish);
	}
	if (service->late == NULL)
		uv_timer_stop(timer);
}

static void put_off(struct service *service, struct worker *worker, enum message_type type, const struct message_want *want)
{
	struct late_wish *wish = calloc(1, sizeof(*wish)), **end = &service->late;
	if (wish == NULL) {
		refuse(worker, want, MESSAGE_STATUS_NO_MEMORY);
		return;
	}
	*wish = (struct late_wish){ .worker = worker, .incarnation = worker_incarnation(worker), .type = type, .want = *want };
	while (*end != NULL)
		end = &(*end)->next;
	*end = wish;
	if (!uv_is_active((uv_handle_t *)&service->later))
		uv_timer_start(&service->later, on_later, LATER_MS, LATER_MS);
}

static size_t late_count(const struct service *service, const struct worker *worker, uint32_t slot)
{
	size_t count = 0;
	for (const struct late_wish *wish = service->late; wish != NULL; wish = wish->next)
		count += wish->worker == worker && wish->want.slot == slot && wish->incarnation == worker_incarnation(worker);
	return count;
}

void grant_forget_late(struct service *service)
{
	while (service->late != NULL) {
		struct late_wish *wish = service->late;
		service->late = wish->next;
		free(wish);
	}
}

bool grant_take(struct service *service, struct worker *worker, enum message_type type, const struct message_want *want)
{
	/* Honest workers have no more unanswered; other answers than to dials go out at once. */
	size_t unanswered = late_count(service, worker, want->slot);
	if (type == MESSAGE_WANT_DIAL)
		unanswered += grant_dial_count(service, worker, want->slot);
	if (unanswered >= MESSAGE_WANTS_MOST)
		return false;
	if (!grant(service, worker, type, want))
		put_off(service, worker, type, want);
	return true;
}
