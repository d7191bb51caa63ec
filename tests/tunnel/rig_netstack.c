/* A fake netstack.h, controlled by the test. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tunnel/rig.h"

#define POISON 0xa5

/* Bytes that were shown, until the stack is settled. */
struct shown {
	struct shown *next;
	struct netstack_stream *stream; /* still to be shown, while the stack is settled */
	size_t length;
	char *bytes;
};
static struct shown *shown, *late;

void *rig_alloc(size_t size)
{
	void *memory = NULL;
	assert_int_equal(posix_memalign(&memory, _Alignof(max_align_t), size), 0);
	return memset(memory, 0, size);
}

struct netstack_endpoint rig_endpoint(const char *address, uint16_t port)
{
	struct netstack_endpoint endpoint = { .port = port };
	endpoint.family = strchr(address, ':') == NULL ? AF_INET : AF_INET6;
	assert_int_equal(inet_pton(endpoint.family, address, endpoint.bytes), 1);
	return endpoint;
}

/* Streams. */

static void ignore(void *owner)
{
	(void)owner;
}

static void ignore_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	(void)owner;
	(void)parts;
	(void)count;
	(void)length;
}

static void ignore_acknowledged(void *owner, size_t bytes)
{
	(void)owner;
	(void)bytes;
}

static void ignore_closed(void *owner, enum netstack_error why)
{
	(void)owner;
	(void)why;
}

const struct netstack_stream_events rig_deaf = {
	.connected = ignore,
	.received = ignore_received,
	.finished = ignore,
	.acknowledged = ignore_acknowledged,
	.closed = ignore_closed,
};

static struct netstack_stream *stream_create(const struct netstack_endpoint *remote)
{
	struct netstack_stream *stream = rig_alloc(sizeof(*stream));
	stream->remote = *remote;
	stream->room = rig.stream_room;
	stream->next = rig.streams;
	stream->log = rig_alloc(1 << 20);
	rig.streams = stream;
	return stream;
}

int netstack_stream_connect(struct netstack *stack, const struct netstack_endpoint *to, const struct netstack_stream_events *events, void *owner,
                            uint64_t now, struct netstack_stream **out)
{
	(void)stack;
	(void)now;
	assert_true(netstack_stream_events_are_whole(events, false));
	if (rig.connect_error != NETSTACK_OK)
		return rig.connect_error;
	*out = stream_create(to);
	netstack_stream_set_owner(*out, events, owner);
	return NETSTACK_OK;
}

void netstack_stream_set_owner(struct netstack_stream *stream, const struct netstack_stream_events *events, void *owner)
{
	assert_true(netstack_stream_events_are_whole(events, true));
	stream->events = events;
	stream->owner = owner;
}

size_t netstack_stream_room(const struct netstack_stream *stream)
{
	assert_false(stream->gone);
	size_t waiting = 0;
	for (size_t i = 0; i < stream->borrowed_count; i++)
		waiting += stream->borrowed[i].iov_len;
	return waiting < stream->room ? stream->room - waiting : 0;
}

size_t netstack_stream_write(struct netstack_stream *stream, const void *bytes, size_t length, uint64_t now)
{
	(void)now;
	assert_false(stream->finished);
	size_t room = netstack_stream_room(stream);
	size_t taken = length < room ? length : room;
	assert_true(stream->borrowed_count < 256);
	if (taken > 0)
		stream->borrowed[stream->borrowed_count++] = (struct iovec){ .iov_base = (void *)(uintptr_t)bytes, .iov_len = taken };
	return taken;
}

static size_t log_borrowed(struct netstack_stream *stream)
{
	size_t total = 0;
	for (size_t i = 0; i < stream->borrowed_count; i++) {
		assert_true(stream->logged + stream->borrowed[i].iov_len < 1 << 20);
		memcpy(stream->log + stream->logged, stream->borrowed[i].iov_base, stream->borrowed[i].iov_len);
		stream->logged += stream->borrowed[i].iov_len;
		total += stream->borrowed[i].iov_len;
	}
	stream->borrowed_count = 0;
	return total;
}

const char *rig_stream_read(struct netstack_stream *stream)
{
	static char last[1 << 20];
	size_t total;
	rig_turn();
	while ((total = log_borrowed(stream)) > 0) {
		if (!stream->gone)
			stream->events->acknowledged(stream->owner, total);
		rig_turn();
	}
	memcpy(last, stream->log, stream->logged);
	last[stream->logged] = '\0';
	stream->logged = 0;
	return last;
}

