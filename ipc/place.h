/* A host with a port, or a unix path, as written by a user. */
#ifndef WARREN_IPC_PLACE_H
#define WARREN_IPC_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/endpoint.h"

/* In an inner place `host` is an IP literal or a name that the tunnel's DNS resolves. */
enum spec_place_kind { SPEC_PLACE_NONE, SPEC_PLACE_INET, SPEC_PLACE_UNIX };
struct spec_place {
	enum spec_place_kind kind;
	char *host;    /* INET: literal without brackets, or name; UNIX: the path */
	uint16_t port; /* INET */
};

/* Parses "HOST:PORT", "[IPv6]:PORT" or "unix:/path". An IP literal is stored in its canonical form, an IPv4-mapped one as IPv4. When it is false, the
 * place is none, and errno is ENOMEM if the text is not at fault. */
bool place_parse(const char *text, struct spec_place *place);
/* A sentence that says why place_parse refused the text; `is_endpoint`: of a peer, which is no path and has a port. */
#define PLACE_FAULT_SIZE 128
void place_fault(const char *text, bool is_endpoint, char fault[PLACE_FAULT_SIZE]);
/* malloc'ed; NULL when out of memory, or for no place. */
char *place_format(const struct spec_place *place);
void place_clear(struct spec_place *place);
bool name_is_valid(const char *name); /* a host name, no literal */
/* Converts a literal to a socket address; false if the host is a name. */
bool place_address(const struct spec_place *place, union wireguard_endpoint *address);
bool place_is_literal(const struct spec_place *place);
bool place_is_loopback(const struct spec_place *place);

#endif
