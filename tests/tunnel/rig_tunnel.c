/* The environment of a tunnel's connections: the tunnel itself, its health, the control process, and a client. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/tunnel/rig.h"
#include "tunnel/descriptor_request.h"
#include "tunnel/flush.h"
#include "tunnel/login.h"

struct rig rig;
static size_t last_length;

/* tunnel.h and health.h */

static void settle(void *owner)
{
	(void)owner;
	flush_all(&rig.tunnel);
	rig.tunnel.settling = true;
	netstack_settle(NULL, rig.now);
	rig.tunnel.settling = false;
	flush_all(&rig.tunnel);
}

void tunnel_wake(struct tunnel *tunnel)
{
	deferred_queue(tunnel->context->loop, &tunnel->settle);
}

void tunnel_count_sent(struct tunnel *tunnel, size_t bytes)
{
	counter_add(&tunnel->counters->bytes_sent, bytes);
}

void tunnel_count_received(struct tunnel *tunnel, size_t bytes)
{
	counter_add(&tunnel->counters->bytes_received, bytes);
}

void tunnel_count_dropped(struct tunnel *tunnel, enum counters_drop reason)
{
	counter_add(&tunnel->counters->dropped[reason], 1);
}

size_t tunnel_quota_left(const struct tunnel *tunnel)
{
	uint64_t used = counter_read(&tunnel->counters->bytes_sent) + counter_read(&tunnel->counters->bytes_received);
	uint64_t most = tunnel->spec.limits.total_bytes;
	if (most == 0)
		return SIZE_MAX;
	return used < most ? (size_t)(most - used) : 0;
}

bool tunnel_is_used_up(const struct tunnel *tunnel)
{
	uint64_t used = counter_read(&tunnel->counters->bytes_sent) + counter_read(&tunnel->counters->bytes_received);
	return tunnel->spec.limits.total_bytes != 0 && used >= tunnel->spec.limits.total_bytes;
}

bool tunnel_may_pass(const struct tunnel *tunnel, struct bucket *rate, size_t length)
{
	uint64_t again;
	return !tunnel_is_used_up(tunnel) && bucket_allowance(rate, length, rig.now, &again) >= length;
}

const char *tunnel_why_unroutable(const struct tunnel *tunnel, const struct netstack_endpoint *address)
{
	(void)tunnel;
	bool is_it = rig.unroutable.family == address->family && memcmp(rig.unroutable.bytes, address->bytes, sizeof(address->bytes)) == 0;
	return is_it ? "no peer's allowed_ips cover the target" : NULL;
}

bool health_is_down(const struct tunnel *tunnel)
{
	(void)tunnel;
	return rig.down;
}

void health_wanted(struct tunnel *tunnel)
{
	(void)tunnel;
	rig.wanted++;
}

/* The control process. */

static void send_message(struct context *context, enum message_type type, struct message_writer *writer)
{
	(void)context;
	assert_true(!writer->failed || rig.has_little_memory);
	if (writer->failed) {
		message_writer_clear(writer); /* a worker ends here, and the next begins anew */
		return;
	}
	assert_true(rig.sent_count < RIG_SENT_MAX && writer->length <= sizeof(rig.sent[0].bytes));
	struct rig_message *message = &rig.sent[rig.sent_count++];
	message->type = type;
	message->length = writer->length;
	memcpy(message->bytes, writer->bytes, writer->length);
	message_writer_clear(writer);
}

const struct rig_message *rig_sent(enum message_type type)
{
	for (size_t i = rig.sent_count; i > 0; i--)
		if (rig.sent[i - 1].type == type)
			return &rig.sent[i - 1];
	return NULL;
}

void rig_grant(enum message_status status, int descriptor)
{
	struct message_ack ack = {
		.request = rig.context.next_want, .slot = rig.tunnel.slot, .generation = rig.tunnel.generation, .status = (uint8_t)status
	};
	descriptor_request_answer(&rig.context, &ack, descriptor);
	rig_turn();
}

