#include "tunnel/proxy/exchange.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tunnel/connection.h"
#include "tunnel/dial.h"
#include "tunnel/flush.h"
#include "tunnel/io/intake.h"
#include "tunnel/io/linger.h"
#include "tunnel/login.h"
#include "tunnel/proxy/answer.h"
#include "tunnel/proxy/relay.h"

#define HEAD_TIME (10 * LOOP_SECOND)
#define REPLY_TIME (10 * LOOP_SECOND) /* for the client to take a reply of our own */
#define READ_ROUNDS 8                 /* reads of a body per turn, so that no connection starves another */
/* The minimum rate of a body with a known length while only the client is waited for (X15). */
#define BODY_TIME (60 * LOOP_SECOND)
#define BODY_BYTES 1024
/* A server may close an idle connection at any time. A request that must not be sent twice uses only one that was in use a moment ago. */
#define KEPT_FRESH (2 * LOOP_SECOND)

static const struct http_fault malformed_body = { .error = HTTP_ERROR_HTTP_REQUEST_ERROR, .detail = "malformed chunks in the body" };

/* READING waits for a request's head, and holds the last server's connection when that can be used again. LOGIN: the
 * password waits for its turn, or its refusal to be told. DIALLING: for the dial; nothing is read. PASSING: body up and answer down. ENDING: a reply
 * of our own goes out. JOINED: a relay has both sides. Only `advance` moves from one to another, and only it ends the exchange: callbacks note what
 * happened. */
enum exchange_state { READING, LOGIN, DIALLING, PASSING, ENDING, JOINED };

struct exchange {
	struct connection *connection;
	struct tunnel *tunnel;
	const struct exchange_events *events;
	void *owner;
	struct deferred flush;
	enum exchange_state state;
	bool broken, closed; /* end with a reset, or normally */
	bool finished;       /* the client sends no more */
	bool keeps;          /* ENDING: another request may follow */
	bool counted;        /* this request was counted as success or failure */
	bool repeatable;
	struct poller *client;
	struct intake in;
	struct http_head_search search;
	struct http_asked asked;
	struct target target; /* of this request; in READING the one that `stream` leads to */
	struct http_body body;
	uint64_t body_bytes, body_from; /* bytes received of it since then */
	struct netstack_stream *stream;
	bool stream_finished, spoiled; /* the server has finished, or sent bytes that were not requested */
	bool reused;
	uint64_t kept_at;
	struct block *again; /* the head, while it may have to be sent again */
	struct dial *dial;
	struct http_fault fault; /* the dial's */
	struct tx_pipe up;
	struct rx_pipe down;
	struct answer answer;
	struct relay *relay;
	struct login login;
	uint64_t active_at;
	struct deadline deadline;
};

static struct loop *loop_of(const struct exchange *exchange)
{
	return exchange->tunnel->context->loop;
}

static struct block_pool *pool_of(const struct exchange *exchange)
{
	return exchange->tunnel->context->blocks;
}

static uint64_t now_of(const struct exchange *exchange)
{
	return loop_now(loop_of(exchange));
}

static void touch(struct exchange *exchange)
{
	exchange->active_at = now_of(exchange);
}

static void watch(struct exchange *exchange, int add, int remove)
{
	poller_set(exchange->client, (poller_events(exchange->client) | add) & ~remove);
}

/* The limit of inactivity, 0: none. A client that has sent its request and half-closed may be gone. */
static uint64_t idle_time(const struct exchange *exchange)
{
	uint64_t idle = exchange->connection->proxy->idle_timeout * LOOP_SECOND;
	bool has_left = exchange->finished && http_body_ended(&exchange->body);
	return has_left && (idle == 0 || idle > CONNECTION_LEFT_TIME) ? CONNECTION_LEFT_TIME : idle;
}

static void set_idle_deadline(struct exchange *exchange)
{
	uint64_t idle = idle_time(exchange);
	uint64_t at = idle == 0 ? LOOP_NEVER : exchange->active_at + idle;
	if (exchange->state == PASSING && exchange->body.state == HTTP_BODY_LENGTH && exchange->body_from + BODY_TIME < at)
		at = exchange->body_from + BODY_TIME;
	deadline_set(loop_of(exchange), &exchange->deadline, at);
}

/* The end. */

