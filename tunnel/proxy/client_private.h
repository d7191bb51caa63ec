/* A client of the proxy port, shared by client.c, which reads it, and client_pool.c, which sends it to a member of a pool. */
#ifndef WARREN_TUNNEL_PROXY_CLIENT_PRIVATE_H
#define WARREN_TUNNEL_PROXY_CLIENT_PRIVATE_H

#include "tunnel/dial.h"
#include "tunnel/io/intake.h"
#include "tunnel/http/http_head.h"
#include "tunnel/login.h"
#include "tunnel/pool/visit.h"
#include "tunnel/proxy/client.h"

struct associate;
struct exchange;
struct relay;

/* What each state waits for. GREETING: the first byte. HTTP: the rest of a head. METHOD, PASSWORD, REQUEST: the parts of SOCKS5. SOCKS4: its
 * request. WAITING: the member that a pool's client had. DIALING: the dial. LOGIN: the turn of a password, or the time at which a wrong one is
 * refused. JOINED: the end of the relay, exchange or association that has the socket now. */
enum client_state {
	CLIENT_GREETING,
	CLIENT_HTTP,
	CLIENT_METHOD,
	CLIENT_PASSWORD,
	CLIENT_REQUEST,
	CLIENT_SOCKS4,
	CLIENT_WAITING,
	CLIENT_DIALING,
	CLIENT_LOGIN,
	CLIENT_JOINED
};

struct client {
	struct connection connection;
	struct poller *poller;
	enum client_state state, before_login;
	struct login login;
	uint16_t listen_index;
	struct intake in;
	struct http_head_search search;
	struct dial *dial;
	struct relay *relay;
	struct exchange *exchange;
	struct associate *associate;
	uint8_t refusal[2]; /* of a login; the length is 0 with HTTP */
	size_t refusal_length;
	struct deadline deadline;
	/* Of a pool's client. */
	struct pool_visit *visit; /* NULL: no member was chosen yet */
	char *offered;            /* its user name with the parameters; NULL: none */
	bool replays;             /* its bytes are read again: the password was checked in its turn, and the steps before the dial were answered */
	bool is_lost;             /* it is read again only to be refused, because of `why` */
	bool is_chosen;           /* the member was chosen for the exchange's next request */
	bool has_failed;          /* the member failed the exchange's request */
	struct http_fault why;    /* the last failure */
};

static inline struct tunnel *client_tunnel(const struct client *client)
{
	return client->connection.tunnel;
}

static inline const struct spec *client_proxy(const struct client *client)
{
	return client->connection.proxy;
}

static inline struct pool *client_pool(const struct client *client)
{
	return client->visit != NULL ? client->visit->pool : client->connection.tunnel->pool;
}

static inline struct loop *client_loop(const struct client *client)
{
	return client_tunnel(client)->context->loop;
}

static inline bool client_is_at_home(const struct client *client)
{
	return client_pool(client)->front != NULL;
}

static inline struct pool_ask client_ask(const struct client *client, const struct target *target)
{
	return (struct pool_ask){ .user = client->offered, .target = target, .connection = &client->connection };
}

/* client.c */
/* After its connection was added. Takes the poller. `from` is its address, of any family. */
void client_init(struct client *client, struct poller *poller, uint16_t listen_index, const union wireguard_endpoint *from);
/* Of its connection. */
void client_end(struct connection *connection);
/* Ends it, without an answer; the socket may have been handed over (poller NULL). */
void client_free(struct client *client);
/* Answers it in its protocol, and ends it. */
void client_refuse(struct client *client, const struct http_fault *fault);
void client_refuse_http(struct client *client, const struct http_fault *fault, bool head);
/* Waits for its bytes. */
void client_watch(struct client *client);
/* Reads what is there, after which it may be gone. */
void client_parse(struct client *client);
/* The same, from a request of HTTP on. */
void client_start_http(struct client *client);

/* client_pool.c. Where the result is false, the client may be gone, except as said. */
/* Whether it may go on to its target in the tunnel that it is in, after a member was chosen for it if it is a pool's. */
bool client_find_way(struct client *client, const struct target *target);
/* Its tunnel failed it before a byte of an answer: true if another member is tried; else it is there and to be told. */
bool client_try_elsewhere(struct client *client, const struct http_fault *fault);
/* Of its exchange, as in exchange.h. */
bool client_exchange_fails(void *owner, const struct http_fault *fault);
/* Reads its request again, after it has waited. */
void client_replay(struct client *client);
/* Its exchange is over: the next request, or the last one again, wants a choice. */
void client_choose_again(struct client *client);

#endif
