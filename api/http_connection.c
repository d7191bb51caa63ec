/* A list under one lock. It is walked at each accept and once per tick, which takes microseconds for a thousand entries. */
#include "api/http_connection.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc/endpoint.h"

struct api_http_connection {
	struct api_http_connection *next, *previous;
	int descriptor;
	bool is_taken_up, is_unix, is_operator, is_member, is_proxy, is_reserve;
	uid_t uid; /* of the peer, when is_unix */
	struct sockaddr_storage from, local;
	enum connection_phase phase;
	uint64_t deadline;
	struct api_plain_http plain;
};

struct api_http_connections {
	pthread_mutex_t lock;
	struct api_http_connection *first;
	size_t tcp_count, unix_count;
	gid_t group;
	const struct api_proxies *proxies; /* borrowed, or NULL */
};

static const uint64_t phase_ms[] = {
	[CONNECTION_HEAD] = 10000, [CONNECTION_BODY] = 10000, [CONNECTION_WAITING] = 0, [CONNECTION_REPLYING] = 300000, [CONNECTION_IDLE] = 60000,
};
#define RESERVE_HEAD_MS 2000

struct api_http_connections *api_http_connections_create(void)
{
	struct api_http_connections *connections = calloc(1, sizeof(*connections));
	if (connections == NULL)
		return NULL;
	pthread_mutex_init(&connections->lock, NULL);
	connections->group = SOCKET_GROUP_NONE;
	return connections;
}

void api_http_connections_trust(struct api_http_connections *connections, gid_t group, const struct api_proxies *proxies)
{
	connections->group = group;
	connections->proxies = proxies;
}

static bool is_proxy(const struct api_http_connections *connections, const struct sockaddr *from)
{
	return connections->proxies != NULL && api_proxies_trust(connections->proxies, from);
}

void api_http_connections_free(struct api_http_connections *connections)
{
	if (connections == NULL)
		return;
	while (connections->first != NULL)
		api_http_connection_close(connections, connections->first);
	pthread_mutex_destroy(&connections->lock);
	free(connections);
}

static size_t count_from(const struct api_http_connections *connections, const struct sockaddr *from)
{
	size_t count = 0;
	union wireguard_endpoint mine, other;
	if (!endpoint_from(from, &mine))
		return 0;
	for (const struct api_http_connection *c = connections->first; c != NULL; c = c->next)
		if (!c->is_unix && endpoint_from((const struct sockaddr *)&c->from, &other) && endpoint_same_host(&mine, &other))
			count++;
	return count;
}

static bool is_over_limit(const struct api_http_connections *connections, const struct sockaddr *from)
{
	/* Behind a proxy many clients have one address. */
	bool is_alone = is_proxy(connections, from) || count_from(connections, from) < CONNECTIONS_ADDRESS_MAX;
	return connections->tcp_count >= CONNECTIONS_MAX || !is_alone;
}

bool api_http_connections_admit(struct api_http_connections *connections, const struct sockaddr *from)
{
	pthread_mutex_lock(&connections->lock);
	bool admitted;
	if (from->sa_family == AF_UNIX) {
		admitted = connections->unix_count < CONNECTIONS_UNIX_MAX;
	} else {
		size_t reserve = 0;
		for (const struct api_http_connection *c = connections->first; c != NULL; c = c->next)
			reserve += c->is_reserve;
		admitted = !is_over_limit(connections, from) || reserve < CONNECTIONS_RESERVE;
	}
	pthread_mutex_unlock(&connections->lock);
	return admitted;
}

/* SO_PEERCRED succeeds on TCP with a uid of -1, so the family decides first. */
static void read_peer(struct api_http_connection *connection)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	connection->uid = (uid_t)-1;
	if (!connection->is_unix || getsockopt(connection->descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || length != sizeof(peer))
		return;
	connection->uid = peer.uid;
	connection->is_operator = peer.uid == 0 || peer.uid == geteuid();
}

static void read_addresses(const struct api_http_connections *connections, struct api_http_connection *connection)
{
	socklen_t length = sizeof(connection->local);
	if (getsockname(connection->descriptor, (struct sockaddr *)&connection->local, &length) != 0)
		connection->local.ss_family = AF_UNSPEC;
	connection->is_unix = connection->local.ss_family == AF_UNIX;
	read_peer(connection);
	connection->is_member = connection->is_unix && api_socket_group_has_peer(connection->descriptor, connections->group);
	length = sizeof(connection->from);
	if (getpeername(connection->descriptor, (struct sockaddr *)&connection->from, &length) != 0)
		connection->from.ss_family = AF_UNSPEC;
	connection->is_proxy = is_proxy(connections, (const struct sockaddr *)&connection->from);
}

