#include "service/fleet/roster.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/registry/events.h"
#include "service/spec/json_writer.h"
#include "service/spec/labels.h"

struct roster {
	pthread_mutex_t lock;
	struct events *events; /* borrowed */
	struct roster_node *nodes;
	size_t count;
	struct roster_summary summary;
	bool is_nearly_full; /* was told; the service's thread */
};

#define NEARLY_FULL 80 /* % of etcd's quota */
#define FULL_NO_MORE 75

struct roster *roster_create(struct events *events)
{
	struct roster *roster = calloc(1, sizeof(*roster));
	if (roster == NULL)
		return NULL;
	roster->events = events;
	pthread_mutex_init(&roster->lock, NULL);
	return roster;
}

void roster_free(struct roster *roster)
{
	if (roster == NULL)
		return;
	roster_nodes_free(roster->nodes, roster->count);
	pthread_mutex_destroy(&roster->lock);
	free(roster);
}

void roster_nodes_free(struct roster_node *nodes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(nodes[i].labels);
	free(nodes);
}

/* ---- What is known now ---- */

static bool take_node(struct roster_node *node, const struct fleet_view_node *known, const struct fleet_rule *rule, uint64_t now)
{
	const struct fleet_heartbeat *heartbeat = &known->heartbeat;
	uint64_t until = known->heard_at + fleet_rule_silence(rule);
	bool is_known = known->revision != 0 || heartbeat->t != 0, is_lost = !is_known || heartbeat->bye || now >= until;
	json_t *labels = labels_to_json(heartbeat->labels, heartbeat->label_count);
	*node = (struct roster_node){ .state = is_lost            ? ROSTER_LOST
		                               : heartbeat->drain ? ROSTER_DRAINING
		                                                  : ROSTER_READY,
		                      .capacity = heartbeat->capacity,
		                      .expires_in = is_lost ? 0 : until - now };
	memcpy(node->id, known->name, sizeof(node->id));
	memcpy(node->api, heartbeat->address, sizeof(node->api));
	node->labels = labels == NULL ? NULL : json_writer_text(labels);
	json_decref(labels);
	memcpy(node->version, heartbeat->version, sizeof(node->version));
	return node->labels != NULL;
}

static int compare(const void *a, const void *b)
{
	const struct roster_node *one = a, *other = b;
	return strcmp(one->id, other->id);
}

/* In the view's order, in which shards name them. NULL when out of memory. */
static struct roster_node *take_nodes(const struct fleet_view *view, const struct fleet_rule *rule, uint64_t now)
{
	struct roster_node *nodes = calloc(view->node_count + 1, sizeof(*nodes));
	bool is_taken = nodes != NULL;
	for (size_t i = 0; is_taken && i < view->node_count; i++)
		is_taken = take_node(&nodes[i], &view->nodes[i], rule, now);
	if (is_taken)
		return nodes;
	roster_nodes_free(nodes, nodes == NULL ? 0 : view->node_count);
	return NULL;
}

static void count_tunnels(const struct fleet_view *view, struct roster_node *nodes, struct roster_summary *summary)
{
	for (size_t i = 0; i < view->shard_count; i++) {
		const struct fleet_view_shard *shard = &view->shards[i];
		if (shard->owner == FLEET_NOBODY)
			summary->unplaced += shard->count;
		else
			nodes[shard->owner].tunnels += shard->count;
	}
	for (size_t i = 0; i < view->node_count; i++)
		summary->tunnels[nodes[i].state] += nodes[i].tunnels;
}

/* Names that shards remember, of nodes that are gone for good and have nothing any more, are none of the fleet. */
static size_t drop_gone(struct roster_node *nodes, const struct fleet_view *view)
{
	size_t kept = 0;
	for (size_t i = 0; i < view->node_count; i++) {
		bool is_there = view->nodes[i].revision != 0 || nodes[i].tunnels > 0 || nodes[i].is_self;
		if (is_there)
			nodes[kept++] = nodes[i];
		else
			free(nodes[i].labels);
	}
	return kept;
}

/* ---- What has changed ---- */

static void tell_node(struct roster *roster, const struct roster_node *node, enum roster_state state)
{
	char members[2 * FLEET_NAME];
	snprintf(members, sizeof(members), "\"node\":\"%s\",\"state\":\"%s\"", node->id, roster_state_name(state));
	events_publish(roster->events, EVENT_NODE_STATE, NULL, members);
	log_line(LOG_INFO, NULL, "fleet: node %s is %s", node->id, roster_state_name(state));
}

/* Both lists are sorted. One that is new is told, unless nothing is known of it, and one that is gone is lost. */
static void tell_nodes(struct roster *roster, const struct roster_node *nodes, size_t count)
{
	size_t i = 0, old = 0;
	while (i < count || old < roster->count) {
		int order = i == count ? 1 : old == roster->count ? -1 : compare(&nodes[i], &roster->nodes[old]);
		if (order > 0 && roster->nodes[old].state != ROSTER_LOST)
			tell_node(roster, &roster->nodes[old], ROSTER_LOST);
		else if (order < 0 ? nodes[i].state != ROSTER_LOST : order == 0 && nodes[i].state != roster->nodes[old].state)
			tell_node(roster, &nodes[i], nodes[i].state);
		i += order <= 0;
		old += order >= 0;
	}
}

