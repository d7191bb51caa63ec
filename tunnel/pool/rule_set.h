/* The rules of a pool, compiled. Pure, and nothing is allocated when matching; its time does not grow with the number of domains or networks.
 *
 * A rule matches when its target, its port and its user do; a condition that is not given matches all. Domains and networks are one condition: a
 * target that is a name is compared with the domains, one that is an address with the networks. A name never matches a network, because it is
 * resolved only in the tunnel that the rules choose. A domain matches itself and the names below it; both are in
 * lower case already, and the final dot of a name does not count. An IPv4-mapped network is the IPv4 network. The first rule that matches counts. */
#ifndef WARREN_TUNNEL_POOL_RULE_SET_H
#define WARREN_TUNNEL_POOL_RULE_SET_H

#include <stddef.h>

#include "ipc/pool_spec.h"
#include "tunnel/http/target.h"

#define RULE_SET_NONE (-1)

struct rule_set;

/* Copies what it needs of the rules. NULL when out of memory. */
struct rule_set *rule_set_create(const struct spec_rule *rules, size_t count);
void rule_set_free(struct rule_set *set); /* NULL is allowed */
/* The place of the first rule that matches, or RULE_SET_NONE. `user` is the NAME of user_name.h; the length 0 is a user that no rule names. */
int rule_set_match(const struct rule_set *set, const struct target *target, const char *user, size_t user_length);

#endif
