/* The head of a response, as read from an origin server and as forwarded to the client, always as HTTP/1.1. */
#ifndef WARREN_TUNNEL_HTTP_HTTP_RESPONSE_H
#define WARREN_TUNNEL_HTTP_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/http/http_error.h"
#include "tunnel/http/http_head.h"
#include "tunnel/http/http_request.h"

/* About 40 KB, consumed at once. */
struct http_response {
	struct http_fault fault; /* of HTTP_REFUSED: always a 502 */
	size_t length_of_head;
	unsigned status;
	struct http_text reason;
	enum http_framing framing;
	uint64_t length;           /* of the body, for HTTP_FRAMING_LENGTH */
	bool has_length;           /* `length` was declared: by a response to HEAD or a 304 too, where no body follows */
	bool interim;              /* 1xx but 101: another head follows; not for a client of HTTP/1.0 */
	bool upgraded;             /* 101: what follows both ways is no longer HTTP */
	bool keep_alive;           /* the server's connection can be used again once the body has ended */
	struct http_fields fields; /* last: only what is used of it is written */
};

/* Reads a head from the first `length` bytes of an answer. HTTP_WHOLE fills `response`, and leaves the head's bytes repaired: what has one
 * meaning only is taken, however it is written, and http_response_write makes it well-formed. */
enum http_progress http_response_read(struct http_response *response, const struct http_asked *asked, struct http_head_search *search, char *bytes,
                                      size_t length);
/* Whether the client's connection can be used again after this response: the client wants it and the framing allows it. */
bool http_response_keeps_client(const struct http_response *response, const struct http_asked *asked);
/* The head for the client. `keep_alive` as http_response_keeps_client says, or false. A chunked response to a client of HTTP/1.0 is
 * written without its framing, until close: pass its body through http_body_decode. Returns its length, or 0 when `room` is too small. */
size_t http_response_write(const struct http_response *response, const struct http_asked *asked, bool keep_alive, char *out, size_t room);

#endif
