/* The connections of the API: who is there, how many, and until when. The library's own timeout counts inactivity alone, so a client
 * that sends a byte now and then would live for ever; here every phase has a deadline of its own.
 * Any thread may call. */
#ifndef WARREN_API_CONNECTION_H
#define WARREN_API_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define CONNECTIONS_MAX 1024u
#define CONNECTIONS_ADDRESS_MAX 256u
#define CONNECTIONS_RESERVE 32u /* over the limits, for health checks (A9) */
#define CONNECTIONS_UNIX_MAX 256u

struct api_connections;
struct api_connection;

/* Each phase but WAITING ends at its deadline: the socket is shut down, and the library closes it. */
enum connection_phase {
	CONNECTION_HEAD,     /* from accept, and from each further request line on: the header has 10 s (a reserve one 2 s) */
	CONNECTION_BODY,     /* 10 s */
	CONNECTION_WAITING,  /* a change or a stream: no deadline here */
	CONNECTION_REPLYING, /* five minutes for a reply of any size */
	CONNECTION_IDLE,     /* kept alive: a minute for the next request line */
};

struct api_connections *api_connections_create(void);
void api_connections_free(struct api_connections *connections);
/* True when one more from this address may be accepted, be it as one of the reserve. */
bool api_connections_admit(struct api_connections *connections, const struct sockaddr *from);
/* Counts it from accept on. NULL when out of memory. The descriptor will be the library's. */
struct api_connection *api_connection_open(struct api_connections *connections, int descriptor, uint64_t now_ms);
/* The library has begun with it, in a thread of its own, and will say when it ends. NULL when that took longer than its deadline. */
struct api_connection *api_connection_take_up(struct api_connections *connections, int descriptor);
void api_connection_close(struct api_connections *connections, struct api_connection *connection);
void api_connection_enter(struct api_connections *connections, struct api_connection *connection, enum connection_phase phase, uint64_t now_ms);
/* Shuts down what is overdue. */
void api_connections_expire(struct api_connections *connections, uint64_t now_ms);

/* Over the limits: only health is answered. */
bool api_connection_is_reserve(const struct api_connection *connection);
bool api_connection_is_unix(const struct api_connection *connection);
/* The peer's process belongs to root or to the daemon's own user. Only ever true on a unix socket. */
bool api_connection_is_operator(const struct api_connection *connection);
/* Where the client arrived, or NULL on a unix socket. */
const struct sockaddr *api_connection_local(const struct api_connection *connection);

#endif
