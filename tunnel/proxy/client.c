#include "tunnel/proxy/client.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/address.h"
#include "tunnel/dial.h"
#include "tunnel/http/http_request.h"
#include "tunnel/http/socks.h"
#include "tunnel/io/intake.h"
#include "tunnel/io/linger.h"
#include "tunnel/login.h"
#include "tunnel/proxy/associate.h"
#include "tunnel/proxy/exchange.h"
#include "tunnel/proxy/relay.h"

#define HEAD_TIME (10 * LOOP_SECOND)

/* What each state waits for. GREETING: the first byte. HTTP: the rest of a head. METHOD, PASSWORD, REQUEST: the parts of SOCKS5. SOCKS4: its
 * request. DIALING: the dial. LOGIN: the turn of a password, or the time at which a wrong one is refused. JOINED: the end of the relay, exchange or
 * association that has the socket now. */
enum client_state {
	CLIENT_GREETING,
	CLIENT_HTTP,
	CLIENT_METHOD,
	CLIENT_PASSWORD,
	CLIENT_REQUEST,
	CLIENT_SOCKS4,
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
};

static void start_http(struct client *client);
static void parse(struct client *client);

static struct tunnel *tunnel_of(struct client *client)
{
	return client->connection.tunnel;
}

static struct loop *loop_of(struct client *client)
{
	return tunnel_of(client)->context->loop;
}

/* Frees the rest; the socket may have been handed over (poller NULL). */
static void client_free(struct client *client)
{
	deadline_set(loop_of(client), &client->deadline, LOOP_NEVER);
	login_cancel(&client->login);
	dial_cancel(client->dial);
	intake_clear(&client->in);
	poller_free(client->poller);
	connection_remove(&client->connection);
	free(client);
}

static void client_end(struct connection *connection)
{
	struct client *client = (struct client *)connection;
	if (client->relay != NULL)
		relay_abort(client->relay);
	if (client->exchange != NULL)
		exchange_abort(client->exchange);
	if (client->associate != NULL)
		associate_abort(client->associate);
	client_free(client);
}

static void on_joined_ended(void *owner)
{
	struct client *client = owner;
	client_free(client);
}

static void say(struct client *client, const void *bytes, size_t length)
{
	/* The replies are small and the first on the socket: the kernel has room, or the client is gone. */
	ssize_t sent = send(poller_descriptor(client->poller), bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)sent;
}

static void say_and_close(struct client *client, const void *bytes, size_t length)
{
	say(client, bytes, length);
	linger_close(loop_of(client), client->poller);
	client->poller = NULL;
	client_free(client);
}

static void refuse_http(struct client *client, const struct http_fault *fault, bool head)
{
	char reply[HTTP_ERROR_ROOM];
	connection_count_failed(&client->connection, dial_failure(fault->error));
	say_and_close(client, reply, http_error_write(reply, sizeof(reply), fault, head ? HTTP_ERROR_NO_BODY : 0));
}

static void refuse_socks(struct client *client, enum socks_reply reply, enum counters_failure failure)
{
	uint8_t bytes[SOCKS_REPLY_MAX];
	connection_count_failed(&client->connection, failure);
	if (client->connection.protocol == COUNTERS_SOCKS4)
		say_and_close(client, bytes, socks4_reply_write(bytes, false));
	else
		say_and_close(client, bytes, socks_reply_write(bytes, reply, NULL));
}

static void refuse(struct client *client, const struct http_fault *fault)
{
	if (client->connection.protocol == COUNTERS_CONNECT)
		refuse_http(client, fault, false);
	else
		refuse_socks(client, socks_reply_of(fault->error), dial_failure(fault->error));
}

/* Dialling. */

static size_t write_success(struct client *client, struct netstack_stream *stream, uint8_t out[128])
{
	if (client->connection.protocol == COUNTERS_CONNECT)
		return http_error_write_connected((char *)out, 128);
	if (client->connection.protocol == COUNTERS_SOCKS4)
		return socks4_reply_write(out, true);
	struct netstack_endpoint local;
	netstack_stream_local(stream, &local);
	return socks_reply_write(out, SOCKS_SUCCEEDED, &local);
}

