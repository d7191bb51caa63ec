#include "api/plain_http.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>

#define READ_MOST 16384 /* of the request: what is left unread would make the kernel reset the connection, and the answer with it */

static const char answer[] = "HTTP/1.1 400 Bad Request\r\n"
			     "Content-Type: application/problem+json\r\n"
			     "Content-Length: 163\r\n"
			     "Connection: close\r\n"
			     "\r\n"
			     "{\"type\":\"urn:warren:problem:invalid_request\",\"title\":\"The request is malformed\",\"status\":400,"
			     "\"detail\":\"This port speaks TLS: use https.\",\"code\":\"invalid_request\"}\n";

/* A request begins with a method, in letters; a handshake with the type of its record, 22 (RFC 8446, 5.1). */
static bool is_request(uint8_t first)
{
	return (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z');
}

/* No waiting: the whole answer fits into the buffer of a socket that nothing was written to. */
static void reply(int descriptor)
{
	char request[READ_MOST];
	(void)!recv(descriptor, request, sizeof(request), MSG_DONTWAIT);
	(void)!send(descriptor, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(descriptor, SHUT_WR);
}

static ssize_t read_some(gnutls_transport_ptr_t transport, void *bytes, size_t room)
{
	struct api_plain_http *plain = transport;
	uint8_t first;
	ssize_t got = plain->has_begun ? 1 : recv(plain->descriptor, &first, 1, MSG_PEEK);
	if (got != 1)
		return got;
	if (!plain->has_begun && is_request(first)) {
		reply(plain->descriptor);
		return 0; /* the end of the session */
	}
	plain->has_begun = true;
	return recv(plain->descriptor, bytes, room, 0);
}

void api_plain_http_watch(struct api_plain_http *plain, gnutls_session_t session, int descriptor)
{
	*plain = (struct api_plain_http){ .descriptor = descriptor };
	gnutls_transport_set_ptr2(session, plain, (gnutls_transport_ptr_t)(intptr_t)descriptor);
	gnutls_transport_set_pull_function(session, read_some);
}
