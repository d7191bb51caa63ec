#include "tunnel/proxy/answer.h"

#include <string.h>

#include "tunnel/tunnel.h"

#define PIECE 4096
#define INTERIMS_MOST 32

/* Pieces that are forwarded unchanged, passed on together, because each call may be a system call. */
struct gathered {
	struct iovec parts[RX_PIPE_PARTS];
	size_t count;
	size_t done; /* bytes of the stream that are consumed */
};

static struct block_pool *pool_of(const struct answer *answer)
{
	return answer->down->tunnel->context->blocks;
}

void answer_init(struct answer *answer, struct rx_pipe *down, const struct http_asked *asked)
{
	*answer = (struct answer){ .down = down, .asked = *asked };
}

void answer_clear(struct answer *answer)
{
	if (answer->down != NULL)
		block_pool_give(pool_of(answer), answer->head);
	answer->head = NULL;
}

static void fail(struct answer *answer, enum http_error error, const char *detail)
{
	answer->state = ANSWER_FAILED;
	answer->fault = (struct http_fault){ .error = error, .detail = detail };
}

/* Heads. */

static void begin_body(struct answer *answer, const struct http_response *response, bool may_keep)
{
	answer->sent = true;
	if (response->upgraded) {
		answer->state = ANSWER_UPGRADED;
		return;
	}
	answer->keeps_client = may_keep && http_response_keeps_client(response, &answer->asked);
	answer->keeps_server = response->keep_alive;
	answer->decodes = answer->asked.old && response->framing == HTTP_FRAMING_CHUNKED;
	http_body_init_mended(&answer->body, response->framing, response->length);
	answer->state = http_body_ended(&answer->body) ? ANSWER_ENDED : ANSWER_BODY;
}

static void pass_head(struct answer *answer, struct gathered *gathered, const struct http_response *response, bool may_keep)
{
	char head[HTTP_HEAD_ROOM];
	answer->head_bytes += response->length_of_head;
	if (response->interim && ++answer->interims > INTERIMS_MOST) {
		fail(answer, HTTP_ERROR_HTTP_PROTOCOL_ERROR, "the server sent too many interim responses");
		return;
	}
	/* RFC 9110, 15.2: HTTP/1.0 has no interim responses. */
	if (response->interim && answer->asked.old) {
		gathered->done += response->length_of_head;
		return;
	}
	size_t length = http_response_write(response, &answer->asked, may_keep, head, sizeof(head));
	if (length == 0) {
		fail(answer, HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE, "the response's head is too long");
		return;
	}
	rx_pipe_put_own(answer->down, head, length, response->length_of_head);
	if (!response->interim)
		begin_body(answer, response, may_keep);
}

static bool make_room(struct answer *answer)
{
	struct block *head = answer->head;
	if (head != NULL && head->end < head->capacity)
		return true;
	struct block *grown = block_pool_grow(pool_of(answer), head);
	if (grown != NULL)
		answer->head = grown;
	return grown != NULL;
}

/* Returns how many of the bytes belong to the head; few others are copied. None counts as consumed before the client has the head. */
static size_t feed_head(struct answer *answer, struct gathered *gathered, const char *bytes, size_t length, bool may_keep)
{
	size_t had = answer->head == NULL ? 0 : answer->head->end;
	if (answer->head_bytes + had >= HTTP_HEAD_MAX || !make_room(answer)) {
		fail(answer, HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE, "the response's head is too long");
		return 0;
	}
	struct http_response response;
	struct block *head = answer->head;
	size_t room = head->capacity - had, left = HTTP_HEAD_MAX - answer->head_bytes - had;
	size_t most = room < left ? room : left, step = length < most ? length : most;
	memcpy(head->bytes + had, bytes, step);
	head->end += (uint32_t)step;
	switch (http_response_read(&response, &answer->asked, &answer->search, (char *)head->bytes, head->end)) {
	case HTTP_MORE: return step;
	case HTTP_REFUSED: fail(answer, response.fault.error, response.fault.detail); return 0;
	case HTTP_WHOLE: break;
	}
	pass_head(answer, gathered, &response, may_keep);
	answer->search = (struct http_head_search){ 0 };
	block_pool_give(pool_of(answer), head);
	answer->head = NULL;
	return response.length_of_head - had;
}

