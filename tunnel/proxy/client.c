#include "tunnel/proxy/client_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/address.h"
#include "tunnel/http/http_request.h"
#include "tunnel/http/socks.h"
#include "tunnel/io/linger.h"
#include "tunnel/proxy/associate.h"
#include "tunnel/proxy/exchange.h"
#include "tunnel/proxy/relay.h"

#define HEAD_TIME (10 * LOOP_SECOND)

static void on_client(void *owner, int events);

void client_free(struct client *client)
{
	deadline_set(client_loop(client), &client->deadline, LOOP_NEVER);
	login_cancel(&client->login);
	dial_cancel(client->dial);
	intake_clear(&client->in);
	poller_free(client->poller);
	connection_remove(&client->connection); /* which tells of its session */
	visit_end(client->visit);
	free(client->offered);
	free(client);
}

void client_end(struct connection *connection)
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

/* A step of SOCKS before the request. */
static void say_step(struct client *client, const uint8_t *bytes, size_t length)
{
	if (!client->replays)
		say(client, bytes, length);
}

static void say_and_close(struct client *client, const void *bytes, size_t length)
{
	say(client, bytes, length);
	linger_close(client_loop(client), client->poller);
	client->poller = NULL;
	client_free(client);
}

void client_refuse_http(struct client *client, const struct http_fault *fault, bool head)
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

void client_refuse(struct client *client, const struct http_fault *fault)
{
	if (client->connection.protocol == COUNTERS_CONNECT || client->connection.protocol == COUNTERS_HTTP)
		client_refuse_http(client, fault, false);
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
	deadline_set(client_loop(client), &client->deadline, LOOP_NEVER);
	if (stream == NULL) {
		if (!client_try_elsewhere(client, fault))
			client_refuse(client, fault);
		return;
	}
	uint8_t reply[128];
	size_t length = write_success(client, stream, reply);
	struct block *early = intake_take(&client->in);
	struct poller *poller = client->poller;
	client->poller = NULL;
	client->state = CLIENT_JOINED;
	connection_count_ok(&client->connection);
	netstack_stream_remote(stream, &client->connection.address);
	client->relay =
	    relay_create(&client->connection, poller, stream, early, reply, length, client_proxy(client)->idle_timeout, on_joined_ended, client);
	if (client->relay == NULL)
		client_free(client);
}

static void dial_target(struct client *client, const struct target *target)
{
	if (!client_find_way(client, target))
		return;
	connection_set_target(&client->connection, target);
	connection_admit(&client->connection);
	if (connection_is_over_limit(&client->connection)) {
		if (!client_try_elsewhere(client, &http_fault_connections))
			client_refuse(client, &http_fault_connections);
		return;
	}
	client->replays = false;
	deadline_set(client_loop(client), &client->deadline, LOOP_NEVER);
	poller_set(client->poller, LOOP_LEFT); /* early data stays in the socket */
	client->state = CLIENT_DIALING;
	client->dial = dial_start(client_tunnel(client), client_proxy(client), target, false, on_dialed, client);
	if (client->dial == NULL)
		client_refuse(client, &http_fault_memory);
}

/* Logins. */

static void set_offered(struct client *client, const struct credentials *offered)
{
	free(client->offered);
	client->offered = offered == NULL ? NULL : strndup(offered->username, offered->username_length);
}

/* The password belongs to the NAME before the parameters of a pool's user name. */
static void name_user(const struct client *client, const struct credentials *offered, struct credentials *named)
{
	struct user_name user;
	*named = *offered;
	if (client_pool(client) == NULL)
		return;
	user_name_read(&user, offered->username, offered->username_length, client_proxy(client),
	               chooser_label_keys(client_pool(client)->parts.chooser));
	if (credentials_set(named, user.name.bytes, user.name.length, offered->password, offered->password_length) < 0)
		credentials_set_unknown(named);
}

/* `offered` is NULL for a login that cannot be right. If it is not right, wait_for_login is next. */
static bool has_right_password(struct client *client, const struct credentials *offered)
{
	struct credentials named;
	bool is_right = false;
	set_offered(client, offered);
	if (offered != NULL)
		name_user(client, offered, &named);
	if (!client->replays)
		is_right = login_has_turn(&client->login) && login_is_right(&client->login, offered == NULL ? NULL : &named);
	else if (offered != NULL)
		is_right = client_proxy(client)->user_count == 0 || credentials_admitted(&named, client_proxy(client));
	if (offered != NULL)
		credentials_clear(&named);
	return is_right;
}

static void tell_refusal(void *owner)
{
	struct client *client = owner;
	if (client->refusal_length == 0) {
		client_refuse_http(client, &login_is_wrong, false);
		return;
	}
	connection_count_failed(&client->connection, COUNTERS_FAILED_AUTHENTICATION);
	say_and_close(client, client->refusal, client->refusal_length);
}

