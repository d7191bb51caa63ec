#include "tunnel/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/url.h"
#include "tunnel/dial.h"
#include "tunnel/http/http_body.h"
#include "tunnel/http/http_response.h"
#include "tunnel/tunnel.h"

#define HTTP_PORT 80
#define INTERIM_MAX 8 /* answers before the final one (RFC 9110, 15.2) */
#define REQUEST_FORMAT "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: warren\r\nAccept: */*\r\nConnection: close\r\n\r\n"

/* The answer's bytes are in `in` from its first byte on: those of the head, then those of the body, without its framing. */
struct fetch {
	struct tunnel *tunnel;
	struct dial *dial;
	struct netstack_stream *stream;
	bool wants_body, has_head, is_done;
	fetch_done *done;
	void *owner;
	char request[2 * URL_MAX + 128]; /* borrowed by the stream */
	size_t request_length, written;
	struct block *in; /* NULL before the first byte */
	struct http_head_search search;
	unsigned interims, status;
	struct http_body body;
};

static uint64_t now_of(const struct fetch *fetch)
{
	return loop_now(fetch->tunnel->context->loop);
}

static void finish(struct fetch *fetch, const struct fetch_answer *answer, const char *failure)
{
	if (fetch->is_done)
		return;
	fetch->is_done = true;
	fetch->done(fetch->owner, answer, failure);
}

static void succeed(struct fetch *fetch)
{
	bool has_body = fetch->wants_body && fetch->in != NULL;
	const struct fetch_answer answer = { .status = fetch->status,
		                             .body = has_body ? (const char *)fetch->in->bytes : "",
		                             .length = has_body ? fetch->in->end : 0 };
	finish(fetch, &answer, NULL);
}

/* Room for one more byte at least, or a failure. A head that outgrows a small block moves to a large one. */
static bool make_room(struct fetch *fetch)
{
	struct block *in = fetch->in;
	if (in != NULL && in->end < in->capacity)
		return true;
	struct block *grown = block_pool_grow(fetch->tunnel->context->blocks, in);
	if (grown != NULL)
		fetch->in = grown;
	else
		finish(fetch, NULL, in != NULL && block_is_large(in) ? "the answer's head is longer than 64 KiB" : "out of memory");
	return grown != NULL;
}

/* Of the body, the bytes from `from` on are new. */
static void read_body(struct fetch *fetch, size_t from)
{
	struct block *in = fetch->in;
	size_t payload = 0;
	http_body_decode(&fetch->body, (char *)in->bytes + from, in->end - from, &payload);
	in->end = (uint32_t)(from + payload);
	if (http_body_failed(&fetch->body))
		finish(fetch, NULL, "the answer's body is malformed");
	else if (in->end > FETCH_BODY_MAX)
		finish(fetch, NULL, "the answer's body is longer than 1 KiB");
	else if (http_body_ended(&fetch->body))
		succeed(fetch);
}

static void drop_front(struct block *block, size_t length)
{
	memmove(block->bytes, block->bytes + length, block->end - length);
	block->end -= (uint32_t)length;
}

/* True when another head is to be read from the bytes that are there. */
static bool read_head(struct fetch *fetch)
{
	static const struct http_asked asked;
	struct http_response response;
	switch (http_response_read(&response, &asked, &fetch->search, (char *)fetch->in->bytes, fetch->in->end)) {
	case HTTP_MORE: return false;
	case HTTP_REFUSED: finish(fetch, NULL, "the answer is not HTTP"); return false;
	case HTTP_WHOLE: break;
	}
	drop_front(fetch->in, response.length_of_head);
	fetch->search = (struct http_head_search){ 0 };
	if (response.interim && ++fetch->interims <= INTERIM_MAX)
		return true;
	fetch->has_head = true;
	fetch->status = response.status;
	if (response.interim) {
		finish(fetch, NULL, "too many interim answers");
	} else if (!fetch->wants_body) {
		succeed(fetch);
	} else {
		http_body_init_mended(&fetch->body, response.framing, response.length);
		read_body(fetch, 0);
	}
	return false;
}