static void on_dialed(void *owner, struct netstack_stream *stream, const struct http_fault *fault)
{
	struct client *client = owner;
	client->dial = NULL;
	deadline_set(loop_of(client), &client->deadline, LOOP_NEVER);
	if (stream == NULL) {
		refuse(client, fault);
		return;
	}
	uint8_t reply[128];
	size_t length = write_success(client, stream, reply);
	struct block *early = intake_take(&client->in);
	struct poller *poller = client->poller;
	client->poller = NULL;
	client->state = CLIENT_JOINED;
	connection_count_ok(&client->connection);
	client->relay =
	    relay_create(tunnel_of(client), poller, stream, early, reply, length, tunnel_of(client)->spec.idle_timeout, on_joined_ended, client);
	if (client->relay == NULL)
		client_free(client);
}

static void dial_target(struct client *client, const struct target *target)
{
	static const struct http_fault over = { .error = HTTP_ERROR_CONNECTION_LIMIT_REACHED, .detail = "limits.connections is reached" };
	static const struct http_fault memory = { .error = HTTP_ERROR_PROXY_INTERNAL_RESPONSE, .detail = "out of memory" };
	connection_admit(&client->connection);
	if (connection_is_over_limit(&client->connection)) {
		refuse(client, &over);
		return;
	}
	deadline_set(loop_of(client), &client->deadline, LOOP_NEVER);
	poller_set(client->poller, LOOP_LEFT); /* early data stays in the socket */
	client->state = CLIENT_DIALING;
	client->dial = dial_start(tunnel_of(client), target, false, on_dialed, client);
	if (client->dial == NULL)
		refuse(client, &memory);
}

/* Logins. */

/* Nothing is read meanwhile; the same bytes are parsed again when it is their turn. */
static void wait_for_login(struct client *client)
{
	client->before_login = client->state;
	client->state = CLIENT_LOGIN;
	poller_set(client->poller, LOOP_BROKEN);
	deadline_set(loop_of(client), &client->deadline, LOOP_NEVER);
}

static void look_again(void *owner)
{
	struct client *client = owner;
	client->state = client->before_login;
	client->search = (struct http_head_search){ 0 };
	poller_set(client->poller, LOOP_READABLE | LOOP_LEFT);
	deadline_set(loop_of(client), &client->deadline, loop_now(loop_of(client)) + HEAD_TIME);
	parse(client);
}

static void tell_refusal(void *owner)
{
	struct client *client = owner;
	if (client->refusal_length == 0) {
		refuse_http(client, &login_is_wrong, false);
		return;
	}
	connection_count_failed(&client->connection, COUNTERS_FAILED_AUTHENTICATION);
	say_and_close(client, client->refusal, client->refusal_length);
}

static void on_deadline(void *owner)
{
	struct client *client = owner;
	static const struct http_fault left = { .error = HTTP_ERROR_CONNECTION_TIMEOUT,
		                                .detail = "the client closed its side before a connection was made" };
	if (client->state == CLIENT_DIALING) {
		refuse(client, &left);
		return;
	}
	connection_count_failed(&client->connection, COUNTERS_FAILED_TIMEOUT);
	client_free(client); /* the request head did not arrive in time */
}

/* HTTP. */

static void on_exchange_ended(void *owner)
{
	struct client *client = owner;
	client->exchange = NULL;
	client_free(client);
}

static void on_handed_back(void *owner, struct poller *poller, struct block *in);

static void join_exchange(struct client *client)
{
	static const struct exchange_events events = { .ended = on_exchange_ended, .handed_back = on_handed_back };
	struct poller *poller = client->poller;
	struct block *in = intake_take(&client->in);
	client->poller = NULL;
	client->state = CLIENT_JOINED;
	deadline_set(loop_of(client), &client->deadline, LOOP_NEVER);
	connection_set_protocol(&client->connection, COUNTERS_HTTP);
	client->exchange = exchange_create(&client->connection, poller, in, &events, client);
	if (client->exchange == NULL)
		client_free(client);
}

static void begin_connect(struct client *client, const struct http_request *request)
{
	connection_set_protocol(&client->connection, COUNTERS_CONNECT);
	if (tunnel_of(client)->spec.user_count > 0) {
		if (!request->has_credentials) {
			refuse_http(client, &login_is_missing, false);
			return;
		}
		if (!login_has_turn(&client->login) || !login_is_right(&client->login, &request->credentials)) {
			wait_for_login(client);
			return;
		}
	}
	intake_use(&client->in, request->length_of_head);
	dial_target(client, &request->target);
}