/* The server's connection is no longer needed: closes it normally, or with a reset. */
static void drop_stream(struct exchange *exchange, bool in_order)
{
	if (exchange->stream != NULL && in_order)
		netstack_stream_release(exchange->stream, now_of(exchange));
	else if (exchange->stream != NULL)
		netstack_stream_abort(exchange->stream, now_of(exchange));
	exchange->stream = NULL;
	exchange->stream_finished = exchange->spoiled = false;
	tx_pipe_clear(&exchange->up);
	tunnel_wake(exchange->tunnel);
}

static void destroy(struct exchange *exchange)
{
	flush_cancel(exchange->tunnel, &exchange->flush);
	login_cancel(&exchange->login);
	dial_cancel(exchange->dial);
	drop_stream(exchange, exchange->state == READING);
	intake_clear(&exchange->in);
	block_pool_give(pool_of(exchange), exchange->again);
	answer_clear(&exchange->answer);
	rx_pipe_clear(&exchange->down);
	deadline_set(loop_of(exchange), &exchange->deadline, LOOP_NEVER);
	poller_free(exchange->client);
	free(exchange);
}

static void end(struct exchange *exchange)
{
	const struct exchange_events *events = exchange->events;
	void *owner = exchange->owner;
	destroy(exchange);
	events->ended(owner);
}

static void count_failed(struct exchange *exchange, enum counters_failure failure)
{
	if (!exchange->counted)
		connection_count_failed(exchange->connection, failure);
	exchange->counted = true;
}

/* Closing with lingering off sends RST, which tells the client that the answer is incomplete. */
void exchange_abort(struct exchange *exchange)
{
	if (exchange->relay != NULL)
		relay_abort(exchange->relay);
	if (exchange->client != NULL)
		linger_reset(poller_descriptor(exchange->client));
	if (exchange->stream != NULL)
		netstack_stream_abort(exchange->stream, now_of(exchange));
	exchange->stream = NULL;
	destroy(exchange);
}

static void end_broken(struct exchange *exchange)
{
	const struct exchange_events *events = exchange->events;
	void *owner = exchange->owner;
	if (exchange->state != READING)
		count_failed(exchange, COUNTERS_FAILED_CLIENT_GONE);
	exchange_abort(exchange);
	events->ended(owner);
}

static void end_lingering(struct exchange *exchange)
{
	linger_close(loop_of(exchange), exchange->client);
	exchange->client = NULL;
	end(exchange);
}

static void hand_back(struct exchange *exchange)
{
	const struct exchange_events *events = exchange->events;
	void *owner = exchange->owner;
	struct poller *client = exchange->client;
	intake_rewind(&exchange->in);
	struct block *in = intake_take(&exchange->in);
	exchange->client = NULL;
	destroy(exchange);
	events->handed_back(owner, client, in);
}

/* Replies of our own. */

static void refuse(struct exchange *exchange, const struct http_fault *fault, bool keeps)
{
	char reply[HTTP_ERROR_ROOM];
	keeps = keeps && exchange->asked.keep_alive && http_body_ended(&exchange->body);
	unsigned options = (keeps ? HTTP_ERROR_KEEP_ALIVE : 0) | (exchange->asked.head ? HTTP_ERROR_NO_BODY : 0);
	count_failed(exchange, dial_failure(fault->error));
	intake_forget(&exchange->in);
	drop_stream(exchange, exchange->state != PASSING);
	rx_pipe_put_own(&exchange->down, reply, http_error_write(reply, sizeof(reply), fault, options), 0);
	watch(exchange, 0, LOOP_READABLE);
	exchange->keeps = keeps;
	exchange->state = ENDING;
	deadline_set(loop_of(exchange), &exchange->deadline, now_of(exchange) + REPLY_TIME);
	flush_queue(exchange->tunnel, &exchange->flush);
}

/* Another tunnel may do better, while nothing of an answer is known: the request is kept as long. */
static void fail(struct exchange *exchange, const struct http_fault *fault)
{
	if (exchange->in.keeps && exchange->events->fails(exchange->owner, fault))
		hand_back(exchange);
	else
		refuse(exchange, fault, true);
}

static void refuse_memory(struct exchange *exchange)
{
	refuse(exchange, &http_fault_memory, false);
}

/* Requests in a row. */