/* Bodies. */

static void show(struct answer *answer, struct gathered *gathered)
{
	if (gathered->count > 0)
		gathered->done += rx_pipe_show(answer->down, gathered->parts, gathered->count);
	gathered->count = 0;
}

static void pass(struct answer *answer, struct gathered *gathered, const char *bytes, size_t length)
{
	if (gathered->count == RX_PIPE_PARTS)
		show(answer, gathered);
	gathered->parts[gathered->count++] = (struct iovec){ .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };
}

static void check_body(struct answer *answer)
{
	if (http_body_failed(&answer->body))
		fail(answer, HTTP_ERROR_HTTP_RESPONSE_TRANSFER_CODING, "malformed chunks in the response");
	else if (http_body_ended(&answer->body))
		answer->state = ANSWER_ENDED;
}

static size_t feed_decoded(struct answer *answer, struct gathered *gathered, const char *bytes, size_t length)
{
	char piece[PIECE];
	size_t step = length < PIECE ? length : PIECE, payload;
	memcpy(piece, bytes, step);
	size_t taken = http_body_decode(&answer->body, piece, step, &payload);
	rx_pipe_put(answer->down, piece, payload);
	gathered->done += taken - payload;
	check_body(answer);
	return taken;
}

/* Replaces a byte that cannot be forwarded. */
static void mend(struct answer *answer, struct gathered *gathered, char byte)
{
	struct http_text instead = http_body_mend(&answer->body, byte);
	gathered->done++;
	if (instead.length == 0)
		return;
	show(answer, gathered);
	rx_pipe_add(answer->down, instead.bytes, instead.length);
}

static size_t feed_body(struct answer *answer, struct gathered *gathered, const char *bytes, size_t length)
{
	if (answer->decodes)
		return feed_decoded(answer, gathered, bytes, length);
	size_t taken = http_body_feed(&answer->body, bytes, length);
	if (taken > 0)
		pass(answer, gathered, bytes, taken);
	if (taken < length && !http_body_failed(&answer->body) && !http_body_ended(&answer->body))
		mend(answer, gathered, bytes[taken++]);
	check_body(answer);
	return taken;
}

static void feed_part(struct answer *answer, struct gathered *gathered, const char *bytes, size_t length, bool may_keep)
{
	for (size_t at = 0, taken = 0; at < length; at += taken) {
		switch (answer->state) {
		case ANSWER_HEAD: taken = feed_head(answer, gathered, bytes + at, length - at, may_keep); continue;
		case ANSWER_BODY: taken = feed_body(answer, gathered, bytes + at, length - at); continue;
		case ANSWER_UPGRADED: pass(answer, gathered, bytes + at, length - at); return;
		case ANSWER_ENDED:
			answer->keeps_server = false; /* these bytes were not requested; they keep the window closed */
			return;
		case ANSWER_FAILED: return;
		}
	}
}

size_t answer_feed(struct answer *answer, const struct iovec *parts, size_t count, bool may_keep)
{
	struct gathered gathered;
	gathered.count = gathered.done = 0;
	answer->begun = true;
	for (size_t i = 0; i < count; i++)
		feed_part(answer, &gathered, parts[i].iov_base, parts[i].iov_len, may_keep);
	show(answer, &gathered);
	return gathered.done;
}

/* The end. */

void answer_break(struct answer *answer)
{
	answer->keeps_server = false;
	if (answer->state == ANSWER_HEAD && !answer->begun)
		fail(answer, HTTP_ERROR_CONNECTION_TERMINATED, "the server closed the connection without an answer");
	else if (answer->state == ANSWER_HEAD || answer->state == ANSWER_BODY)
		fail(answer, HTTP_ERROR_HTTP_RESPONSE_INCOMPLETE, "the server closed the connection in the middle of its answer");
}

void answer_finish(struct answer *answer)
{
	struct http_text rest;
	if (answer->state == ANSWER_BODY && http_body_finish(&answer->body, &rest)) {
		if (rest.length > 0 && !answer->decodes)
			rx_pipe_add(answer->down, rest.bytes, rest.length);
		answer->state = ANSWER_ENDED;
	}
	answer_break(answer);
}
