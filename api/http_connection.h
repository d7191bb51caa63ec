/* The connections of the API: their number, limits and deadlines. The library's own timeout counts only inactivity, so a client that sends a byte
 * now and then would live for ever. Here every phase has its own deadline.
 * Any thread may call. */
#ifndef WARREN_API_HTTP_CONNECTION_H
#define WARREN_API_HTTP_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "api/forwarded.h"
#include "api/plain_http.h"
#include "api/socket_group.h"

#define CONNECTIONS_MAX 1024u
#define CONNECTIONS_ADDRESS_MAX 256u
#define CONNECTIONS_RESERVE 32u /* over the limits, for health checks (A9) */
#define CONNECTIONS_UNIX_MAX 256u

struct api_http_connections;
struct api_http_connection;

/* Each phase except WAITING has a deadline, at which the socket is shut down; the library then closes it. */
enum connection_phase {
	CONNECTION_HEAD,     /* from accept, and from each further request line on: 10 s for the header (2 s for a reserve connection) */
	CONNECTION_BODY,     /* 10 s */
	CONNECTION_WAITING,  /* for a change, or for events of a stream: no deadline here */
	CONNECTION_REPLYING, /* five minutes for a reply of any size */
	CONNECTION_IDLE,     /* a minute for the next request line */
};

struct api_http_connections *api_http_connections_create(void);
/* Members of this group are known as such, and what comes from these proxies (borrowed) is not counted by address. Before the first connection. */
void api_http_connections_trust(struct api_http_connections *connections, gid_t group, const struct api_proxies *proxies);
void api_http_connections_free(struct api_http_connections *connections);
/* Whether one more from this address may be accepted, perhaps from the reserve. */
bool api_http_connections_admit(struct api_http_connections *connections, const struct sockaddr *from);
/* Counts it from accept on. NULL when out of memory. The library will own the descriptor. */
struct api_http_connection *api_http_connection_open(struct api_http_connections *connections, int descriptor, uint64_t now_ms);
/* The library has started it, in a thread of its own, and will report its end. NULL if that took longer than its deadline. */
struct api_http_connection *api_http_connection_take_up(struct api_http_connections *connections, int descriptor);
void api_http_connection_close(struct api_http_connections *connections, struct api_http_connection *connection);
void api_http_connection_enter(struct api_http_connections *connections, struct api_http_connection *connection, enum connection_phase phase,
                               uint64_t now_ms);
/* Shuts down overdue connections. */
void api_http_connections_expire(struct api_http_connections *connections, uint64_t now_ms);

/* It is over the limits: only health checks are answered. */
bool api_http_connection_is_reserve(const struct api_http_connection *connection);
bool api_http_connection_is_unix(const struct api_http_connection *connection);
/* Whether the peer's process belongs to root or to the daemon's own user. Can be true only on a unix socket. */
bool api_http_connection_is_operator(const struct api_http_connection *connection);
struct api_plain_http *api_http_connection_plain(struct api_http_connection *connection);
/* Whether the peer's process is in the socket's group, and whether the peer is a trusted proxy. */
bool api_http_connection_is_member(const struct api_http_connection *connection);
bool api_http_connection_is_proxy(const struct api_http_connection *connection);
uid_t api_http_connection_uid(const struct api_http_connection *connection); /* of the peer, on a unix socket */
/* The peer's address without a port, or "unix". */
void api_http_connection_from(const struct api_http_connection *connection, char text[FORWARDED_CLIENT_SIZE]);
/* The local address of the connection, or NULL on a unix socket. */
const struct sockaddr *api_http_connection_local(const struct api_http_connection *connection);

#endif