static void start_reading(struct exchange *exchange)
{
	exchange->state = READING;
	exchange->search = (struct http_head_search){ 0 };
	exchange->asked = (struct http_asked){ 0 };
	exchange->counted = false;
	touch(exchange);
	watch(exchange, LOOP_READABLE, 0);
	if (exchange->in.block == NULL)
		set_idle_deadline(exchange);
	else
		deadline_set(loop_of(exchange), &exchange->deadline, now_of(exchange) + HEAD_TIME);
	flush_queue(exchange->tunnel, &exchange->flush);
}

/* The client has the complete answer. */
static void finish_answer(struct exchange *exchange)
{
	bool keeps = exchange->answer.keeps_client && http_body_ended(&exchange->body);
	bool sent_whole = http_body_ended(&exchange->body) && !tx_pipe_is_waiting(&exchange->up);
	bool keeps_server = exchange->answer.keeps_server && !exchange->stream_finished && sent_whole;
	if (!keeps || !keeps_server)
		drop_stream(exchange, sent_whole);
	answer_clear(&exchange->answer);
	exchange->kept_at = now_of(exchange);
	if (keeps)
		start_reading(exchange);
	else
		end_lingering(exchange);
}

static void on_relay_ended(void *owner)
{
	struct exchange *exchange = owner;
	exchange->relay = NULL;
	end(exchange);
}

/* After 101 both sides use another protocol. */
static void join_relay(struct exchange *exchange)
{
	struct relay_begun begun;
	tx_pipe_move(&begun.up, &exchange->up);
	rx_pipe_move(&begun.down, &exchange->down);
	begun.stream_finished = exchange->stream_finished;
	if (exchange->in.block != NULL)
		tx_pipe_put_block(&begun.up, intake_take(&exchange->in));
	struct poller *client = exchange->client;
	struct netstack_stream *stream = exchange->stream;
	exchange->client = NULL;
	exchange->stream = NULL;
	exchange->state = JOINED;
	deadline_set(loop_of(exchange), &exchange->deadline, LOOP_NEVER);
	exchange->relay = relay_continue(&begun, client, stream, exchange->connection->proxy->idle_timeout, on_relay_ended, exchange);
	if (exchange->relay == NULL)
		end(exchange);
}

/* The server's side. */

static void count_down(struct exchange *exchange, size_t bytes)
{
	if (bytes == 0)
		return;
	touch(exchange);
	connection_count_taken(exchange->connection, exchange->stream, bytes);
}

static void on_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct exchange *exchange = owner;
	(void)length;
	flush_queue(exchange->tunnel, &exchange->flush);
	if (exchange->state == PASSING)
		count_down(exchange, answer_feed(&exchange->answer, parts, count, http_body_ended(&exchange->body)));
	else
		exchange->spoiled = true;
}

static void on_finished(void *owner)
{
	struct exchange *exchange = owner;
	exchange->stream_finished = true;
	if (exchange->state == PASSING)
		answer_finish(&exchange->answer);
	flush_queue(exchange->tunnel, &exchange->flush);
}

static void on_acknowledged(void *owner, size_t bytes)
{
	struct exchange *exchange = owner;
	touch(exchange);
	tx_pipe_acknowledged(&exchange->up, exchange->stream, bytes);
	if (exchange->state == PASSING && !http_body_ended(&exchange->body))
		tx_pipe_go_on(&exchange->up, exchange->stream);
}

static void on_closed(void *owner, enum netstack_error why)
{
	struct exchange *exchange = owner;
	exchange->stream = NULL;
	exchange->stream_finished = true;
	tx_pipe_clear(&exchange->up);
	if (exchange->state == PASSING && why == NETSTACK_OK)
		answer_finish(&exchange->answer);
	else if (exchange->state == PASSING)
		answer_break(&exchange->answer);
	flush_queue(exchange->tunnel, &exchange->flush);
}

static const struct netstack_stream_events stream_events = {
	.received = on_received,
	.finished = on_finished,
	.acknowledged = on_acknowledged,
	.closed = on_closed,
};

static void start_passing(struct exchange *exchange)
{
	exchange->state = PASSING;
	answer_init(&exchange->answer, &exchange->down, &exchange->asked);
	touch(exchange);
	exchange->body_from = now_of(exchange);
	exchange->body_bytes = 0;
	set_idle_deadline(exchange);
	if (!exchange->repeatable)
		intake_forget(&exchange->in);
	if (tx_pipe_offer(&exchange->up, exchange->stream) && !http_body_ended(&exchange->body))
		watch(exchange, LOOP_READABLE, 0);
}