/* A client. */

void rig_never_end(struct connection *connection)
{
	(void)connection;
	fail_msg("a connection ended that the test keeps");
}

struct poller *rig_client(int *client)
{
	int ends[2], small = 4096;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	*client = ends[0];
	return poller_create(rig.context.loop, ends[1], NULL, NULL);
}

void rig_write_bytes(int descriptor, const void *bytes, size_t length)
{
	assert_int_equal(send(descriptor, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
	rig_turn();
}

void rig_write(int descriptor, const char *text)
{
	rig_write_bytes(descriptor, text, strlen(text));
}

const char *rig_read(int descriptor)
{
	static char text[1 << 20];
	last_length = 0;
	for (int idle = 0; idle < 2;) {
		ssize_t got = recv(descriptor, text + last_length, sizeof(text) - 1 - last_length, MSG_DONTWAIT);
		if (got > 0)
			last_length += (size_t)got;
		else
			idle++;
		rig_turn();
	}
	text[last_length] = '\0';
	return text;
}

size_t rig_read_length(void)
{
	return last_length;
}

bool rig_is_at_end(int descriptor)
{
	char byte;
	ssize_t got = recv(descriptor, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
	return got == 0 || (got < 0 && errno == ECONNRESET);
}

bool rig_is_reset(int descriptor)
{
	struct pollfd ask = { .fd = descriptor, .events = POLLOUT };
	return poll(&ask, 1, 0) == 1 && (ask.revents & (POLLHUP | POLLERR)) != 0;
}

/* Life. */

int rig_start(void **state)
{
	(void)state;
	rig = (struct rig){ .now = 1000 * LOOP_SECOND, .stream_room = 1 << 18 };
	rig.context.loop = loop_create();
	rig.context.blocks = block_pool_create();
	rig.context.counters = calloc(1, sizeof(struct counters));
	counter_set(&rig.context.counters->deadline, UINT64_MAX);
	rig.context.send = send_message;
	rig.tunnel.context = &rig.context;
	rig.tunnel.counters = &rig.context.counters->tunnels[3];
	rig.tunnel.slot = 3;
	rig.tunnel.generation = 7;
	rig.tunnel.health.state = TUNNEL_UP;
	snprintf(rig.tunnel.health.reason, sizeof(rig.tunnel.health.reason), "the peer does not answer handshakes");
	spec_init(&rig.tunnel.spec);
	rig.tunnel.spec.enabled = true;
	deferred_init(&rig.tunnel.settle, settle, NULL);
	return 0;
}

int rig_stop(void **state)
{
	(void)state;
	while (rig.tunnel.connections != NULL)
		rig.tunnel.connections->end(rig.tunnel.connections);
	rig_pass(2 * LOOP_SECOND); /* lingering closes */
	assert_null(rig.tunnel.dials);
	descriptor_request_clear(&rig.context);
	assert_int_equal(block_pool_in_use(rig.context.blocks), 0);
	for (size_t i = 0; i < COUNTERS_PROTOCOLS; i++)
		assert_int_equal(counter_read(&rig.tunnel.counters->connections_open[i]), 0);
	while (rig.streams != NULL) {
		struct netstack_stream *stream = rig.streams;
		rig.streams = stream->next;
		assert_true(stream->gone);
		free(stream->log);
		free(stream);
	}
	while (rig.flows != NULL) {
		struct netstack_flow *flow = rig.flows;
		rig.flows = flow->next;
		assert_true(flow->closed);
		free(flow);
	}
	while (rig.listeners != NULL) {
		struct netstack_listener *listener = rig.listeners;
		rig.listeners = listener->next;
		assert_true(listener->closed);
		free(listener);
	}
	spec_clear(&rig.tunnel.spec);
	logins_free(rig.tunnel.logins);
	loop_free(rig.context.loop);
	block_pool_free(rig.context.blocks);
	free(rig.context.counters);
	return 0;
}
