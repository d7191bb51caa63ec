/* The proxy's errors, in the terms of RFC 9209 (Proxy-Status), and the short replies that report them to an HTTP client. They never contain
 * anything from the client's request (X17). */
#ifndef WARREN_TUNNEL_HTTP_HTTP_ERROR_H
#define WARREN_TUNNEL_HTTP_HTTP_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The comment is the status from http_error_status; http_fault may carry another. */
enum http_error {
	HTTP_ERROR_NONE,
	HTTP_ERROR_DNS_TIMEOUT,                       /* 504 */
	HTTP_ERROR_DNS_ERROR,                         /* 502 */
	HTTP_ERROR_DESTINATION_UNAVAILABLE,           /* 503: the tunnel is down */
	HTTP_ERROR_DESTINATION_IP_PROHIBITED,         /* 403 */
	HTTP_ERROR_DESTINATION_IP_UNROUTABLE,         /* 502 */
	HTTP_ERROR_CONNECTION_REFUSED,                /* 502 */
	HTTP_ERROR_CONNECTION_TERMINATED,             /* 502 */
	HTTP_ERROR_CONNECTION_TIMEOUT,                /* 504 */
	HTTP_ERROR_CONNECTION_READ_TIMEOUT,           /* 504 */
	HTTP_ERROR_CONNECTION_WRITE_TIMEOUT,          /* 504 */
	HTTP_ERROR_CONNECTION_LIMIT_REACHED,          /* 503 */
	HTTP_ERROR_HTTP_REQUEST_ERROR,                /* 400 */
	HTTP_ERROR_HTTP_REQUEST_DENIED,               /* 403; with status 407 the reply asks for Basic credentials */
	HTTP_ERROR_HTTP_RESPONSE_INCOMPLETE,          /* 502 */
	HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE, /* 502 */
	HTTP_ERROR_HTTP_RESPONSE_TRANSFER_CODING,     /* 502 */
	HTTP_ERROR_HTTP_UPGRADE_FAILED,               /* 502 */
	HTTP_ERROR_HTTP_PROTOCOL_ERROR,               /* 502 */
	HTTP_ERROR_PROXY_INTERNAL_RESPONSE,           /* 503 */
	HTTP_ERROR_PROXY_INTERNAL_ERROR,              /* 500 */
	HTTP_ERROR_PROXY_LOOP_DETECTED,               /* 508 */
	HTTP_ERRORS
};

/* `detail` is a string literal of printable ASCII, with no byte from any peer. NULL: none. */
struct http_fault {
	uint16_t status; /* 0: the error's own */
	enum http_error error;
	const char *detail;
};

/* Those that arise in several places. */
extern const struct http_fault http_fault_memory, http_fault_connections, http_fault_used_up, http_fault_client_left, http_fault_long_head;

#define HTTP_ERROR_ROOM 1024 /* always enough for http_error_write with a detail of up to 200 bytes */

const char *http_error_name(enum http_error error); /* as Proxy-Status spells it */
uint16_t http_error_status(enum http_error error);
const char *http_error_phrase(uint16_t status); /* the reason phrase of a status that we send */

enum http_error_option {
	HTTP_ERROR_KEEP_ALIVE = 1, /* else Connection: close */
	HTTP_ERROR_NO_BODY = 2,    /* the request was HEAD: same head, no body */
};
/* A whole response with Proxy-Status and Content-Length. Returns its length, or 0 when `room` is too small. */
size_t http_error_write(char *out, size_t room, const struct http_fault *fault, unsigned options);
/* The head that opens a CONNECT tunnel: no length, no coding (RFC 9110, 9.3.6). Returns its length, or 0. */
size_t http_error_write_connected(char *out, size_t room);

#endif