void netstack_stream_finish(struct netstack_stream *stream, uint64_t now)
{
	(void)now;
	assert_false(stream->gone || stream->finished);
	stream->finished = true;
}

void netstack_stream_consumed(struct netstack_stream *stream, size_t bytes, uint64_t now)
{
	(void)now;
	assert_false(stream->gone);
	stream->consumed += bytes;
	assert_true(stream->consumed <= stream->shown);
}

void netstack_stream_abort(struct netstack_stream *stream, uint64_t now)
{
	(void)now;
	assert_false(stream->gone);
	log_borrowed(stream); /* the caller frees it next */
	stream->aborted = stream->gone = true;
}

void netstack_stream_release(struct netstack_stream *stream, uint64_t now)
{
	(void)now;
	assert_false(stream->gone);
	log_borrowed(stream);
	stream->released = stream->gone = true;
}

void netstack_stream_local(const struct netstack_stream *stream, struct netstack_endpoint *local)
{
	(void)stream;
	*local = rig_endpoint("10.2.0.2", 40000);
}

uint64_t netstack_stream_heard_at(const struct netstack_stream *stream)
{
	return stream->heard_at;
}

void netstack_stream_probe(struct netstack_stream *stream)
{
	stream->probes++;
}

void netstack_stream_remote(const struct netstack_stream *stream, struct netstack_endpoint *remote)
{
	*remote = stream->remote;
}

struct netstack_stream *rig_stream(void)
{
	assert_non_null(rig.streams);
	return rig.streams;
}

size_t rig_stream_count(void)
{
	size_t count = 0;
	for (struct netstack_stream *stream = rig.streams; stream != NULL; stream = stream->next)
		count++;
	return count;
}

void rig_connected(struct netstack_stream *stream)
{
	assert_false(stream->gone);
	stream->connected = true;
	stream->events->connected(stream->owner);
	rig_turn();
}

void rig_refuse(struct netstack_stream *stream, enum netstack_error why)
{
	rig_stream_close(stream, why);
}

/* Shown in two parts, so that seams are met. */
static void show(struct shown *piece)
{
	struct netstack_stream *stream = piece->stream;
	size_t half = piece->length / 2;
	struct iovec parts[2] = { { piece->bytes, half }, { piece->bytes + half, piece->length - half } };
	bool whole = half == 0;
	piece->stream = NULL;
	piece->next = shown;
	shown = piece;
	if (stream->gone)
		return;
	stream->shown += piece->length;
	stream->events->received(stream->owner, whole ? parts + 1 : parts, whole ? 1 : 2, piece->length);
}

void rig_stream_write_bytes(struct netstack_stream *stream, const char *bytes, size_t length)
{
	struct shown *piece = rig_alloc(sizeof(*piece));
	assert_false(stream->gone);
	*piece = (struct shown){ .stream = stream, .length = length, .bytes = rig_alloc(length) };
	memcpy(piece->bytes, bytes, length);
	if (rig.settles_late) {
		piece->next = late;
		late = piece;
	} else {
		show(piece);
	}
	tunnel_wake(&rig.tunnel);
	rig_turn();
}

void rig_stream_write(struct netstack_stream *stream, const char *text)
{
	rig_stream_write_bytes(stream, text, strlen(text));
}

void netstack_settle(struct netstack *stack, uint64_t now)
{
	(void)stack;
	(void)now;
	while (late != NULL) {
		struct shown *piece = late;
		late = piece->next;
		show(piece);
	}
	while (shown != NULL) {
		struct shown *gone = shown;
		shown = gone->next;
		memset(gone->bytes, POISON, gone->length);
		free(gone->bytes);
		free(gone);
	}
}

void rig_stream_finish(struct netstack_stream *stream)
{
	assert_false(stream->gone);
	stream->events->finished(stream->owner);
	rig_turn();
}

void rig_stream_close(struct netstack_stream *stream, enum netstack_error why)
{
	assert_false(stream->gone);
	stream->gone = true;
	stream->events->closed(stream->owner, why);
	rig_turn();
}

/* Listeners. */

int netstack_listen(struct netstack *stack, const struct netstack_endpoint *at, void (*accept)(void *owner, struct netstack_stream *stream),
                    void *owner, struct netstack_listener **listener)
{
	(void)stack;
	struct netstack_listener *fresh = rig_alloc(sizeof(*fresh));
	*fresh = (struct netstack_listener){ .next = rig.listeners, .at = *at, .accept = accept, .owner = owner };
	rig.listeners = *listener = fresh;
	return NETSTACK_OK;
}

void netstack_listener_set_owner(struct netstack_listener *listener, void *owner)
{
	listener->owner = owner;
}

