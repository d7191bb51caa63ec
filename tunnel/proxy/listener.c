#include "tunnel/proxy/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/log.h"
#include "tunnel/pool/pool.h"
#include "tunnel/proxy/client.h"
#include "tunnel/proxy/forward.h"

#define ACCEPTS_A_TURN 64
#define PAUSE (100 * LOOP_MILLISECOND)

static void resume(void *owner)
{
	struct listener *listener = owner;
	poller_set(listener->poller, LOOP_READABLE);
}

/* Out of descriptors or memory: accepting again at once would be a busy loop (F2). */
static void pause_accepting(struct listener *listener, int error)
{
	struct loop *loop = listener->tunnel->context->loop;
	if (listener->pause.at == LOOP_NEVER)
		log_line(LOG_WARN, listener->tunnel->id, "accepting is paused for 100 ms: error %d (out of descriptors or memory)", error);
	poller_set(listener->poller, 0);
	deadline_set(loop, &listener->pause, loop_now(loop) + PAUSE);
}

static void on_ready(void *owner, int events)
{
	struct listener *listener = owner;
	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		union wireguard_endpoint from = { 0 };
		socklen_t length = sizeof(from);
		int descriptor = accept4(poller_descriptor(listener->poller), &from.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (descriptor < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				pause_accepting(listener, errno);
			return;
		}
		if (listener->kind == MESSAGE_SOCKET_PROXY)
			client_accept(listener, descriptor, &from);
		else
			forward_accept(listener, descriptor, &from);
	}
}

static bool open_socket(struct listener *listener, int descriptor)
{
	int type = SOCK_STREAM;
	socklen_t length = sizeof(type);
	getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length);
	if (type == SOCK_DGRAM) {
		listener->udp = forward_udp_create(listener, descriptor);
		return listener->udp != NULL;
	}
	listener->poller = poller_create(listener->tunnel->context->loop, descriptor, on_ready, listener);
	if (listener->poller == NULL) {
		close(descriptor);
		return false;
	}
	return true;
}

struct listener *listener_create(struct tunnel *tunnel, const struct message_socket *socket, int descriptor)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	if (listener == NULL) {
		close(descriptor);
		return NULL;
	}
	listener->tunnel = tunnel;
	listener->id = socket->id;
	listener->kind = (enum message_socket_kind)socket->kind;
	listener->index = socket->index;
	deadline_init(&listener->pause, resume, listener);
	if (!open_socket(listener, descriptor)) {
		free(listener);
		return NULL;
	}
	return listener;
}

void listener_start(struct listener *listener)
{
	struct tunnel *tunnel = listener->tunnel;
	listener->next = tunnel->listeners;
	tunnel->listeners = listener;
	if (listener->udp != NULL)
		forward_udp_start(listener->udp);
	else if (tunnel->pool == NULL || tunnel->pool->is_open)
		poller_set(listener->poller, LOOP_READABLE);
}

void listener_open_all(struct tunnel *front)
{
	for (struct listener *listener = front->listeners; listener != NULL; listener = listener->next)
		if (listener->pause.at == LOOP_NEVER)
			poller_set(listener->poller, LOOP_READABLE);
}

void listener_free(struct listener *listener)
{
	for (struct listener **at = &listener->tunnel->listeners; *at != NULL; at = &(*at)->next) {
		if (*at != listener)
			continue;
		*at = listener->next;
		break;
	}
	deadline_set(listener->tunnel->context->loop, &listener->pause, LOOP_NEVER);
	poller_free(listener->poller);
	if (listener->udp != NULL)
		forward_udp_free(listener->udp);
	free(listener);
}
