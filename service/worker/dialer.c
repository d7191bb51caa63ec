#include "service/worker/dialer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/place.h"
#include "service/socket/host_socket.h"

#define DIALS_MAX 4096
#define DEADLINE_MS 10000

struct dialer {
	struct dialer_means means;
	struct dial *dials;
	size_t count;
};

/* One request: resolves the name and tries its addresses one by one until one answers or the deadline passes. */
struct dial {
	struct dial *next;
	struct dialer *dialer;
	struct want *want; /* NULL: answered */
	enum spec_transport transport;
	struct message_addresses addresses;
	size_t tried;
	int error; /* of the last address */
	struct endpoint_resolver_query *query;
	uv_timer_t timer;
	uv_poll_t poll;
	bool is_polling;
	int descriptor; /* being connected, or -1 */
	unsigned open_handles;
};

struct dialer *dialer_create(const struct dialer_means *means)
{
	struct dialer *dialer = calloc(1, sizeof(*dialer));
	if (dialer != NULL)
		dialer->means = *means;
	return dialer;
}

void dialer_free(struct dialer *dialer)
{
	free(dialer);
}

static void on_closed(uv_handle_t *handle)
{
	struct dial *dial = handle->data;
	if (--dial->open_handles == 0)
		free(dial);
}

static void stop_polling(struct dial *dial)
{
	if (dial->is_polling)
		uv_close((uv_handle_t *)&dial->poll, on_closed);
	dial->is_polling = false;
}

static void end(struct dial *dial)
{
	struct dial **at = &dial->dialer->dials;
	while (*at != dial)
		at = &(*at)->next;
	*at = dial->next;
	dial->dialer->count--;
	if (dial->want != NULL)
		want_free(dial->want);
	endpoint_resolver_cancel(dial->query);
	uv_close((uv_handle_t *)&dial->timer, on_closed);
	stop_polling(dial);
	if (dial->descriptor >= 0)
		close(dial->descriptor);
}

static void answer(struct dialer *dialer, struct want *want, int descriptor, int error)
{
	dialer->means.answer(dialer->means.owner, want, descriptor, error);
}

static void finish(struct dial *dial, int descriptor, int error)
{
	struct want *want = dial->want;
	/* The answer closes the descriptor, whose number may then be that of another thread's. */
	stop_polling(dial);
	if (worker_is_ready(want->worker)) {
		dial->want = NULL;
		answer(dial->dialer, want, descriptor, error);
	} else if (descriptor >= 0) {
		close(descriptor);
	}
	end(dial);
}

static void try_next(struct dial *dial);

/* The poll handle of one address is closed before the next is tried: a handle is bound to its descriptor. */
static void on_poll_closed(uv_handle_t *handle)
{
	struct dial *dial = handle->data;
	dial->open_handles--;
	if (uv_is_closing((uv_handle_t *)&dial->timer)) {
		if (dial->open_handles == 0)
			free(dial);
		return;
	}
	try_next(dial);
}