/* Called from within the stack: a failure is handled later. */
static void on_dialed(void *owner, struct netstack_stream *stream, const struct http_fault *fault)
{
	struct exchange *exchange = owner;
	exchange->dial = NULL;
	exchange->fault = *fault;
	flush_queue(exchange->tunnel, &exchange->flush);
	if (stream == NULL)
		return;
	exchange->stream = stream;
	netstack_stream_remote(stream, &exchange->connection->address);
	netstack_stream_set_owner(stream, &stream_events, exchange);
	start_passing(exchange);
}

static void set_dial_deadline(struct exchange *exchange)
{
	deadline_set(loop_of(exchange), &exchange->deadline, exchange->finished ? now_of(exchange) + CONNECTION_LEFT_TIME : LOOP_NEVER);
}

static void dial(struct exchange *exchange)
{
	bool is_new = exchange->connection->waits;
	connection_set_target(exchange->connection, &exchange->target);
	connection_admit(exchange->connection);
	if (is_new && connection_is_over_limit(exchange->connection)) {
		refuse(exchange, &http_fault_connections, false);
		return;
	}
	exchange->state = DIALLING;
	set_dial_deadline(exchange);
	exchange->dial = dial_start(exchange->tunnel, exchange->connection->proxy, &exchange->target, false, on_dialed, exchange);
	if (exchange->dial == NULL)
		refuse_memory(exchange);
}

/* A request that was lost with a stale connection is sent once more. */
static bool send_again(struct exchange *exchange)
{
	struct block *again = exchange->again;
	if (again == NULL || exchange->answer.begun)
		return false;
	drop_stream(exchange, false);
	answer_clear(&exchange->answer);
	exchange->again = NULL;
	tx_pipe_put_block(&exchange->up, again);
	dial(exchange);
	return true;
}

static void look_at_answer(struct exchange *exchange)
{
	struct answer *answer = &exchange->answer;
	if (answer->sent && !exchange->counted) {
		connection_count_ok(exchange->connection);
		exchange->counted = true;
	}
	if (answer->begun) {
		block_pool_give(pool_of(exchange), exchange->again);
		exchange->again = NULL;
		intake_forget(&exchange->in);
	}
	switch (answer->state) {
	case ANSWER_HEAD:
	case ANSWER_BODY: return;
	case ANSWER_ENDED:
		if (rx_pipe_is_empty(&exchange->down))
			finish_answer(exchange);
		return;
	case ANSWER_UPGRADED:
		/* The rest of the client's body comes before its bytes in the other protocol. */
		if (exchange->stream != NULL && !http_body_ended(&exchange->body))
			return;
		if (exchange->stream != NULL)
			join_relay(exchange);
		else if (rx_pipe_is_empty(&exchange->down))
			end_lingering(exchange);
		return;
	case ANSWER_FAILED:
		if (answer->sent)
			end_broken(exchange);
		else if (!send_again(exchange))
			fail(exchange, &answer->fault);
		return;
	}
}

/* Requests. */

static bool is_repeatable(const struct http_request *request)
{
	static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE" }; /* RFC 9110, 9.2.2 */
	if (request->framing == HTTP_FRAMING_CHUNKED || request->length > 0)
		return false;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (request->method.length == strlen(methods[i]) && memcmp(request->method.bytes, methods[i], request->method.length) == 0)
			return true;
	return false;
}

/* Whether the last request's connection can serve this one. The checks for a new connection apply, too. */
static bool can_reuse(const struct exchange *exchange, const struct http_request *request)
{
	const struct tunnel *tunnel = exchange->tunnel;
	if (exchange->stream == NULL || exchange->stream_finished || exchange->spoiled || tx_pipe_is_waiting(&exchange->up))
		return false;
	if (strcmp(exchange->target.host, request->target.host) != 0 || exchange->target.port != request->target.port)
		return false;
	if (!is_repeatable(request) && now_of(exchange) - exchange->kept_at > KEPT_FRESH)
		return false;
	struct netstack_endpoint remote;
	struct target there;
	netstack_stream_remote(exchange->stream, &remote);
	target_from_address(&there, &remote);
	return !health_is_down(tunnel) && !tunnel_is_used_up(tunnel) &&
	       dial_judge(tunnel, exchange->connection->proxy, &there).error == HTTP_ERROR_NONE;
}

static void wait_for_login(struct exchange *exchange)
{
	exchange->state = LOGIN;
	watch(exchange, 0, LOOP_READABLE);
	deadline_set(loop_of(exchange), &exchange->deadline, LOOP_NEVER);
}

