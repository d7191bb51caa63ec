#include "service/worker/broker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/endpoint.h"
#include "service/registry/snapshot_make.h"

/* Limits for each tunnel. The control process does not learn when a worker closes a descriptor, so it limits the rate and not the number. */
#define DIALS_PER_SECOND 8192
#define DIALS_BURST 8192
#define RELAYS_PER_SECOND 64
#define RELAYS_BURST 1024 /* as many clients as a tunnel has by default */
#define HEALINGS_PER_SECOND 1
#define HEALINGS_BURST 8
#define QUEUED_MOST 1024 /* descriptors on their way to the worker */
#define LATER_MS 10      /* until postponed requests are tried again */
#define LATER_MOST 4096  /* of them at a time, so that they do not block the loop */

struct broker {
	struct broker_means means;
	struct dialer *dialer;
	uint8_t (*unanswered)[COUNTERS_TUNNELS]; /* [worker][slot]: unanswered requests for sockets */
	/* Those over the rate. The clients of a tunnel can make an honest worker ask too often, so such a one is neither refused nor a reason
	 * to end the worker: it waits. */
	struct want *late, **late_end;
	size_t late_count;
	uv_timer_t timer; /* for them */
};

/* NULL: there is no such slot. */
static uint8_t *unanswered(struct broker *broker, const struct worker *worker, uint32_t slot)
{
	return slot < COUNTERS_TUNNELS ? &broker->unanswered[worker_index(worker)][slot] : NULL;
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

static void answer(struct broker *broker, struct worker *worker, const struct message_want *want, enum message_status status, int descriptor)
{
	struct message_ack message = { .request = want->request, .slot = want->slot, .generation = want->generation, .status = (uint8_t)status };
	struct message_writer writer;
	uint8_t *count = unanswered(broker, worker, want->slot);
	/* None is owed to a worker that died. */
	if (*count > 0)
		(*count)--;
	message_writer_init(&writer);
	message_encode_ack(&writer, &message);
	worker_send(worker, MESSAGE_GRANTED, &writer, &descriptor, descriptor >= 0 ? 1 : 0);
}

/* Frees the want. A process that was replaced gets no answer. */
static void end(struct broker *broker, struct want *want, enum message_status status, int descriptor)
{
	if (worker_incarnation(want->worker) == want->incarnation)
		answer(broker, want->worker, &want->message, status, descriptor);
	else if (descriptor >= 0)
		close(descriptor);
	want_free(want);
}

static void end_with(struct broker *broker, struct want *want, int descriptor, int error)
{
	end(broker, want, descriptor >= 0 ? MESSAGE_STATUS_OK : status_of(error), descriptor);
}

/* The tunnel may have been deleted while its target was dialled. */
static void on_dialled(void *owner, struct want *want, int descriptor, int error)
{
	struct broker *broker = owner;
	if (tunnel_identity_find(&want->tunnel, broker->means.registry) != NULL) {
		end_with(broker, want, descriptor, error);
		return;
	}
	if (descriptor >= 0)
		close(descriptor);
	end(broker, want, MESSAGE_STATUS_UNKNOWN, -1);
}

static struct host_socket *open_fresh(const struct entry *entry, const struct socket_entry *udp, int *error)
{
	uint16_t port = entry->snapshot->spec.listen_port;
	host_socket_share(udp->socket, true);
	struct host_socket *fresh = host_socket_open_wireguard(port, 0, false, true, error);
	host_socket_share(udp->socket, false);
	return fresh;
}

/* The snapshot is created before the worker gets the socket. */
static void grant_udp(struct broker *broker, struct entry *entry, struct want *want, const struct lock_claim *turn)
{
	struct socket_entry *udp = socket_list_udp(&entry->sockets);
	int error = 0;
	if (udp == NULL) {
		end(broker, want, MESSAGE_STATUS_REFUSED, -1);
		return;
	}
	struct snapshot *shown = snapshot_copy(entry->snapshot);
	struct host_socket *fresh = shown == NULL ? NULL : open_fresh(entry, udp, &error);
	int descriptor = fresh == NULL ? -1 : host_socket_duplicate(fresh);
	if (fresh != NULL && descriptor < 0)
		error = errno;
	end_with(broker, want, descriptor, shown == NULL ? ENOMEM : error);
	if (descriptor < 0) {
		host_socket_release(fresh);
		snapshot_release(shown);
		return;
	}
	/* With the same id, so that for the worker it is still the tunnel's UDP socket. */
	host_socket_release(udp->socket);
	udp->socket = fresh;
	shown->udp_port = host_socket_port(fresh);
	snapshot_release(registry_swap(broker->means.registry, entry, turn, shown));
}

/* A want of another UDP socket, which changes what the tunnel has: it waits for the tunnel's turn. */
struct udp_turn {
	struct broker *broker;
	struct want *want;
	struct lock_claim claim;
};

/* The worker may have been replaced meanwhile, and the tunnel changed: then it asks again when it needs to. */
static void on_udp_turn(void *owner)
{
	struct udp_turn *turn = owner;
	struct broker *broker = turn->broker;
	struct want *want = turn->want;
	bool is_current = worker_incarnation(want->worker) == want->incarnation;
	struct entry *entry = is_current ? want_entry(want, broker->means.registry) : NULL;
	if (entry != NULL)
		grant_udp(broker, entry, want, &turn->claim);
	else
		end(broker, want, MESSAGE_STATUS_UNKNOWN, -1);
	lock_queue_release(broker->means.locks, &turn->claim);
	free(turn);
}

static void await_udp_turn(struct broker *broker, struct want *want)
{
	struct udp_turn *turn = calloc(1, sizeof(*turn));
	if (turn == NULL) {
		end(broker, want, MESSAGE_STATUS_NO_MEMORY, -1);
		return;
	}
	*turn = (struct udp_turn){ .broker = broker, .want = want };
	lock_queue_claim_one(broker->means.locks, &turn->claim, want->tunnel.key, on_udp_turn, turn);
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

static bool has_member(const struct spec_pool *pool, const struct snapshot *tunnel)
{
	bool is_member = spec_selection_has(&pool->members, tunnel->id, tunnel->labels, tunnel->label_count);
	for (size_t i = 0; i < pool->rule_count && !is_member; i++)
		is_member = spec_selection_has(&pool->rules[i].members, tunnel->id, tunnel->labels, tunnel->label_count);
	return is_member;
}

/* Whose listener the client came to: the tunnel's, or that of a pool that it is a member of. */
static const struct entry *listening(struct registry *registry, const struct entry *entry, uint64_t number)
{
	if (number == 0)
		return entry;
	const struct entry *pool = registry_pool(registry, number);
	return pool != NULL && has_member(&pool->snapshot->spec.pool, entry->snapshot) ? pool : NULL;
}

static void grant_relay(struct broker *broker, const struct entry *entry, struct want *want)
{
	const struct entry *listener = listening(broker->means.registry, entry, want->message.pool);
	if (listener == NULL || !may_relay(listener, &want->message)) {
		end(broker, want, MESSAGE_STATUS_REFUSED, -1);
		return;
	}
	int descriptor = host_socket_relay(&want->message.local);
	end_with(broker, want, descriptor, errno);
}

static void grant_connection(struct broker *broker, const struct entry *entry, struct want *want)
{
	const struct spec *spec = &entry->snapshot->spec;
	uint16_t index = want->message.index;
	if (index >= spec->forward_count || spec->forwards[index].direction != SPEC_INBOUND)
		end(broker, want, MESSAGE_STATUS_UNKNOWN, -1);
	else
		dialer_start(broker->dialer, &spec->forwards[index], want);
}

static bool is_too_often(const struct broker *broker, const struct worker *worker, struct entry *entry, enum message_type type)
{
	uint64_t now = uv_now(broker->means.loop);
	if (worker_queued_descriptors(worker) >= QUEUED_MOST)
		return true;
	if (type == MESSAGE_WANT_DIAL)
		return !allowance_take(&entry->dial_rate, DIALS_PER_SECOND, DIALS_BURST, now);
	if (type == MESSAGE_WANT_RELAY)
		return !allowance_take(&entry->relay_rate, RELAYS_PER_SECOND, RELAYS_BURST, now);
	return !allowance_take(&entry->udp_rate, HEALINGS_PER_SECOND, HEALINGS_BURST, now);
}

/* Takes the want, unless it is over the rate: false. */
static bool grant(struct broker *broker, struct want *want)
{
	struct entry *entry = want_entry(want, broker->means.registry);
	if (entry == NULL)
		end(broker, want, MESSAGE_STATUS_UNKNOWN, -1);
	else if (is_too_often(broker, want->worker, entry, want->type))
		return false;
	else if (want->type == MESSAGE_WANT_UDP)
		await_udp_turn(broker, want);
	else if (want->type == MESSAGE_WANT_RELAY)
		grant_relay(broker, entry, want);
	else
		grant_connection(broker, entry, want);
	return true;
}

static struct want *take_first(struct broker *broker)
{
	struct want *first = broker->late;
	broker->late = first->next;
	if (broker->late == NULL)
		broker->late_end = &broker->late;
	return first;
}

static void append(struct broker *broker, struct want *late)
{
	late->next = NULL;
	*broker->late_end = late;
	broker->late_end = &late->next;
	broker->late_count++;
}

static void on_later(uv_timer_t *timer)
{
	struct broker *broker = timer->data;
	size_t count = broker->late_count < LATER_MOST ? broker->late_count : LATER_MOST;
	for (size_t i = 0; i < count; i++) {
		struct want *late = take_first(broker);
		broker->late_count--;
		if (!grant(broker, late))
			append(broker, late);
	}
	if (broker->late == NULL)
		uv_timer_stop(timer);
}

static void put_off(struct broker *broker, struct want *want)
{
	append(broker, want);
	if (!uv_is_active((uv_handle_t *)&broker->timer))
		uv_timer_start(&broker->timer, on_later, LATER_MS, LATER_MS);
}

void broker_forget(struct broker *broker, const struct worker *worker)
{
	size_t count = broker->late_count;
	broker->late_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct want *late = take_first(broker);
		if (late->worker == worker)
			want_free(late);
		else
			append(broker, late);
	}
	dialer_end_of(broker->dialer, worker);
	memset(broker->unanswered[worker_index(worker)], 0, sizeof(*broker->unanswered));
}

bool broker_take(struct broker *broker, struct worker *worker, enum message_type type, const struct message_want *message)
{
	uint8_t *count = unanswered(broker, worker, message->slot);
	if (count == NULL || *count >= MESSAGE_WANTS_MOST)
		return false;
	(*count)++;
	const struct entry *entry = slot_table_find(broker->means.slots, worker_index(worker), message->slot, message->generation);
	struct want *want = entry == NULL ? NULL : want_create(worker, entry, type, message);
	if (want == NULL)
		answer(broker, worker, message, entry == NULL ? MESSAGE_STATUS_UNKNOWN : MESSAGE_STATUS_NO_MEMORY, -1);
	else if (!grant(broker, want))
		put_off(broker, want);
	return true;
}

bool broker_is_idle(const struct broker *broker, unsigned workers)
{
	for (unsigned i = 0; i < workers; i++)
		for (uint32_t slot = 0; slot < COUNTERS_TUNNELS; slot++)
			if (broker->unanswered[i][slot] > 0)
				return false;
	return true;
}

void broker_give_up(struct broker *broker)
{
	while (broker->late != NULL) {
		end(broker, take_first(broker), MESSAGE_STATUS_TIMED_OUT, -1);
		broker->late_count--;
	}
	dialer_give_up(broker->dialer);
}

struct broker *broker_create(const struct broker_means *means, unsigned workers)
{
	struct broker *broker = calloc(1, sizeof(*broker));
	if (broker == NULL)
		return NULL;
	const struct dialer_means dialing = { .loop = means->loop,
		                              .resolver = means->resolver,
		                              .protection = means->protection,
		                              .roots = means->roots,
		                              .registry = means->registry,
		                              .answer = on_dialled,
		                              .owner = broker };
	*broker = (struct broker){ .means = *means, .late_end = &broker->late };
	broker->unanswered = calloc(workers, sizeof(*broker->unanswered));
	broker->dialer = dialer_create(&dialing);
	if (broker->unanswered == NULL || broker->dialer == NULL) {
		broker_free(broker);
		return NULL;
	}
	uv_timer_init(means->loop, &broker->timer);
	broker->timer.data = broker;
	return broker;
}

void broker_free(struct broker *broker)
{
	if (broker == NULL)
		return;
	dialer_free(broker->dialer);
	free(broker->unanswered);
	free(broker);
}