static void on_connected(uv_poll_t *poll, int status, int events)
{
	struct dial *dial = poll->data;
	int error = 0;
	socklen_t length = sizeof(error);
	(void)events;
	/* libuv has one status for whatever the socket has: the socket itself says which it is. */
	if (getsockopt(dial->descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || (status < 0 && error == 0))
		error = EIO;
	uv_poll_stop(poll);
	if (error == 0) {
		int descriptor = dial->descriptor;
		dial->descriptor = -1;
		finish(dial, descriptor, 0);
		return;
	}
	dial->error = error;
	dial->is_polling = false;
	uv_close((uv_handle_t *)poll, on_poll_closed);
	close(dial->descriptor);
	dial->descriptor = -1;
}

static bool watch(struct dial *dial)
{
	if (uv_poll_init(dial->dialer->means.loop, &dial->poll, dial->descriptor) != 0)
		return false;
	dial->poll.data = dial;
	dial->is_polling = true;
	dial->open_handles++;
	uv_poll_start(&dial->poll, UV_WRITABLE, on_connected);
	return true;
}

/* Nothing is dialled any more for a tunnel that was deleted. */
static bool has_next(const struct dial *dial)
{
	return dial->tried < dial->addresses.count && tunnel_identity_find(&dial->want->tunnel, dial->dialer->means.registry) != NULL;
}

static void try_next(struct dial *dial)
{
	while (has_next(dial)) {
		const union wireguard_endpoint *address = &dial->addresses.list[dial->tried++];
		/* The name may now resolve to one of our own sockets. */
		if (dial->transport == SPEC_TCP && protection_has_address(dial->dialer->means.protection, address)) {
			dial->error = EACCES;
			continue;
		}
		dial->descriptor = host_socket_dial(address, dial->transport);
		if (dial->descriptor >= 0 && watch(dial))
			return;
		dial->error = dial->descriptor < 0 ? errno : ENOMEM;
		if (dial->descriptor >= 0)
			close(dial->descriptor);
		dial->descriptor = -1;
	}
	finish(dial, -1, dial->error == 0 ? EHOSTUNREACH : dial->error);
}

/* The family that came first is dialled; a connection does not wait for the other. */
static void on_resolved(void *owner, const struct message_addresses *addresses, bool more)
{
	struct dial *dial = owner;
	if (more)
		endpoint_resolver_cancel(dial->query);
	dial->query = NULL;
	dial->addresses = *addresses;
	try_next(dial);
}

static void on_deadline(uv_timer_t *timer)
{
	finish(timer->data, -1, ETIMEDOUT);
}

/* The directories may have changed since the path was checked, so it is walked again, and only the file found now is used. */
static void dial_path(struct dialer *dialer, const char *path, struct want *want)
{
	int file = socket_path_open(dialer->means.roots, path);
	if (file < 0) {
		answer(dialer, want, -1, errno);
		return;
	}
	bool is_own = protection_has_file(dialer->means.protection, file);
	int descriptor = is_own ? -1 : host_socket_dial_unix(file);
	int error = is_own ? EACCES : errno;
	close(file);
	answer(dialer, want, descriptor, error);
}

void dialer_start(struct dialer *dialer, const struct spec_forward *forward, struct want *want)
{
	if (forward->target.kind == SPEC_PLACE_UNIX) {
		dial_path(dialer, forward->target.host, want);
		return;
	}
	struct dial *dial = dialer->count < DIALS_MAX ? calloc(1, sizeof(*dial)) : NULL;
	if (dial == NULL) {
		answer(dialer, want, -1, ENOBUFS);
		return;
	}
	*dial = (struct dial){
		.next = dialer->dials, .dialer = dialer, .want = want, .transport = forward->transport, .descriptor = -1, .open_handles = 1
	};
	dialer->dials = dial;
	dialer->count++;
	uv_timer_init(dialer->means.loop, &dial->timer);
	dial->timer.data = dial;
	uv_timer_start(&dial->timer, on_deadline, DEADLINE_MS, 0);
	if (place_address(&forward->target, &dial->addresses.list[0])) {
		dial->addresses.count = 1;
		try_next(dial);
		return;
	}
	dial->query = endpoint_resolver_ask(dialer->means.resolver, forward->target.host, forward->target.port, on_resolved, dial);
	if (dial->query == NULL)
		finish(dial, -1, ENOMEM);
}

void dialer_end_of(struct dialer *dialer, const struct worker *worker)
{
	struct dial *next;
	for (struct dial *dial = dialer->dials; dial != NULL; dial = next) {
		next = dial->next;
		if (dial->want->worker == worker)
			end(dial);
	}
}

void dialer_give_up(struct dialer *dialer)
{
	struct dial *next;
	for (struct dial *dial = dialer->dials; dial != NULL; dial = next) {
		next = dial->next;
		finish(dial, -1, ETIMEDOUT);
	}
}
