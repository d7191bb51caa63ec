#include "tunnel/proxy/relay.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tunnel/connection.h"
#include "tunnel/flush.h"
#include "tunnel/io/linger.h"
#include "tunnel/tunnel.h"

#define PROBES 4      /* of the far end within the idle timeout */
#define READ_ROUNDS 2 /* reads per connection and turn, of TX_PIPE_BLOCKS each, so that none starves another */

struct relay {
	struct connection *connection;
	struct tunnel *tunnel;
	struct poller *client;
	struct netstack_stream *stream;
	struct deferred flush;
	bool reads_on; /* the stream has room again */
	struct tx_pipe up;
	struct rx_pipe down;
	bool client_finished, stream_finished, shut, broken;
	uint64_t active_at;
	uint64_t idle_timeout;
	struct deadline idle;
	relay_ended *ended;
	void *owner;
};

static uint64_t now_of(const struct relay *relay)
{
	return loop_now(relay->tunnel->context->loop);
}

static void destroy(struct relay *relay)
{
	flush_cancel(relay->tunnel, &relay->flush);
	deadline_set(relay->tunnel->context->loop, &relay->idle, LOOP_NEVER);
	poller_free(relay->client);
	tx_pipe_clear(&relay->up);
	rx_pipe_clear(&relay->down);
	free(relay);
}

/* Closing with lingering off sends RST, which tells the client that the connection broke. */
void relay_abort(struct relay *relay)
{
	linger_reset(poller_descriptor(relay->client));
	if (relay->stream != NULL)
		netstack_stream_abort(relay->stream, now_of(relay));
	tunnel_wake(relay->tunnel);
	destroy(relay);
}

static void end(struct relay *relay)
{
	relay_ended *ended = relay->ended;
	void *owner = relay->owner;
	destroy(relay);
	ended(owner);
}

static void end_broken(struct relay *relay)
{
	relay_ended *ended = relay->ended;
	void *owner = relay->owner;
	relay_abort(relay);
	ended(owner);
}

static void touch(struct relay *relay)
{
	relay->active_at = now_of(relay);
}

/* An idle connection lives as long as both ends answer: the kernel asks the client (service/socket/host_socket.c), and the far end is asked here. Of
 * one that has finished its way only bytes are a sign of life: the other may have forgotten it. */
static uint64_t alive_at(const struct relay *relay)
{
	bool is_whole = relay->stream != NULL && !relay->client_finished && !relay->stream_finished;
	uint64_t heard_at = is_whole ? netstack_stream_heard_at(relay->stream) : 0;
	return heard_at > relay->active_at ? heard_at : relay->active_at;
}

static void set_idle_deadline(struct relay *relay)
{
	uint64_t alive = alive_at(relay), end = alive + relay->idle_timeout, pause = relay->idle_timeout / PROBES;
	uint64_t next = now_of(relay) - alive < pause ? alive + pause : now_of(relay) + pause;
	deadline_set(relay->tunnel->context->loop, &relay->idle, next < end ? next : end);
}

static void on_idle(void *owner)
{
	struct relay *relay = owner;
	uint64_t silence = now_of(relay) - alive_at(relay);
	if (silence >= relay->idle_timeout) {
		end_broken(relay);
		return;
	}
	if (relay->stream != NULL && silence >= relay->idle_timeout / PROBES) {
		netstack_stream_probe(relay->stream);
		tunnel_wake(relay->tunnel);
	}
	set_idle_deadline(relay);
}

/* Both directions have finished. The stack delivers the stream's remaining bytes by itself. */
static bool end_if_over(struct relay *relay)
{
	bool down_over = relay->stream_finished && rx_pipe_is_empty(&relay->down);
	bool up_over = relay->stream == NULL || (relay->client_finished && !tx_pipe_is_waiting(&relay->up));
	if (down_over && !up_over && !relay->shut) {
		shutdown(poller_descriptor(relay->client), SHUT_WR);
		relay->shut = true;
	}
	if (!down_over || !up_over)
		return false;
	if (relay->stream != NULL)
		netstack_stream_release(relay->stream, now_of(relay));
	relay->stream = NULL;
	tunnel_wake(relay->tunnel);
	end(relay);
	return true;
}

/* Upward. */

static void finish_client(struct relay *relay)
{
	relay->client_finished = true;
	poller_set(relay->client, poller_events(relay->client) & ~LOOP_READABLE);
	netstack_stream_finish(relay->stream, now_of(relay));
	tunnel_wake(relay->tunnel);
}

/* Reads once. 1: more may follow; 0: stop for this turn; -1: the connection broke. */
static int read_once(struct relay *relay)
{
	ssize_t got = tx_pipe_read(&relay->up, relay->stream, TX_PIPE_BLOCKS);
	if (got == TX_PIPE_LATER)
		return 0;
	if (got == TX_PIPE_BROKEN || got == TX_PIPE_USED_UP)
		return -1;
	touch(relay);
	if (got == TX_PIPE_END) {
		finish_client(relay);
		return 0;
	}
	if (tx_pipe_offer(&relay->up, relay->stream))
		return relay->up.read_full;
	poller_set(relay->client, poller_events(relay->client) & ~LOOP_READABLE);
	return 0;
}

static void read_client(struct relay *relay)
{
	int more = 1;
	for (int i = 0; i < READ_ROUNDS && more > 0 && relay->stream != NULL; i++)
		more = read_once(relay);
	if (more < 0)
		end_broken(relay);
	else
		end_if_over(relay);
}

/* Downward. */

