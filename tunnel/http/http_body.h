/* Finds the end of a message's body. The bytes are checked and forwarded unchanged, chunk framing included; no byte of framing is forwarded
 * before it is known to be well-formed. A server's chunks are repaired where their meaning is clear, a client's never. */
#ifndef WARREN_TUNNEL_HTTP_HTTP_BODY_H
#define WARREN_TUNNEL_HTTP_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/http/http_head.h"

#define HTTP_BODY_EXTENSION_MAX 4096 /* bytes of one chunk's extensions */
#define HTTP_BODY_TRAILER_MAX 16384  /* bytes of the trailer section */
#define HTTP_BODY_NAME_MAX 127       /* a server's trailer field with a longer name is dropped */

enum http_body_state {
	HTTP_BODY_LENGTH,     /* `left` bytes to come */
	HTTP_BODY_CLOSE,      /* until the connection ends: only http_body_finish ends it */
	HTTP_BODY_SIZE,       /* chunked from here on: the digits of a size */
	HTTP_BODY_SIZE_BLANK, /* white space after them (RFC 9112, 7.1.1) */
	HTTP_BODY_EXTENSION,
	HTTP_BODY_SIZE_LF,
	HTTP_BODY_DATA, /* `left` bytes of a chunk to come */
	HTTP_BODY_DATA_CR,
	HTTP_BODY_DATA_LF,
	HTTP_BODY_TRAILER, /* the start of a line of the trailer section */
	HTTP_BODY_TRAILER_NAME,
	HTTP_BODY_TRAILER_VALUE,
	HTTP_BODY_TRAILER_LF,
	HTTP_BODY_TRAILER_LEFT_OUT, /* inside a line that is dropped */
	HTTP_BODY_LAST_LF,
	HTTP_BODY_ENDED,
	HTTP_BODY_FAILED, /* malformed: close both connections */
};

/* Embedded by value; use the functions below to read it. */
struct http_body {
	enum http_body_state state;
	uint64_t left;
	uint32_t digits; /* of the size so far */
	uint32_t spent;  /* of the extension's or the trailer's allowance */
	bool mends;
	uint8_t name_length;               /* of the trailer's field name so far, at most HTTP_BODY_NAME_MAX */
	char name[HTTP_BODY_NAME_MAX + 1]; /* its start, enough to recognise forbidden ones, and a colon */
};

void http_body_init(struct http_body *body, enum http_framing framing, uint64_t length);
/* For a server's body: feed also stops where http_body_mend is needed. */
void http_body_init_mended(struct http_body *body, enum http_framing framing, uint64_t length);
/* Returns how many of `bytes` belong to the body; these can be forwarded unchanged. Fewer than `length` when the body has ended: the rest is
 * the next message. 0 and http_body_failed when it is malformed: nothing of this call may be forwarded. (Feed bytes that arrived with a head
 * before forwarding that head, so that a bad first chunk forwards nothing.) */
size_t http_body_feed(struct http_body *body, const char *bytes, size_t length);
/* Where feed stopped although the body has neither ended nor failed: consumes one byte, and returns its replacement, which may be empty and is
 * valid until the next call. */
struct http_text http_body_mend(struct http_body *body, char byte);
/* Like feed, but repairs by itself and moves the payload, without chunk framing and trailers, to the front of `bytes`; *payload gets its size. */
size_t http_body_decode(struct http_body *body, char *bytes, size_t length, size_t *payload);
/* The connection has ended. True if the body ends there; otherwise it is incomplete. *rest is still to be forwarded: some servers omit the
 * line after the last chunk. */
bool http_body_finish(struct http_body *body, struct http_text *rest);
static inline bool http_body_ended(const struct http_body *body)
{
	return body->state == HTTP_BODY_ENDED;
}
static inline bool http_body_failed(const struct http_body *body)
{
	return body->state == HTTP_BODY_FAILED;
}

#endif