static bool parse_http(struct client *client)
{
	static struct http_request request; /* 10 KB, consumed at once */
	static const struct http_fault full = { .status = 431, .error = HTTP_ERROR_HTTP_REQUEST_ERROR, .detail = "the request's head is too long" };
	size_t length = intake_length(&client->in);
	switch (http_request_read(&request, &client->search, intake_bytes(&client->in), length)) {
	case HTTP_MORE:
		if (length < HTTP_HEAD_MAX - 64)
			return false;
		refuse_http(client, &full, false);
		return true;
	case HTTP_REFUSED: refuse_http(client, &request.fault, request.asked.head); break;
	case HTTP_WHOLE:
		if (request.asked.connect)
			begin_connect(client, &request);
		else
			join_exchange(client);
		break;
	}
	http_request_clear(&request);
	return true;
}

/* SOCKS. */

static const uint8_t *bytes_of(const struct client *client)
{
	return (const uint8_t *)intake_bytes(&client->in);
}

static void refuse_method(struct client *client)
{
	uint8_t reply[2];
	connection_count_failed(&client->connection, COUNTERS_FAILED_AUTHENTICATION);
	say_and_close(client, reply, socks_method_write(reply, SOCKS_METHOD_UNACCEPTABLE));
}

/* Each parser returns true when it needs more bytes, or the client was handed over. */
static bool parse_method(struct client *client)
{
	struct socks_greeting greeting;
	switch (socks_greeting_read(&greeting, bytes_of(client), intake_length(&client->in))) {
	case SOCKS_MORE: return true;
	case SOCKS_REFUSED: refuse_method(client); return true;
	case SOCKS_WHOLE: break;
	}
	intake_use(&client->in, greeting.length);
	enum socks_method method = socks_method_choose(&greeting, tunnel_of(client)->spec.user_count > 0);
	if (method == SOCKS_METHOD_UNACCEPTABLE) {
		refuse_method(client);
		return true;
	}
	uint8_t reply[2];
	say(client, reply, socks_method_write(reply, method));
	client->state = method == SOCKS_METHOD_PASSWORD ? CLIENT_PASSWORD : CLIENT_REQUEST;
	return false;
}

static bool parse_password(struct client *client)
{
	struct credentials offered;
	size_t taken;
	enum socks_progress progress = socks_password_read(&offered, bytes_of(client), intake_length(&client->in), &taken);
	if (progress == SOCKS_MORE)
		return true;
	client->refusal_length = socks_password_reply_write(client->refusal, false);
	bool is_admitted = login_has_turn(&client->login) && login_is_right(&client->login, progress == SOCKS_WHOLE ? &offered : NULL);
	credentials_clear(&offered);
	if (!is_admitted) {
		wait_for_login(client);
		return true;
	}
	intake_use(&client->in, taken);
	uint8_t reply[2];
	connection_admit(&client->connection);
	say(client, reply, socks_password_reply_write(reply, true));
	client->state = CLIENT_REQUEST;
	return false;
}

static void join_associate(struct client *client, const struct socks_request *request)
{
	struct poller *poller = client->poller;
	client->poller = NULL;
	client->state = CLIENT_JOINED;
	connection_admit(&client->connection);
	deadline_set(loop_of(client), &client->deadline, LOOP_NEVER);
	client->associate = associate_create(&client->connection, poller, request, client->listen_index, on_joined_ended, client);
	if (client->associate == NULL)
		client_free(client);
}

static bool parse_request(struct client *client)
{
	struct socks_request request;
	bool four = client->state == CLIENT_SOCKS4;
	const uint8_t *bytes = bytes_of(client);
	size_t length = intake_length(&client->in);
	switch (four ? socks4_request_read(&request, bytes, length) : socks_request_read(&request, bytes, length)) {
	case SOCKS_MORE: return true;
	case SOCKS_REFUSED: refuse_socks(client, request.refusal, COUNTERS_FAILED_BAD_REQUEST); return true;
	case SOCKS_WHOLE: break;
	}
	intake_use(&client->in, request.length);
	if (request.command == SOCKS_UDP_ASSOCIATE)
		join_associate(client, &request);
	else
		dial_target(client, &request.target);
	return true;
}

