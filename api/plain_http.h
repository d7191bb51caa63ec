/* HTTP that is spoken to the TLS port: the client gets an answer that it can read, and not a connection that is cut. */
#ifndef WARREN_API_PLAIN_HTTP_H
#define WARREN_API_PLAIN_HTTP_H

#include <gnutls/gnutls.h>
#include <stdbool.h>

/* Of one connection; it must live as long as the session reads. */
struct api_plain_http {
	int descriptor;
	bool has_begun; /* the first byte was no request's */
};

/* Looks at the first byte of a session whose handshake has not begun. `descriptor` is its socket. */
void api_plain_http_watch(struct api_plain_http *plain, gnutls_session_t session, int descriptor);

#endif