static void count_down(struct relay *relay, size_t bytes)
{
	if (bytes == 0)
		return;
	touch(relay);
	connection_count_taken(relay->connection, relay->stream, bytes);
}

/* A client that waited for room has mostly sent more by now, and is read in this turn: to take its socket out of epoll for every block, and
 * to put it back, costs more than a read that brings nothing. */
static void read_on(struct relay *relay)
{
	relay->reads_on = false;
	if (relay->stream != NULL && !relay->client_finished)
		tx_pipe_go_on(&relay->up, relay->stream);
	if ((poller_events(relay->client) & LOOP_READABLE) != 0)
		read_client(relay);
	else
		end_if_over(relay);
}

static void flush(void *owner)
{
	struct relay *relay = owner;
	count_down(relay, rx_pipe_flush(&relay->down));
	if (relay->broken || relay->down.broken)
		end_broken(relay);
	else if (relay->reads_on)
		read_on(relay);
	else
		end_if_over(relay);
}

static void on_acknowledged(void *owner, size_t bytes)
{
	struct relay *relay = owner;
	touch(relay);
	tx_pipe_acknowledged(&relay->up, relay->stream, bytes);
	if (relay->client_finished || (poller_events(relay->client) & LOOP_READABLE) != 0)
		return;
	relay->reads_on = true;
	flush_queue(relay->tunnel, &relay->flush);
}

static void on_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct relay *relay = owner;
	(void)length;
	flush_queue(relay->tunnel, &relay->flush);
	count_down(relay, rx_pipe_show(&relay->down, parts, count));
}

static void on_finished(void *owner)
{
	struct relay *relay = owner;
	relay->stream_finished = true;
	flush_queue(relay->tunnel, &relay->flush);
}

static void on_closed(void *owner, enum netstack_error why)
{
	struct relay *relay = owner;
	relay->stream = NULL;
	tx_pipe_clear(&relay->up);
	if (why == NETSTACK_OK)
		relay->stream_finished = true;
	else
		relay->broken = true;
	flush_queue(relay->tunnel, &relay->flush);
}

static const struct netstack_stream_events stream_events = {
	.received = on_received,
	.finished = on_finished,
	.acknowledged = on_acknowledged,
	.closed = on_closed,
};

static void on_client(void *owner, int events)
{
	struct relay *relay = owner;
	if ((events & LOOP_WRITABLE) != 0) {
		count_down(relay, rx_pipe_go_on(&relay->down));
		if (relay->down.broken) {
			end_broken(relay);
			return;
		}
		if (end_if_over(relay))
			return;
	}
	bool is_read = (poller_events(relay->client) & LOOP_READABLE) != 0;
	if ((events & LOOP_BROKEN) != 0 && !is_read)
		end_broken(relay);
	else if ((events & LOOP_READABLE) != 0 && !relay->client_finished && relay->stream != NULL)
		read_client(relay);
}

static void start(struct relay *relay)
{
	poller_set_owner(relay->client, on_client, relay);
	poller_set(relay->client, LOOP_READABLE | LOOP_BROKEN);
	netstack_stream_set_owner(relay->stream, &stream_events, relay);
	touch(relay);
	if (relay->idle_timeout > 0)
		set_idle_deadline(relay);
	if (!tx_pipe_offer(&relay->up, relay->stream))
		poller_set(relay->client, LOOP_BROKEN);
	flush_queue(relay->tunnel, &relay->flush);
}

static void discard(struct relay_begun *begun, struct netstack_stream *stream, struct poller *client)
{
	struct tunnel *tunnel = begun->up.tunnel;
	netstack_stream_abort(stream, loop_now(tunnel->context->loop));
	tx_pipe_clear(&begun->up);
	rx_pipe_clear(&begun->down);
	poller_free(client);
	tunnel_wake(tunnel);
}

struct relay *relay_continue(struct relay_begun *begun, struct poller *client, struct netstack_stream *stream, uint32_t idle_timeout,
                             relay_ended *ended, void *owner)
{
	assert(ended != NULL);
	struct relay *relay = calloc(1, sizeof(*relay));
	if (relay == NULL) {
		discard(begun, stream, client);
		return NULL;
	}
	relay->connection = begun->up.connection;
	relay->tunnel = begun->up.tunnel;
	relay->client = client;
	relay->stream = stream;
	relay->stream_finished = begun->stream_finished;
	relay->ended = ended;
	relay->owner = owner;
	relay->idle_timeout = idle_timeout * LOOP_SECOND;
	deferred_init(&relay->flush, flush, relay);
	deadline_init(&relay->idle, on_idle, relay);
	tx_pipe_move(&relay->up, &begun->up);
	rx_pipe_move(&relay->down, &begun->down);
	relay->up.client = relay->down.client = client;
	start(relay);
	return relay;
}

void relay_begin(struct relay_begun *begun, struct connection *connection, struct poller *client)
{
	tx_pipe_init(&begun->up, connection, client);
	rx_pipe_init(&begun->down, connection->tunnel, client);
	begun->stream_finished = false;
}

struct relay *relay_create(struct connection *connection, struct poller *client, struct netstack_stream *stream, struct block *early,
                           const void *first, size_t first_length, uint32_t idle_timeout, relay_ended *ended, void *owner)
{
	struct relay_begun begun;
	relay_begin(&begun, connection, client);
	if (early != NULL)
		tx_pipe_put_block(&begun.up, early);
	rx_pipe_put_own(&begun.down, first, first_length, 0);
	return relay_continue(&begun, client, stream, idle_timeout, ended, owner);
}
