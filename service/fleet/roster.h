/* The nodes of the fleet as this one knows them, for other threads. Written by the service's thread each second, read by any. */
#ifndef WARREN_SERVICE_FLEET_ROSTER_H
#define WARREN_SERVICE_FLEET_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleet/node.h"

struct events;
struct roster;

enum roster_state {
	ROSTER_READY,
	ROSTER_DRAINING,
	ROSTER_LOST, /* it has left, or was silent for so long that others have what it had */
	ROSTER_STATES
};

static inline const char *roster_state_name(enum roster_state state)
{
	return state == ROSTER_READY ? "ready" : state == ROSTER_DRAINING ? "draining" : "lost";
}

struct roster_node {
	char id[FLEET_NAME];
	enum roster_state state;
	char api[FLEET_ADDRESS]; /* "https://ams-1:8470" */
	char version[FLEET_VERSION];
	char *labels; /* a JSON object; owned */
	uint32_t capacity;
	uint64_t tunnels;    /* that it is to run */
	uint64_t expires_in; /* ms until it is lost unless it is heard of; 0: it is */
	bool is_self;
};

/* What of all tunnels. */
struct roster_summary {
	bool is_connected;               /* this node is valid: it hears etcd, and itself through it */
	uint64_t lease_ms;               /* until it is cut off, unless it hears itself; 0: it is */
	uint64_t tunnels[ROSTER_STATES]; /* of nodes in that state */
	uint64_t unplaced;               /* tunnels that have no node yet */
	uint64_t etcd_bytes, etcd_quota; /* the database of the fullest member of etcd; 0: not known */
	const char *state;               /* fleet_node_state_name of this node; NULL: it has not started */
};

struct roster *roster_create(struct events *events); /* borrows them. NULL when out of memory */
void roster_free(struct roster *roster);             /* NULL is allowed */
/* Takes what is known now, and tells what has changed as events. Service's thread. When out of memory what was known before stays. */
void roster_update(struct roster *roster, const struct fleet_node *node, const struct fleet_rule *rule, uint64_t now);
/* The database of the fullest member of etcd. Nearly full, from 80 % of the quota on, and full no more, below 75 %, are told once. Service's thread.
 */
void roster_take_fill(struct roster *roster, uint64_t bytes, uint64_t quota);
void roster_summary(struct roster *roster, struct roster_summary *summary);
/* Whether another node is ready. */
bool roster_has_others(struct roster *roster);
/* A copy, sorted by id, for roster_nodes_free; NULL and 0 when out of memory. */
struct roster_node *roster_nodes(struct roster *roster, size_t *count);
void roster_nodes_free(struct roster_node *nodes, size_t count);

#endif
