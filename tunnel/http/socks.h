/* SOCKS5 (RFC 1928, RFC 1929) and SOCKS4/4a: parsers of messages and writers of replies, without state. A parser gets a message from its first
 * byte, and is called again with more bytes while it returns SOCKS_MORE. */
#ifndef WARREN_TUNNEL_HTTP_SOCKS_H
#define WARREN_TUNNEL_HTTP_SOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netstack/netstack.h"
#include "tunnel/http/credentials.h"
#include "tunnel/http/http_error.h"
#include "tunnel/http/target.h"

#define SOCKS_MESSAGE_MAX 520 /* the longest message of a client; with this many bytes no parser returns SOCKS_MORE */
#define SOCKS_REPLY_MAX 22
#define SOCKS_DATAGRAM_HEADER_MAX 22

enum socks_progress {
	SOCKS_MORE,
	SOCKS_WHOLE,
	SOCKS_REFUSED, /* send the refusal and close */
};

enum socks_method {
	SOCKS_METHOD_NONE = 0x00,
	SOCKS_METHOD_PASSWORD = 0x02,
	SOCKS_METHOD_UNACCEPTABLE = 0xff, /* close after it */
};

enum socks_command {
	SOCKS_CONNECT = 1,
	SOCKS_BIND = 2,
	SOCKS_UDP_ASSOCIATE = 3,
};

/* RFC 1928, section 6. */
enum socks_reply {
	SOCKS_SUCCEEDED = 0,
	SOCKS_GENERAL_FAILURE = 1,
	SOCKS_NOT_ALLOWED = 2,
	SOCKS_NETWORK_UNREACHABLE = 3,
	SOCKS_HOST_UNREACHABLE = 4,
	SOCKS_CONNECTION_REFUSED = 5,
	SOCKS_TTL_EXPIRED = 6,
	SOCKS_COMMAND_NOT_SUPPORTED = 7,
	SOCKS_ADDRESS_TYPE_NOT_SUPPORTED = 8,
};

struct socks_greeting {
	size_t length; /* of the message */
	bool offers_none;
	bool offers_password;
};

struct socks_request {
	size_t length;              /* of the message; the bytes behind it are early data: keep them */
	enum socks_command command; /* SOCKS4: always SOCKS_CONNECT */
	struct target target;       /* UDP ASSOCIATE: where the client says it will send from; all zero for a name */
	const char *user;           /* SOCKS4: the user id, any bytes but NUL, which ends it; borrowed from the message */
	enum socks_reply refusal;   /* of SOCKS_REFUSED */
};

/* A greeting of another version is SOCKS_REFUSED: reply with SOCKS_METHOD_UNACCEPTABLE. */
enum socks_progress socks_greeting_read(struct socks_greeting *greeting, const uint8_t *bytes, size_t length);
/* `wanted`: the tunnel has users, so never fall back to no authentication. Without users a client that offers only a login may log in with any
 * name and password. */
enum socks_method socks_method_choose(const struct socks_greeting *greeting, bool wanted);
size_t socks_method_write(uint8_t out[2], enum socks_method method);

/* RFC 1929; `*taken` is the length of the message. Another sub-version is SOCKS_REFUSED. Fields may be empty, which the RFC does not allow: without
 * users any login is accepted. What no user can have is read as a login that nobody has. */
enum socks_progress socks_password_read(struct credentials *credentials, const uint8_t *bytes, size_t length, size_t *taken);
size_t socks_password_reply_write(uint8_t out[2], bool admitted); /* close after false */

enum socks_progress socks_request_read(struct socks_request *request, const uint8_t *bytes, size_t length);
/* `bound` NULL is 0.0.0.0:0. 10 or 22 bytes. */
size_t socks_reply_write(uint8_t out[SOCKS_REPLY_MAX], enum socks_reply reply, const struct netstack_endpoint *bound);
/* The SOCKS5 reply code for a failure (X12). */
enum socks_reply socks_reply_of(enum http_error error);

/* SOCKS4 and 4a. On SOCKS_REFUSED reply with socks4_reply_write(out, false). */
enum socks_progress socks4_request_read(struct socks_request *request, const uint8_t *bytes, size_t length);
size_t socks4_reply_write(uint8_t out[8], bool granted);

/* The header of a datagram from a client; its length, or -1: a fragment (RFC 1928, section 7: dropped), malformed, or no port. */
int socks_datagram_read(struct target *target, const uint8_t *bytes, size_t length);
size_t socks_datagram_header_write(uint8_t out[SOCKS_DATAGRAM_HEADER_MAX], const struct netstack_endpoint *from);

#endif
