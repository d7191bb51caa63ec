/* Which Host and Origin are ours. A web page whose name was made to resolve to this machine (DNS rebinding) sends its own name as
 * Host, and a page elsewhere its own Origin: both are told apart here, before any token is looked at. */
#ifndef WARREN_API_HOST_H
#define WARREN_API_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct api_host_rules {
	char **names; /* of --allowed-host and the names in --listen; borrowed */
	size_t name_count;
};

/* `host` is the header's value. `local` is the address the client reached, or NULL: then the Host is not checked (unix socket). */
bool api_host_is_ours(const struct api_host_rules *rules, const char *host, const struct sockaddr *local);
/* An absent Origin is ours (no browser, or a page's own GET); else it must be the scheme with the very Host of the request. */
bool api_host_origin_is_ours(const char *origin, const char *host, bool tls);

#endif
