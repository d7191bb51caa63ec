/* The head of a request, as read from a client and as forwarded to the origin server. Strict against smuggling: a message that two parsers could
 * read differently is refused (X1). */
#ifndef WARREN_TUNNEL_HTTP_HTTP_REQUEST_H
#define WARREN_TUNNEL_HTTP_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/http/credentials.h"
#include "tunnel/http/http_error.h"
#include "tunnel/http/http_head.h"
#include "tunnel/http/target.h"

/* Facts about a request that are needed until its response has been forwarded. */
struct http_asked {
	bool connect;
	bool head;       /* its response has no body */
	bool upgrade;    /* 101 is a possible answer */
	bool old;        /* HTTP/1.0: no interim responses, no chunks (http_body_decode), close after the response */
	bool keep_alive; /* the client would send another request */
};

/* About 10 KB. One per worker is enough, since it is consumed at once. Slices point into the bytes that were read. */
struct http_request {
	struct http_fault fault; /* of HTTP_REFUSED */
	size_t length_of_head;   /* the bytes behind it are the body, the next request, or early data of CONNECT: keep them */
	struct http_asked asked;
	struct http_text method;
	struct target target;      /* of CONNECT, or of the absolute form (port 80 unless given) */
	struct http_text path;     /* with the query; may be empty, or start with '?' */
	enum http_framing framing; /* never HTTP_FRAMING_CLOSE */
	uint64_t length;           /* of the body, for HTTP_FRAMING_LENGTH */
	bool expect_continue;      /* and there is a body to wait for */
	bool has_credentials;      /* well-formed Proxy-Authorization: Basic; anything else counts as none */
	struct credentials credentials;
	struct http_fields fields;
};

/* Reads a head from the first `length` bytes of a request. HTTP_WHOLE fills `request`; HTTP_REFUSED fills request->fault: 400, 417,
 * 431, 501 or 505, and asked.head as far as known. The connection is to be closed after a refusal. */
enum http_progress http_request_read(struct http_request *request, struct http_head_search *search, const char *bytes, size_t length);
/* The head in origin-form for the server: Host from the target, hop-by-hop fields left out, framing as it was. `keep_alive`: the
 * server's connection will be used again. Not for CONNECT. Returns its length, or 0 when `room` is too small. */
size_t http_request_write(const struct http_request *request, bool keep_alive, char *out, size_t room);
void http_request_clear(struct http_request *request); /* wipes the credentials */

#endif