/* Nothing is read meanwhile; the same bytes are parsed again when it is their turn. Bytes that are read again have had it. */
static void wait_for_login(struct client *client)
{
	if (client->replays) {
		tell_refusal(client);
		return;
	}
	client->before_login = client->state;
	client->state = CLIENT_LOGIN;
	poller_set(client->poller, LOOP_BROKEN);
	deadline_set(client_loop(client), &client->deadline, LOOP_NEVER);
}

static void look_again(void *owner)
{
	struct client *client = owner;
	client->state = client->before_login;
	client->search = (struct http_head_search){ 0 };
	client_watch(client);
	client_parse(client);
}

static void on_deadline(void *owner)
{
	struct client *client = owner;
	if (client->state == CLIENT_DIALING) {
		client_refuse(client, &http_fault_client_left);
		return;
	}
	if (client->state == CLIENT_WAITING) {
		client_replay(client);
		return;
	}
	connection_count_failed(&client->connection, COUNTERS_FAILED_TIMEOUT);
	client_free(client); /* the request head did not arrive in time */
}

/* HTTP. */

/* True if the request may go on; else it was refused or waits. */
static bool log_in_http(struct client *client, const struct http_request *request)
{
	if (client_proxy(client)->user_count == 0) {
		set_offered(client, request->has_credentials ? &request->credentials : NULL);
		return true;
	}
	if (!request->has_credentials) {
		client_refuse_http(client, &login_is_missing, false);
		return false;
	}
	if (has_right_password(client, &request->credentials))
		return true;
	wait_for_login(client);
	return false;
}

/* Of an exchange through a pool. A wrong password goes back to where turns are waited for. */
static bool on_exchange_stays(void *owner, const struct http_request *request)
{
	struct client *client = owner;
	char *before = client->offered;
	bool is_right = client_proxy(client)->user_count == 0 || request->has_credentials;
	client->offered = NULL;
	client->replays = true;
	if (request->has_credentials)
		is_right = has_right_password(client, &request->credentials);
	const struct pool_ask ask = client_ask(client, &request->target);
	bool stays = is_right && (client->is_chosen || visit_stays(client->visit, &ask));
	if (stays && !client->is_chosen)
		visit_begin_request(client->visit);
	client->replays = client->is_chosen = false;
	free(client->offered);
	client->offered = before;
	return stays;
}

static void on_handed_back(void *owner, struct poller *poller, struct block *in);

static void on_tunnel_down(struct connection *connection)
{
	struct client *client = (struct client *)connection; /* its first member */
	if (client->exchange != NULL)
		exchange_tunnel_is_down(client->exchange);
}

static void join_exchange(struct client *client)
{
	static const struct exchange_events events = { .ended = on_joined_ended, .handed_back = on_handed_back };
	static const struct exchange_events pool_events = {
		.ended = on_joined_ended, .handed_back = on_handed_back, .stays = on_exchange_stays, .fails = client_exchange_fails
	};
	struct poller *poller = client->poller;
	struct block *in = intake_take(&client->in);
	client->poller = NULL;
	client->state = CLIENT_JOINED;
	deadline_set(client_loop(client), &client->deadline, LOOP_NEVER);
	connection_set_protocol(&client->connection, COUNTERS_HTTP);
	client->connection.down = on_tunnel_down;
	client->exchange = exchange_create(&client->connection, poller, in, client->visit == NULL ? &events : &pool_events, client);
	if (client->exchange == NULL)
		client_free(client);
}

static void begin_connect(struct client *client, const struct http_request *request)
{
	connection_set_protocol(&client->connection, COUNTERS_CONNECT);
	if (!log_in_http(client, request))
		return;
	intake_use(&client->in, request->length_of_head);
	dial_target(client, &request->target);
}

/* The exchange of a tunnel checks passwords itself; a pool needs the user before it can choose. */
static void begin_exchange(struct client *client, const struct http_request *request)
{
	if (client_pool(client) != NULL) {
		if (!log_in_http(client, request) || !client_find_way(client, &request->target))
			return;
		client->replays = false;
		client->is_chosen = true;
	}
	join_exchange(client);
}