struct api_http_connection *api_http_connection_open(struct api_http_connections *connections, int descriptor, uint64_t now_ms)
{
	struct api_http_connection *connection = calloc(1, sizeof(*connection));
	if (connection == NULL)
		return NULL;
	connection->descriptor = descriptor;
	read_addresses(connections, connection);
	pthread_mutex_lock(&connections->lock);
	connection->is_reserve = !connection->is_unix && is_over_limit(connections, (const struct sockaddr *)&connection->from);
	connection->deadline = now_ms + (connection->is_reserve ? RESERVE_HEAD_MS : phase_ms[CONNECTION_HEAD]);
	connection->next = connections->first;
	if (connections->first != NULL)
		connections->first->previous = connection;
	connections->first = connection;
	*(connection->is_unix ? &connections->unix_count : &connections->tcp_count) += 1;
	pthread_mutex_unlock(&connections->lock);
	return connection;
}

struct api_http_connection *api_http_connection_take_up(struct api_http_connections *connections, int descriptor)
{
	pthread_mutex_lock(&connections->lock);
	struct api_http_connection *connection = connections->first;
	while (connection != NULL && (connection->is_taken_up || connection->descriptor != descriptor))
		connection = connection->next;
	if (connection != NULL)
		connection->is_taken_up = true;
	pthread_mutex_unlock(&connections->lock);
	return connection;
}

static void forget(struct api_http_connections *connections, struct api_http_connection *connection)
{
	if (connection->previous != NULL)
		connection->previous->next = connection->next;
	else
		connections->first = connection->next;
	if (connection->next != NULL)
		connection->next->previous = connection->previous;
	*(connection->is_unix ? &connections->unix_count : &connections->tcp_count) -= 1;
	free(connection);
}

void api_http_connection_close(struct api_http_connections *connections, struct api_http_connection *connection)
{
	pthread_mutex_lock(&connections->lock);
	forget(connections, connection);
	pthread_mutex_unlock(&connections->lock);
}

void api_http_connection_enter(struct api_http_connections *connections, struct api_http_connection *connection, enum connection_phase phase,
                               uint64_t now_ms)
{
	pthread_mutex_lock(&connections->lock);
	/* The first request's head counts from accept on: its request line does not extend the deadline. */
	bool goes_on = phase == CONNECTION_HEAD && connection->phase == CONNECTION_HEAD;
	if (!goes_on && phase == CONNECTION_WAITING)
		connection->deadline = UINT64_MAX;
	else if (!goes_on)
		connection->deadline = now_ms + (connection->is_reserve ? RESERVE_HEAD_MS : phase_ms[phase]);
	connection->phase = phase;
	pthread_mutex_unlock(&connections->lock);
}

void api_http_connections_expire(struct api_http_connections *connections, uint64_t now_ms)
{
	pthread_mutex_lock(&connections->lock);
	for (struct api_http_connection *c = connections->first, *next; c != NULL; c = next) {
		next = c->next;
		if (c->deadline > now_ms)
			continue;
		/* The library was out of memory, closed its descriptor and did not report it. */
		if (!c->is_taken_up) {
			forget(connections, c);
			continue;
		}
		/* Not closed: the library owns the descriptor and closes it after api_http_connection_close, so it cannot be another's here. */
		shutdown(c->descriptor, SHUT_RDWR);
		c->deadline = UINT64_MAX;
	}
	pthread_mutex_unlock(&connections->lock);
}

bool api_http_connection_is_reserve(const struct api_http_connection *connection)
{
	return connection->is_reserve;
}

bool api_http_connection_is_unix(const struct api_http_connection *connection)
{
	return connection->is_unix;
}

bool api_http_connection_is_operator(const struct api_http_connection *connection)
{
	return connection->is_operator;
}

struct api_plain_http *api_http_connection_plain(struct api_http_connection *connection)
{
	return &connection->plain;
}

bool api_http_connection_is_member(const struct api_http_connection *connection)
{
	return connection->is_member;
}

bool api_http_connection_is_proxy(const struct api_http_connection *connection)
{
	return connection->is_proxy;
}

uid_t api_http_connection_uid(const struct api_http_connection *connection)
{
	return connection->uid;
}

void api_http_connection_from(const struct api_http_connection *connection, char text[FORWARDED_CLIENT_SIZE])
{
	union wireguard_endpoint from;
	snprintf(text, FORWARDED_CLIENT_SIZE, "%s", connection->is_unix ? "unix" : "unknown");
	if (connection->is_unix || !endpoint_from((const struct sockaddr *)&connection->from, &from))
		return;
	const void *address = from.any.sa_family == AF_INET ? (const void *)&from.v4.sin_addr : (const void *)&from.v6.sin6_addr;
	inet_ntop(from.any.sa_family, address, text, FORWARDED_CLIENT_SIZE);
}

const struct sockaddr *api_http_connection_local(const struct api_http_connection *connection)
{
	return connection->is_unix ? NULL : (const struct sockaddr *)&connection->local;
}