void netstack_listener_free(struct netstack_listener *listener)
{
	if (listener != NULL)
		listener->closed = true;
}

struct netstack_stream *rig_accept(struct netstack_listener *listener, const char *address, uint16_t port)
{
	struct netstack_endpoint from = rig_endpoint(address, port);
	struct netstack_stream *stream = stream_create(&from);
	assert_false(listener->closed);
	listener->accept(listener->owner, stream);
	rig_turn();
	return stream;
}

/* Flows. */

int netstack_flow_open(struct netstack *stack, const struct netstack_endpoint *at,
                       void (*received)(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length), void *owner,
                       struct netstack_flow **flow)
{
	(void)stack;
	if (rig.flow_error != NETSTACK_OK)
		return rig.flow_error;
	struct netstack_flow *fresh = rig_alloc(sizeof(*fresh));
	*fresh = (struct netstack_flow){ .next = rig.flows, .received = received, .owner = owner };
	if (at != NULL)
		fresh->at = *at;
	rig.flows = *flow = fresh;
	return NETSTACK_OK;
}

int netstack_flow_send(struct netstack_flow *flow, const struct netstack_endpoint *to, const void *bytes, size_t length, uint64_t now)
{
	(void)now;
	assert_false(flow->closed);
	flow->last_to = *to;
	flow->last_length = length;
	assert_true(length < sizeof(flow->last));
	memcpy(flow->last, bytes, length);
	flow->last[length] = '\0';
	flow->sent++;
	return NETSTACK_OK;
}

void netstack_flow_close(struct netstack_flow *flow)
{
	assert_false(flow->closed);
	flow->closed = true;
}

/* Names. */

void netstack_resolver_prefer(struct netstack_resolver *resolver, uint8_t family, uint64_t now)
{
	(void)resolver;
	(void)now;
	rig.preferred_family = family;
}

void netstack_resolve(struct netstack_resolver *resolver, const char *name,
                      void (*answered)(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count,
                                       bool more),
                      void *owner, uint64_t now, struct netstack_query **query)
{
	(void)resolver;
	(void)now;
	for (size_t i = 0; i < 16; i++) {
		if (rig.queries[i].used)
			continue;
		rig.queries[i] = (struct netstack_query){ .used = true, .answered = answered, .owner = owner };
		snprintf(rig.queries[i].name, sizeof(rig.queries[i].name), "%s", name);
		*query = &rig.queries[i];
		return;
	}
	fail_msg("too many queries");
}

void netstack_resolve_anew(struct netstack_resolver *resolver, const char *name,
                           void (*answered)(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count,
                                            bool more),
                           void *owner, uint64_t now, struct netstack_query **query)
{
	rig.asked_anew++;
	netstack_resolve(resolver, name, answered, owner, now, query);
}

void netstack_query_cancel(struct netstack_query *query)
{
	if (query != NULL)
		query->used = false;
}

bool rig_is_asked(const char *name)
{
	for (size_t i = 0; i < 16; i++)
		if (rig.queries[i].used && strcmp(rig.queries[i].name, name) == 0)
			return true;
	return false;
}

void rig_name(const char *name, const char *address)
{
	struct netstack_endpoint found = { 0 };
	if (address != NULL)
		found = rig_endpoint(address, 0);
	for (size_t i = 0; i < 16; i++) {
		struct netstack_query query = rig.queries[i];
		if (!query.used || strcmp(query.name, name) != 0)
			continue;
		rig.queries[i].used = false;
		query.answered(query.owner, address == NULL ? NETSTACK_NAME_NOT_FOUND : NETSTACK_NAME_OK, &found, address != NULL, false);
	}
	rig_turn();
}

void rig_name_first(const char *name, const char *address)
{
	const struct netstack_endpoint found = rig_endpoint(address, 0);
	for (size_t i = 0; i < 16; i++)
		if (rig.queries[i].used && strcmp(rig.queries[i].name, name) == 0)
			rig.queries[i].answered(rig.queries[i].owner, NETSTACK_NAME_OK, &found, 1, true);
	rig_turn();
}

/* Pings. */

int netstack_ping(struct netstack *stack, const struct netstack_endpoint *to, uint64_t timeout, void (*answered)(void *owner, uint64_t round_trip),
                  void *owner, uint64_t now)
{
	(void)stack;
	(void)timeout;
	rig.pings++;
	rig.pinged = *to;
	rig.pong = answered;
	rig.pong_owner = owner;
	rig.ping_sent_at = now;
	return NETSTACK_OK;
}