static void take(struct fetch *fetch, const char *bytes, size_t length)
{
	while (length > 0 && !fetch->is_done && make_room(fetch)) {
		struct block *in = fetch->in;
		size_t had = in->end, room = in->capacity - had, step = length < room ? length : room;
		memcpy(in->bytes + had, bytes, step);
		in->end += (uint32_t)step;
		bytes += step;
		length -= step;
		if (fetch->has_head)
			read_body(fetch, had);
		while (!fetch->has_head && !fetch->is_done && read_head(fetch))
			continue;
	}
}

static void on_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct fetch *fetch = owner;
	for (size_t i = 0; i < count; i++)
		take(fetch, parts[i].iov_base, parts[i].iov_len);
	netstack_stream_consumed(fetch->stream, length, now_of(fetch));
	tunnel_wake(fetch->tunnel);
}

static void end_of_answer(struct fetch *fetch)
{
	struct http_text rest;
	if (fetch->is_done)
		return;
	if (!fetch->has_head)
		finish(fetch, NULL, "the far end closed the connection without an answer");
	else if (http_body_finish(&fetch->body, &rest))
		succeed(fetch);
	else
		finish(fetch, NULL, "the answer is incomplete");
}

static void on_finished(void *owner)
{
	end_of_answer(owner);
}

static void write_request(struct fetch *fetch)
{
	fetch->written +=
	    netstack_stream_write(fetch->stream, fetch->request + fetch->written, fetch->request_length - fetch->written, now_of(fetch));
	tunnel_wake(fetch->tunnel);
}

static void on_acknowledged(void *owner, size_t bytes)
{
	struct fetch *fetch = owner;
	(void)bytes;
	if (fetch->written < fetch->request_length)
		write_request(fetch);
}

static void on_closed(void *owner, enum netstack_error why)
{
	struct fetch *fetch = owner;
	fetch->stream = NULL;
	if (why == NETSTACK_OK)
		end_of_answer(fetch);
	else
		finish(fetch, NULL, "the connection broke before the answer's end");
}

static void on_dialed(void *owner, struct netstack_stream *stream, const struct http_fault *fault)
{
	static const struct netstack_stream_events events = {
		.received = on_received, .finished = on_finished, .acknowledged = on_acknowledged, .closed = on_closed
	};
	struct fetch *fetch = owner;
	fetch->dial = NULL;
	fetch->stream = stream;
	if (stream == NULL) {
		finish(fetch, NULL, fault->detail);
		return;
	}
	netstack_stream_set_owner(stream, &events, fetch);
	write_request(fetch);
}

static bool read_url(const char *url, struct url *parts, struct target *target)
{
	return url_split(url, parts) == 0 && target_parse_authority(target, parts->authority, strlen(parts->authority), HTTP_PORT) == 0;
}

bool fetch_takes(const char *url)
{
	struct url parts;
	struct target target;
	return read_url(url, &parts, &target);
}

struct fetch *fetch_start(struct tunnel *tunnel, const char *url, bool wants_body, fetch_done *done, void *owner)
{
	struct url parts;
	struct target target;
	if (!read_url(url, &parts, &target))
		return NULL;
	struct fetch *fetch = calloc(1, sizeof(*fetch));
	if (fetch == NULL)
		return NULL;
	*fetch = (struct fetch){ .tunnel = tunnel, .wants_body = wants_body, .done = done, .owner = owner };
	fetch->request_length = (size_t)snprintf(fetch->request, sizeof(fetch->request), REQUEST_FORMAT, parts.path, parts.authority);
	fetch->dial = dial_start(tunnel, &tunnel->spec, &target, true, on_dialed, fetch);
	if (fetch->dial != NULL)
		return fetch;
	free(fetch);
	return NULL;
}

void fetch_free(struct fetch *fetch)
{
	if (fetch == NULL)
		return;
	dial_cancel(fetch->dial);
	if (fetch->stream != NULL)
		netstack_stream_abort(fetch->stream, now_of(fetch));
	block_pool_give(fetch->tunnel->context->blocks, fetch->in);
	free(fetch);
}
