/* What a reverse proxy in front of the API says about its client: X-Forwarded-For, -Proto and -Host, or Forwarded (RFC 7239). Anybody can write
 * these headers, so that they are believed from trusted proxies alone, and of their lists only what such a proxy has added. */
#ifndef WARREN_API_FORWARDED_H
#define WARREN_API_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "ipc/network.h"

#define FORWARDED_CLIENT_SIZE NETWORK_TEXT_SIZE
#define FORWARDED_HOST_SIZE 264

struct api_proxies {
	struct wireguard_network *list; /* owned */
	size_t count;
};

/* "192.0.2.1" or "192.0.2.0/24"; false if it is neither, or memory is out. */
bool api_proxies_add(struct api_proxies *proxies, const char *written);
void api_proxies_clear(struct api_proxies *proxies);
bool api_proxies_trust(const struct api_proxies *proxies, const struct sockaddr *peer);

/* The values of one header, in the order of the request; several lines of it are one list (RFC 9110, 5.3). */
#define FORWARDED_LINES_MAX 16
struct api_header_lines {
	const char *lines[FORWARDED_LINES_MAX]; /* the last ones */
	size_t count;
};
void api_header_lines_add(struct api_header_lines *lines, const char *value);

struct api_forwarded_headers {
	struct api_header_lines x_for, x_proto, x_host, forwarded;
};

struct api_forwarded {
	char client[FORWARDED_CLIENT_SIZE]; /* without a port; empty: the peer itself */
	char host[FORWARDED_HOST_SIZE];     /* empty: as in Host */
	bool is_tls;                        /* the client speaks TLS with the proxy */
};

/* From a trusted proxy. The client is the rightmost hop that is no trusted proxy; what stands left of it is its own word. Where there is an
 * X-Forwarded-For, Forwarded is not read: most proxies write the former and pass the latter on. */
void api_forwarded_read(const struct api_forwarded_headers *headers, const struct api_proxies *proxies, struct api_forwarded *forwarded);

#endif