static void tell_summary(struct roster *roster, const struct roster_summary *summary)
{
	char members[64];
	bool is_connected = summary->is_connected;
	if (is_connected == roster->summary.is_connected)
		return;
	snprintf(members, sizeof(members), "\"state\":\"%s\"", summary->state);
	events_publish(roster->events, is_connected ? EVENT_FLEET_CONNECTED : EVENT_FLEET_ISOLATED, NULL, members);
	log_line(is_connected ? LOG_INFO : LOG_WARN, NULL, "fleet: this node is %s",
	         is_connected ? "connected" : "cut off: tunnels with placement.on_isolation \"stop\" are silent, the others go on");
}

void roster_update(struct roster *roster, const struct fleet_node *node, const struct fleet_rule *rule, uint64_t now)
{
	const struct fleet_view *view = fleet_node_view(node);
	uint64_t deadline = fleet_node_deadline(node);
	struct roster_summary summary = { .etcd_bytes = roster->summary.etcd_bytes,
		                          .etcd_quota = roster->summary.etcd_quota,
		                          .is_connected = now < deadline,
		                          .lease_ms = now < deadline ? deadline - now : 0,
		                          .state = fleet_node_state_name(fleet_node_state(node, now)) };
	struct roster_node *nodes = take_nodes(view, rule, now);
	if (nodes == NULL)
		return;
	nodes[FLEET_ME].is_self = true;
	count_tunnels(view, nodes, &summary);
	size_t count = drop_gone(nodes, view);
	qsort(nodes, count, sizeof(*nodes), compare);
	tell_nodes(roster, nodes, count);
	tell_summary(roster, &summary);
	struct roster_node *before = roster->nodes;
	size_t count_before = roster->count;
	pthread_mutex_lock(&roster->lock);
	roster->nodes = nodes;
	roster->count = count;
	roster->summary = summary;
	pthread_mutex_unlock(&roster->lock);
	roster_nodes_free(before, count_before);
}

static void tell_fill(struct roster *roster, uint64_t bytes, uint64_t quota)
{
	char members[96];
	if (!roster->is_nearly_full) {
		log_line(LOG_INFO, NULL, "fleet: the database of etcd has room again");
		return;
	}
	snprintf(members, sizeof(members), "\"bytes\":%llu,\"quota\":%llu", (unsigned long long)bytes, (unsigned long long)quota);
	events_publish(roster->events, EVENT_FLEET_NEARLY_FULL, NULL, members);
	log_line(
	    LOG_WARN, NULL,
	    "fleet: the database of etcd has %llu of the %llu bytes of its quota: when it is full, no node can say that it is there, and all are cut "
	    "off. Compact it and defragment each member, or raise --quota-backend-bytes",
	    (unsigned long long)bytes, (unsigned long long)quota);
}

void roster_take_fill(struct roster *roster, uint64_t bytes, uint64_t quota)
{
	bool is_over = bytes > quota / 100 * NEARLY_FULL, is_under = bytes < quota / 100 * FULL_NO_MORE;
	pthread_mutex_lock(&roster->lock);
	roster->summary.etcd_bytes = bytes;
	roster->summary.etcd_quota = quota;
	pthread_mutex_unlock(&roster->lock);
	if (roster->is_nearly_full ? !is_under : !is_over)
		return;
	roster->is_nearly_full = is_over;
	tell_fill(roster, bytes, quota);
}

/* ---- Readers ---- */

void roster_summary(struct roster *roster, struct roster_summary *summary)
{
	pthread_mutex_lock(&roster->lock);
	*summary = roster->summary;
	pthread_mutex_unlock(&roster->lock);
}

bool roster_has_others(struct roster *roster)
{
	bool has_others = false;
	pthread_mutex_lock(&roster->lock);
	for (size_t i = 0; i < roster->count; i++)
		has_others |= !roster->nodes[i].is_self && roster->nodes[i].state == ROSTER_READY;
	pthread_mutex_unlock(&roster->lock);
	return has_others;
}

static struct roster_node *copy(const struct roster_node *nodes, size_t count)
{
	struct roster_node *made = calloc(count + 1, sizeof(*made));
	bool is_copied = made != NULL;
	for (size_t i = 0; is_copied && i < count; i++) {
		made[i] = nodes[i];
		made[i].labels = strdup(nodes[i].labels);
		is_copied = made[i].labels != NULL;
	}
	if (is_copied)
		return made;
	roster_nodes_free(made, made == NULL ? 0 : count);
	return NULL;
}

struct roster_node *roster_nodes(struct roster *roster, size_t *count)
{
	pthread_mutex_lock(&roster->lock);
	struct roster_node *made = copy(roster->nodes, roster->count);
	*count = made == NULL ? 0 : roster->count;
	pthread_mutex_unlock(&roster->lock);
	return made;
}
