#include "tunnel/proxy/udp_session.h"

#include <assert.h>
#include <sys/socket.h>

#include "tunnel/health.h"

static uint64_t now_of(const struct tunnel *tunnel)
{
	return loop_now(tunnel->context->loop);
}

/* Datagrams. */

static bool may_pass(struct tunnel *tunnel, struct bucket *bucket, size_t length)
{
	bool may = tunnel_may_pass(tunnel, bucket, length);
	if (may)
		bucket_spend(bucket, length);
	return may;
}

void udp_session_send_inner(struct udp_session *session, const struct netstack_endpoint *to, const uint8_t *bytes, size_t length)
{
	struct tunnel *tunnel = session->tunnel;
	if (health_is_down(tunnel))
		health_wanted(tunnel);
	if (!may_pass(tunnel, &tunnel->tx_limit, length)) {
		tunnel_count_dropped(tunnel, COUNTERS_DROP_OVERFLOW);
		return;
	}
	session->active_at = now_of(tunnel);
	if (netstack_flow_send(session->flow, to, bytes, length, session->active_at) == NETSTACK_OK)
		connection_count_sent(session->connection, length);
	tunnel_wake(tunnel);
}

void udp_session_send_host(struct udp_session *session, const uint8_t *header, size_t header_length, const uint8_t *bytes, size_t length)
{
	struct tunnel *tunnel = session->tunnel;
	if (!may_pass(tunnel, &tunnel->rx_limit, length)) {
		tunnel_count_dropped(tunnel, COUNTERS_DROP_OVERFLOW);
		return;
	}
	struct iovec parts[2] = {
		{ .iov_base = (void *)(uintptr_t)header, .iov_len = header_length },
		{ .iov_base = (void *)(uintptr_t)bytes, .iov_len = length },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	if (!session->is_connected) {
		message.msg_name = &session->host;
		message.msg_namelen = endpoint_length(&session->host);
	}
	session->active_at = now_of(tunnel);
	if (sendmsg(session->descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		connection_count_received(session->connection, length);
	else
		tunnel_count_dropped(tunnel, COUNTERS_DROP_OVERFLOW);
}

/* The table. */

static void on_sweep(void *owner)
{
	struct udp_sessions *sessions = owner;
	uint64_t now = now_of(sessions->tunnel);
	for (struct udp_session *session = sessions->first, *next; session != NULL; session = next) {
		next = session->next;
		if (session->active_at + (session->is_refused ? UDP_SESSION_REFUSAL : UDP_SESSION_SILENCE) <= now)
			sessions->end(session);
	}
	deadline_set(sessions->tunnel->context->loop, &sessions->sweep, sessions->count == 0 ? LOOP_NEVER : now + UDP_SESSION_SWEEP_EVERY);
}

void udp_sessions_init(struct udp_sessions *sessions, struct tunnel *tunnel, void (*end)(struct udp_session *session))
{
	*sessions = (struct udp_sessions){ .tunnel = tunnel, .end = end };
	deadline_init(&sessions->sweep, on_sweep, sessions);
}

bool udp_sessions_is_full(const struct udp_sessions *sessions)
{
	return sessions->count >= UDP_SESSIONS_MAX;
}

void udp_sessions_add(struct udp_sessions *sessions, struct udp_session *session)
{
	assert(!udp_sessions_is_full(sessions) && session->sessions == NULL);
	session->sessions = sessions;
	session->active_at = now_of(sessions->tunnel);
	session->next = sessions->first;
	session->before = &sessions->first;
	if (session->next != NULL)
		session->next->before = &session->next;
	sessions->first = session;
	sessions->count++;
	if (sessions->sweep.at == LOOP_NEVER)
		deadline_set(sessions->tunnel->context->loop, &sessions->sweep, session->active_at + UDP_SESSION_SWEEP_EVERY);
}

void udp_sessions_remove(struct udp_session *session)
{
	*session->before = session->next;
	if (session->next != NULL)
		session->next->before = session->before;
	session->sessions->count--;
	session->sessions = NULL;
}

struct udp_session *udp_sessions_find(const struct udp_sessions *sessions, const union wireguard_endpoint *host)
{
	for (struct udp_session *session = sessions->first; session != NULL; session = session->next)
		if (endpoint_equal(&session->host, host))
			return session;
	return NULL;
}

void udp_sessions_end_all(struct udp_sessions *sessions)
{
	while (sessions->first != NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the call takes the first from the list. */
		sessions->end(sessions->first);
	deadline_set(sessions->tunnel->context->loop, &sessions->sweep, LOOP_NEVER);
}
