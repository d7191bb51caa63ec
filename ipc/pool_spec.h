/* What a pool's specification has besides its proxy: which tunnels are its members, and how one is chosen for a connection. Validated plain data,
 * embedded in struct spec; it owns its strings and arrays. */
#ifndef WARREN_IPC_POOL_SPEC_H
#define WARREN_IPC_POOL_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/network.h"

#define POOL_SPEC_TUNNELS_MAX 4096 /* that one selection names */
#define POOL_SPEC_LABELS_MAX 64    /* of one selection, or of a tunnel */
#define POOL_SPEC_RULES_MAX 1024
#define POOL_SPEC_TERMS_MAX 65536 /* of a rule: its domains, networks, ports and users, each */
#define POOL_SPEC_RETRIES_MAX 16
#define POOL_SPEC_TTL_MAX 2592000 /* thirty days, in seconds */
#define POOL_SPEC_WEIGHT_LABEL "warren.weight"
#define POOL_SPEC_WEIGHT_MAX 100 /* the least is 1 */

struct spec_label {
	char *key;
	char *value;
};

/* Of all tunnels of the daemon: those that are named, and, if there are labels, those that have all of them. One that is empty selects none. */
struct spec_selection {
	char **tunnels; /* ids that differ; their order is the client's, and that of failover */
	size_t tunnel_count;
	struct spec_label *labels; /* sorted by key */
	size_t label_count;
};

enum spec_strategy { SPEC_ROUND_ROBIN, SPEC_RANDOM, SPEC_LEAST_CONNECTIONS, SPEC_LOWEST_LATENCY, SPEC_FAILOVER, SPEC_STRATEGIES };
const char *spec_strategy_name(enum spec_strategy strategy); /* "round_robin" */

enum spec_sticky { SPEC_STICKY_NONE, SPEC_STICKY_CLIENT, SPEC_STICKY_USER, SPEC_STICKY_SESSION, SPEC_STICKY_TARGET, SPEC_STICKIES };
const char *spec_sticky_name(enum spec_sticky sticky); /* "none" */

struct spec_ports {
	uint16_t first, last; /* first ≤ last */
};

enum spec_rule_action { SPEC_RULE_MEMBERS, SPEC_RULE_REJECT };

/* Matches a connection whose target is one of the domains or networks, whose port is one of the ports, and whose user is one of the users; what is
 * empty matches all, but domains and networks are one condition: a target that either has. */
struct spec_rule {
	char **domains; /* lower case, without a dot at the end; each stands for the name and those below it */
	size_t domain_count;
	struct wireguard_network *networks;
	size_t network_count;
	struct spec_ports *ports;
	size_t port_count;
	char **users;
	size_t user_count;
	enum spec_rule_action action;
	struct spec_selection members; /* SPEC_RULE_MEMBERS: the tunnels that serve instead of the pool's own */
};

struct spec_pool {
	struct spec_selection members;
	enum spec_strategy strategy;
	enum spec_sticky sticky_by;
	uint32_t sticky_ttl; /* seconds after the last connection */
	uint32_t retries;    /* further members that are tried */
	struct spec_rule *rules;
	size_t rule_count;
};

/* Every member at its default (openapi.yaml): no members, no rules. */
void pool_spec_init(struct spec_pool *pool);
void pool_spec_clear(struct spec_pool *pool);
void spec_rule_clear(struct spec_rule *rule);
void spec_selection_clear(struct spec_selection *selection);

/* Whether a tunnel with this id and these labels, sorted by key, is selected. */
bool spec_selection_has(const struct spec_selection *selection, const char *id, const struct spec_label *labels, size_t label_count);
/* Whether it has all the labels of the selection, which has some. */
bool spec_selection_has_labels(const struct spec_selection *selection, const struct spec_label *labels, size_t label_count);
/* The place of the id among those named; tunnel_count when it is not named. */
size_t spec_selection_place(const struct spec_selection *selection, const char *id);
/* The value of a label, or NULL. */
const char *spec_label_find(const struct spec_label *labels, size_t count, const char *key);
/* The weight that a label's value says; false if it says none. */
bool pool_spec_weight(const char *value, unsigned *weight);
void spec_labels_free(struct spec_label *labels, size_t count); /* NULL is allowed, whatever the count */

/* As spec_encode and spec_decode, of the pool's members alone. What a failed decoding has made is for pool_spec_clear. */
struct message_writer;
struct message_reader;
void pool_spec_encode(struct message_writer *writer, const struct spec_pool *pool);
void pool_spec_decode(struct message_reader *reader, struct spec_pool *pool);
/* Labels on the wire, which a pool's members have, too. Decoding returns an array for spec_labels_free. */
void spec_labels_encode(struct message_writer *writer, const struct spec_label *labels, size_t count);
struct spec_label *spec_labels_decode(struct message_reader *reader, size_t *count);

#endif
