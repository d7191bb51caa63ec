/* Checks Host and Origin. A web page whose name resolves to this machine (DNS rebinding) sends its own name as Host, and a page elsewhere its own
 * Origin. Both are refused here, before any token is checked. */
#ifndef WARREN_API_HOST_H
#define WARREN_API_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct api_host_rules {
	char **names; /* from --allowed-host and --listen; borrowed */
	size_t name_count;
	char **origins; /* from --allowed-origin; borrowed */
	size_t origin_count;
};

/* `host` is the header's value. `local` is the connection's local address, or NULL for a unix socket: the Host is then not checked. */
bool api_host_is_ours(const struct api_host_rules *rules, const char *host, const struct sockaddr *local);
/* A missing Origin is accepted (no browser, or a page's own GET). Otherwise it must consist of the scheme and the request's Host, or be one of those
 * that are allowed. https is accepted without TLS here, too: a proxy may have it, and no page of another host has this origin. */
bool api_host_origin_is_ours(const struct api_host_rules *rules, const char *origin, const char *host, bool tls);

#endif
