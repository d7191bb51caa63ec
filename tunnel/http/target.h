/* The target of a proxy client: a host (address or name) and a port, and the policy for it. The policy is applied to every address before a
 * connection to it is attempted, including those that a name resolves to. */
#ifndef WARREN_TUNNEL_HTTP_TARGET_H
#define WARREN_TUNNEL_HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/spec.h"
#include "netstack/netstack.h"

#define TARGET_NAME_MAX 254 /* with the final dot that a client may write (RFC 1035, 2.3.4) */

struct target {
	char host[TARGET_NAME_MAX + 2];   /* lower case, a literal without brackets; safe for a log line and a head */
	struct netstack_endpoint address; /* of a literal; a name has family AF_UNSPEC (0) and the port alone */
	uint16_t port;
};

enum target_class {
	TARGET_PUBLIC,
	TARGET_PRIVATE, /* RFC 1918, 100.64/10, ULA, site-local, 64:ff9b:1::/48, 240/4 */
	TARGET_LOOPBACK,
	TARGET_LINK_LOCAL,
	TARGET_UNSPECIFIED, /* 0.0.0.0/8 and :: */
	TARGET_MULTICAST,   /* broadcast too */
	TARGET_UNROUTABLE,  /* an IPv4 address in a form that no wire carries: mapped, compatible, translated */
};

enum target_verdict {
	TARGET_ALLOWED,
	TARGET_FORBIDDEN,         /* always: loopback, link-local, unspecified, multicast, unroutable */
	TARGET_FORBIDDEN_PRIVATE, /* by allow_private_targets */
};

/* Reads a name, a strict dotted quad or an IPv6 literal (bare or in brackets, without a zone) into host and address; the port is set
 * to `port`. An IPv4-mapped literal is the IPv4 address that it maps. 0, or -1 for what is none of these: percent signs, control bytes, empty or
 * overlong labels, and names that some would read as a number (0x7f.1, 127.1, 2130706433), since two readers could then see two hosts. */
int target_parse(struct target *target, const char *host, size_t length, uint16_t port) __attribute__((warn_unused_result));
/* The same for «host», «host:» or «host:port»; without a port `port` counts, and 0 for that makes one required. Userinfo, port 0 and
 * ports over 65535 are -1. */
int target_parse_authority(struct target *target, const char *text, size_t length, uint16_t port) __attribute__((warn_unused_result));
void target_from_address(struct target *target, const struct netstack_endpoint *address);
static inline bool target_is_name(const struct target *target)
{
	return target->address.family == 0;
}

enum target_class target_class(const struct netstack_endpoint *address);
/* Whether clients of this proxy, the tunnel's own or a pool's, may connect to this address through the tunnel. Without allow_private_targets of both
 * a private one needs an entry of the tunnel's allowed_ips inside the private block (10.0.0.0/8, fc00::/7 …). */
enum target_verdict target_judge(const struct spec *tunnel, const struct spec *proxy, const struct netstack_endpoint *address);
/* The same for the requested target, before a name is resolved: localhost and names under it are forbidden (RFC 6761, 6.3). */
enum target_verdict target_judge_asked(const struct spec *tunnel, const struct spec *proxy, const struct target *target);

#endif