/* The first byte identifies the protocol: 5 and 4 are SOCKS versions, anything else begins a request line. */
static bool parse_greeting(struct client *client)
{
	uint8_t first = bytes_of(client)[0];
	unsigned protocols = tunnel_of(client)->spec.protocols;
	if (first == 5 && (protocols & SPEC_SOCKS5) != 0) {
		connection_set_protocol(&client->connection, COUNTERS_SOCKS5);
		client->state = CLIENT_METHOD;
	} else if (first == 4 && (protocols & SPEC_SOCKS4) != 0) {
		connection_set_protocol(&client->connection, COUNTERS_SOCKS4);
		client->state = CLIENT_SOCKS4;
		if (tunnel_of(client)->spec.user_count > 0) {
			refuse_socks(client, SOCKS_NOT_ALLOWED, COUNTERS_FAILED_AUTHENTICATION);
			return true;
		}
	} else if ((protocols & SPEC_HTTP) != 0 && first != 4 && first != 5) {
		connection_set_protocol(&client->connection, COUNTERS_HTTP);
		client->state = CLIENT_HTTP;
	} else {
		connection_count_failed(&client->connection, COUNTERS_FAILED_BAD_REQUEST);
		client_free(client);
		return true;
	}
	return false;
}

static void parse(struct client *client)
{
	for (bool done = false; !done;) {
		if (intake_length(&client->in) == 0)
			return;
		switch (client->state) {
		case CLIENT_GREETING: done = parse_greeting(client); break;
		case CLIENT_HTTP:
			parse_http(client);
			done = true;
			break;
		case CLIENT_METHOD: done = parse_method(client); break;
		case CLIENT_PASSWORD: done = parse_password(client); break;
		case CLIENT_REQUEST:
		case CLIENT_SOCKS4: done = parse_request(client); break;
		case CLIENT_DIALING:
		case CLIENT_LOGIN:
		case CLIENT_JOINED: return;
		}
	}
}

static void give_up(struct client *client)
{
	connection_count_failed(&client->connection, COUNTERS_FAILED_CLIENT_GONE);
	client_free(client);
}

/* While nothing is read. */
static void on_left(struct client *client, int events)
{
	if ((events & LOOP_BROKEN) != 0) {
		give_up(client);
		return;
	}
	poller_set(client->poller, LOOP_BROKEN);
	if (client->state == CLIENT_DIALING)
		deadline_set(loop_of(client), &client->deadline, loop_now(loop_of(client)) + CONNECTION_LEFT_TIME);
}

static void on_client(void *owner, int events)
{
	struct client *client = owner;
	if ((poller_events(client->poller) & LOOP_READABLE) == 0) {
		on_left(client, events);
		return;
	}
	switch (intake_read(&client->in, poller_descriptor(client->poller))) {
	case 1: parse(client); break;
	case 0: break;
	case -1: give_up(client); break;
	default: client_free(client); break; /* no memory: no valid message fills a large block */
	}
}

static void on_handed_back(void *owner, struct poller *poller, struct block *in)
{
	struct client *client = owner;
	client->exchange = NULL;
	client->poller = poller;
	client->in.block = in;
	client->state = CLIENT_HTTP;
	start_http(client);
}

static void start_http(struct client *client)
{
	client->search = (struct http_head_search){ 0 };
	poller_set_owner(client->poller, on_client, client);
	poller_set(client->poller, LOOP_READABLE | LOOP_LEFT);
	deadline_set(loop_of(client), &client->deadline, loop_now(loop_of(client)) + HEAD_TIME);
	parse(client);
}

void client_accept(struct listener *listener, int descriptor, const union wireguard_endpoint *from)
{
	struct tunnel *tunnel = listener->tunnel;
	struct client *client = calloc(1, sizeof(*client));
	struct poller *poller = client == NULL ? NULL : poller_create(tunnel->context->loop, descriptor, on_client, client);
	if (poller == NULL) {
		close(descriptor);
		free(client);
		return;
	}
	connection_add_waiting(&client->connection, tunnel, address_source(from), client_end);
	client->connection.socket_id = listener->id;
	client->in.pool = tunnel->context->pool;
	client->poller = poller;
	client->listen_index = listener->index;
	login_init(&client->login, &client->connection, look_again, tell_refusal, client);
	deadline_init(&client->deadline, on_deadline, client);
	deadline_set(tunnel->context->loop, &client->deadline, loop_now(tunnel->context->loop) + HEAD_TIME);
	poller_set(poller, LOOP_READABLE | LOOP_LEFT);
}