static bool must_log_in(const struct exchange *exchange)
{
	return exchange->events->stays == NULL && exchange->connection->proxy->user_count > 0;
}

/* True if the request may proceed; otherwise its refusal is being sent. */
static bool admit(struct exchange *exchange, const struct http_request *request)
{
	if (!must_log_in(exchange))
		return true;
	if (!request->has_credentials) {
		refuse(exchange, &login_is_missing, true);
		return false;
	}
	if (login_is_right(&exchange->login, &request->credentials))
		return true;
	wait_for_login(exchange);
	return false;
}

/* The rewritten head, and the part of the body that arrived with it, wait in `up`. */
static bool write_request(struct exchange *exchange, const struct http_request *request, const char *body, size_t body_length)
{
	char head[HTTP_HEAD_ROOM];
	size_t length = http_request_write(request, request->asked.keep_alive, head, sizeof(head));
	if (length == 0 || !tx_pipe_put(&exchange->up, head, length) || !tx_pipe_put(&exchange->up, body, body_length))
		return false;
	if (!exchange->reused || !exchange->repeatable)
		return true;
	exchange->again = block_pool_take(pool_of(exchange), true);
	if (exchange->again == NULL || length > exchange->again->capacity) {
		block_pool_give(pool_of(exchange), exchange->again); /* the request is then not repeated */
		exchange->again = NULL;
		return true;
	}
	memcpy(exchange->again->bytes, head, length);
	exchange->again->end = (uint32_t)length;
	return true;
}

static void send_request(struct exchange *exchange, const struct http_request *request, const char *body, size_t body_length)
{
	exchange->reused = can_reuse(exchange, request);
	exchange->repeatable = is_repeatable(request);
	if (!exchange->reused)
		drop_stream(exchange, true);
	exchange->target = request->target;
	watch(exchange, 0, LOOP_READABLE);
	if (!write_request(exchange, request, body, body_length))
		refuse_memory(exchange);
	else if (exchange->reused)
		start_passing(exchange);
	else
		dial(exchange);
}

static void take_request(struct exchange *exchange, const struct http_request *request)
{
	size_t head = request->length_of_head;
	const char *body = intake_bytes(&exchange->in) + head;
	exchange->asked = request->asked;
	http_body_init(&exchange->body, request->framing, request->length);
	/* Before anything of the request is forwarded, so that a bad first chunk forwards nothing. */
	size_t body_length = http_body_feed(&exchange->body, body, intake_length(&exchange->in) - head);
	if (http_body_failed(&exchange->body))
		refuse(exchange, &malformed_body, false);
	else if (admit(exchange, request))
		send_request(exchange, request, body, body_length);
	if (exchange->events->fails != NULL && (exchange->state == DIALLING || (exchange->state == PASSING && exchange->repeatable)))
		intake_keep(&exchange->in);
	intake_use(&exchange->in, head + body_length);
}

static void parse(struct exchange *exchange)
{
	struct http_request request;
	switch (http_request_read(&request, &exchange->search, intake_bytes(&exchange->in), intake_length(&exchange->in))) {
	case HTTP_MORE:
		if (intake_length(&exchange->in) >= HTTP_HEAD_MAX - 64)
			refuse(exchange, &http_fault_long_head, false);
		return;
	case HTTP_REFUSED:
		exchange->asked = request.asked;
		refuse(exchange, &request.fault, false);
		break;
	case HTTP_WHOLE:
		if (request.asked.connect || (exchange->events->stays != NULL && !exchange->events->stays(exchange->owner, &request))) {
			http_request_clear(&request);
			hand_back(exchange);
			return;
		}
		if (!must_log_in(exchange) || !request.has_credentials || login_has_turn(&exchange->login))
			take_request(exchange, &request);
		else
			wait_for_login(exchange);
		break;
	}
	http_request_clear(&request);
}

/* The client's side. */

static void read_head(struct exchange *exchange)
{
	bool first = exchange->in.block == NULL;
	int result = intake_read(&exchange->in, poller_descriptor(exchange->client));
	if (result == -1 && exchange->in.block != NULL)
		count_failed(exchange, COUNTERS_FAILED_CLIENT_GONE);
	exchange->closed = result == -1;
	exchange->broken = result == -2;
	if (first && result == 1)
		deadline_set(loop_of(exchange), &exchange->deadline, now_of(exchange) + HEAD_TIME);
}