static bool parse_http(struct client *client)
{
	static struct http_request request; /* 10 KB, consumed at once */
	size_t length = intake_length(&client->in);
	switch (http_request_read(&request, &client->search, intake_bytes(&client->in), length)) {
	case HTTP_MORE:
		if (length < HTTP_HEAD_MAX - 64)
			return false;
		client_refuse_http(client, &http_fault_long_head, false);
		return true;
	case HTTP_REFUSED: client_refuse_http(client, &request.fault, request.asked.head); break;
	case HTTP_WHOLE:
		if (request.asked.connect)
			begin_connect(client, &request);
		else
			begin_exchange(client, &request);
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
	/* A pool without users still reads the parameters of a user name. */
	bool wants_login = client_proxy(client)->user_count > 0 || (client_pool(client) != NULL && greeting.offers_password);
	enum socks_method method = socks_method_choose(&greeting, wants_login);
	if (method == SOCKS_METHOD_UNACCEPTABLE) {
		refuse_method(client);
		return true;
	}
	uint8_t reply[2];
	say_step(client, reply, socks_method_write(reply, method));
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
	bool is_admitted = has_right_password(client, progress == SOCKS_WHOLE ? &offered : NULL);
	credentials_clear(&offered);
	if (!is_admitted) {
		wait_for_login(client);
		return true;
	}
	intake_use(&client->in, taken);
	uint8_t reply[2];
	connection_admit(&client->connection);
	say_step(client, reply, socks_password_reply_write(reply, true));
	client->state = CLIENT_REQUEST;
	return false;
}

static void join_associate(struct client *client, const struct socks_request *request)
{
	client->connection.is_association = true;
	if (!client_find_way(client, &request->target))
		return;
	const struct pool_ask ask = client_ask(client, &request->target);
	if (client->visit != NULL && !visit_begin_datagrams(client->visit, &ask)) {
		client_refuse(client, &http_fault_memory);
		return;
	}
	const struct associate_want want = { .request = request, .visit = client->visit, .listen_index = client->listen_index };
	struct poller *poller = client->poller;
	client->poller = NULL;
	client->state = CLIENT_JOINED;
	intake_forget(&client->in);
	connection_admit(&client->connection);
	deadline_set(client_loop(client), &client->deadline, LOOP_NEVER);
	client->associate = associate_create(&client->connection, poller, &want, on_joined_ended, client);
	if (client->associate == NULL)
		client_free(client);
}

/* A pool's: without users any name is taken for its parameters. False: the client is gone. */
static bool take_user_id(struct client *client, const char *user)
{
	if (client_pool(client) == NULL)
		return true;
	free(client->offered);
	client->offered = strdup(user);
	if (client->offered == NULL)
		client_refuse(client, &http_fault_memory);
	return client->offered != NULL;
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
	if (four && !take_user_id(client, request.user))
		return true;
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
	unsigned protocols = client_proxy(client)->protocols;
	if (first == 5 && (protocols & SPEC_SOCKS5) != 0) {
		connection_set_protocol(&client->connection, COUNTERS_SOCKS5);
		client->state = CLIENT_METHOD;
	} else if (first == 4 && (protocols & SPEC_SOCKS4) != 0) {
		connection_set_protocol(&client->connection, COUNTERS_SOCKS4);
		client->state = CLIENT_SOCKS4;
		if (client_proxy(client)->user_count > 0) {
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

void client_parse(struct client *client)
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
		case CLIENT_WAITING:
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
		deadline_set(client_loop(client), &client->deadline, loop_now(client_loop(client)) + CONNECTION_LEFT_TIME);
}

static void on_client(void *owner, int events)
{
	struct client *client = owner;
	if ((poller_events(client->poller) & LOOP_READABLE) == 0) {
		on_left(client, events);
		return;
	}
	switch (intake_read(&client->in, poller_descriptor(client->poller))) {
	case 1: client_parse(client); break;
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
	if (client->visit == NULL)
		client_start_http(client);
	else
		client_choose_again(client);
}

void client_watch(struct client *client)
{
	poller_set_owner(client->poller, on_client, client);
	poller_set(client->poller, LOOP_READABLE | LOOP_LEFT);
	deadline_set(client_loop(client), &client->deadline, loop_now(client_loop(client)) + HEAD_TIME);
}

void client_start_http(struct client *client)
{
	client->state = CLIENT_HTTP;
	client->search = (struct http_head_search){ 0 };
	if (client_pool(client) != NULL)
		intake_keep(&client->in);
	client_watch(client);
	client_parse(client);
}

void client_init(struct client *client, struct poller *poller, uint16_t listen_index, const union wireguard_endpoint *from)
{
	(void)address_from_host(&client->connection.client, from); /* none over a unix socket */
	client->in.pool = client_tunnel(client)->context->blocks;
	client->poller = poller;
	client->listen_index = listen_index;
	login_init(&client->login, &client->connection, look_again, tell_refusal, client);
	deadline_init(&client->deadline, on_deadline, client);
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
	poller_set_sole(poller, true);
	connection_add_waiting(&client->connection, tunnel, address_source(from), client_end);
	client_init(client, poller, listener->index, from);
	if (tunnel->pool != NULL) {
		client->connection.pool = tunnel->pool->number;
		intake_keep(&client->in);
	}
	client_watch(client);
	on_client(client, LOOP_READABLE); /* mostly the request is there: the client sent it as soon as it was connected */
}