/* The request cannot be passed on; only while the client has had nothing of an answer can it be told why. */
static void end_upload(struct exchange *exchange, const struct http_fault *why)
{
	exchange->broken = exchange->answer.sent;
	if (!exchange->broken)
		refuse(exchange, why, false);
}

/* Reads a request's body once. True if more may follow in this turn. */
static bool read_body_once(struct exchange *exchange)
{
	struct tx_pipe *up = &exchange->up;
	ssize_t got = tx_pipe_read(up, exchange->stream, 1);
	if (got == TX_PIPE_LATER)
		return false;
	if (got == TX_PIPE_END || got == TX_PIPE_BROKEN) {
		exchange->broken = true;
		return false;
	}
	if (got == TX_PIPE_USED_UP) {
		end_upload(exchange, &http_fault_used_up);
		return false;
	}
	touch(exchange);
	exchange->body_bytes += (uint64_t)got;
	size_t length = (size_t)got, taken = http_body_feed(&exchange->body, tx_pipe_last(up, length), length);
	if (http_body_failed(&exchange->body)) {
		end_upload(exchange, &malformed_body);
		return false;
	}
	if (taken < length) {
		/* It belongs to the next request. */
		exchange->broken = !intake_put(&exchange->in, tx_pipe_last(up, length) + taken, length - taken);
		tx_pipe_shorten(up, length - taken);
	}
	bool more = tx_pipe_offer(up, exchange->stream) && !http_body_ended(&exchange->body);
	if (!more)
		watch(exchange, 0, LOOP_READABLE);
	if (http_body_ended(&exchange->body))
		set_idle_deadline(exchange);
	return more && up->read_full;
}

static void read_body(struct exchange *exchange)
{
	if (exchange->stream == NULL || http_body_ended(&exchange->body)) {
		watch(exchange, 0, LOOP_READABLE);
		return;
	}
	for (int i = 0; i < READ_ROUNDS && read_body_once(exchange); i++)
		;
}

static void advance(struct exchange *exchange)
{
	if (exchange->broken || exchange->down.broken) {
		end_broken(exchange);
		return;
	}
	if (exchange->closed) {
		end(exchange);
		return;
	}
	switch (exchange->state) {
	case READING:
		if (exchange->stream_finished || exchange->spoiled)
			drop_stream(exchange, true);
		if (exchange->in.block != NULL)
			parse(exchange);
		return;
	case DIALLING:
		if (exchange->dial == NULL)
			fail(exchange, &exchange->fault);
		return;
	case PASSING: look_at_answer(exchange); return;
	case ENDING:
		if (!rx_pipe_is_empty(&exchange->down))
			return;
		if (exchange->keeps)
			start_reading(exchange);
		else
			end_lingering(exchange);
		return;
	case LOGIN:
	case JOINED: return;
	}
}

/* While nothing is read. */
static void on_left(struct exchange *exchange, int events)
{
	exchange->broken = exchange->broken || (events & LOOP_BROKEN) != 0;
	if ((events & LOOP_FINISHED) == 0 || exchange->finished)
		return;
	exchange->finished = true;
	watch(exchange, 0, LOOP_FINISHED);
	touch(exchange);
	if (exchange->state == DIALLING)
		set_dial_deadline(exchange);
	else if (exchange->state == PASSING)
		set_idle_deadline(exchange);
}

static void on_client(void *owner, int events)
{
	struct exchange *exchange = owner;
	if ((poller_events(exchange->client) & LOOP_READABLE) == 0)
		on_left(exchange, events);
	if ((events & LOOP_WRITABLE) != 0)
		count_down(exchange, rx_pipe_go_on(&exchange->down));
	if ((events & LOOP_READABLE) != 0) {
		if (exchange->state == READING)
			read_head(exchange);
		else if (exchange->state == PASSING)
			read_body(exchange);
		else
			watch(exchange, 0, LOOP_READABLE);
	}
	advance(exchange);
}

/* Deadlines. */

static bool is_body_slow(const struct exchange *exchange)
{
	return exchange->body.state == HTTP_BODY_LENGTH && (poller_events(exchange->client) & LOOP_READABLE) != 0 &&
	       exchange->body_bytes < BODY_BYTES;
}

static void on_passing_due(struct exchange *exchange)
{
	static const struct http_fault slow_client = { .status = 408,
		                                       .error = HTTP_ERROR_HTTP_REQUEST_ERROR,
		                                       .detail = "the request body did not arrive in time" };
	static const struct http_fault slow_server = { .error = HTTP_ERROR_CONNECTION_READ_TIMEOUT, .detail = "the server did not answer in time" };
	uint64_t now = now_of(exchange), idle = idle_time(exchange);
	bool is_idle = idle > 0 && exchange->active_at + idle <= now;
	bool is_slow = exchange->body_from + BODY_TIME <= now && is_body_slow(exchange);
	if (exchange->body_from + BODY_TIME <= now) {
		exchange->body_from = now;
		exchange->body_bytes = 0;
	}
	if (!is_idle && !is_slow) {
		set_idle_deadline(exchange);
		return;
	}
	if (exchange->answer.sent) {
		exchange->broken = true;
		return;
	}
	bool waits_for_client = is_slow || !http_body_ended(&exchange->body);
	refuse(exchange, waits_for_client ? &slow_client : &slow_server, false);
}

/* Bytes of a head whose password waited: `advance` reads them. */
static void look_again(void *owner)
{
	struct exchange *exchange = owner;
	exchange->state = READING;
	exchange->search = (struct http_head_search){ 0 };
	watch(exchange, LOOP_READABLE, 0);
	deadline_set(loop_of(exchange), &exchange->deadline, now_of(exchange) + HEAD_TIME);
	advance(exchange);
}

static void tell_refusal(void *owner)
{
	struct exchange *exchange = owner;
	refuse(exchange, &login_is_wrong, true);
	advance(exchange);
}

static void on_deadline(void *owner)
{
	static const struct http_fault slow = { .status = 408,
		                                .error = HTTP_ERROR_HTTP_REQUEST_ERROR,
		                                .detail = "the request head did not arrive in time" };
	struct exchange *exchange = owner;
	switch (exchange->state) {
	case READING:
		if (exchange->in.block == NULL)
			exchange->closed = true;
		else
			refuse(exchange, &slow, false);
		break;
	case PASSING: on_passing_due(exchange); break;
	case ENDING: exchange->broken = true; break;
	case DIALLING:
		dial_cancel(exchange->dial);
		exchange->dial = NULL;
		refuse(exchange, &http_fault_client_left, false);
		break;
	case LOGIN:
	case JOINED: break;
	}
	advance(exchange);
}

/* Only a pool's request is kept, and only until a byte of its answer arrives. */
void exchange_tunnel_is_down(struct exchange *exchange)
{
	if (exchange->state != PASSING || !exchange->in.keeps || exchange->answer.begun)
		return;
	answer_break(&exchange->answer);
	exchange->answer.fault = (struct http_fault){ .error = HTTP_ERROR_DESTINATION_UNAVAILABLE, .detail = exchange->tunnel->health.reason };
	flush_queue(exchange->tunnel, &exchange->flush);
}

static void flush(void *owner)
{
	struct exchange *exchange = owner;
	count_down(exchange, rx_pipe_flush(&exchange->down));
	advance(exchange);
}

struct exchange *exchange_create(struct connection *connection, struct poller *client, struct block *in, const struct exchange_events *events,
                                 void *owner)
{
	assert(events->ended != NULL && events->handed_back != NULL && (events->stays == NULL) == (events->fails == NULL));
	struct tunnel *tunnel = connection->tunnel;
	struct exchange *exchange = calloc(1, sizeof(*exchange));
	if (exchange == NULL) {
		block_pool_give(tunnel->context->blocks, in);
		poller_free(client);
		return NULL;
	}
	exchange->connection = connection;
	exchange->tunnel = tunnel;
	exchange->events = events;
	exchange->owner = owner;
	exchange->client = client;
	exchange->in = (struct intake){ .pool = tunnel->context->blocks, .block = in };
	tx_pipe_init(&exchange->up, connection, client);
	rx_pipe_init(&exchange->down, tunnel, client);
	deferred_init(&exchange->flush, flush, exchange);
	deadline_init(&exchange->deadline, on_deadline, exchange);
	login_init(&exchange->login, connection, look_again, tell_refusal, exchange);
	poller_set_owner(client, on_client, exchange);
	http_body_init(&exchange->body, HTTP_FRAMING_NONE, 0);
	watch(exchange, LOOP_LEFT, 0);
	start_reading(exchange);
	return exchange;
}
