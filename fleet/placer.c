#include "fleet/placer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/fleet_placement.h"

#define HOLD_MS 300 /* after a transaction whose end is not known, or that was refused; up to HOLD_MS + SPREAD_MS */
#define SPREAD_MS 500
#define LOOK_MS 20 /* between two plans while something waits: a plan takes 1 ms with 100 nodes */
#define OWNER_VALUE (2 * FLEET_NAME + 64)

enum standing {
	STANDING_TAKES, /* may be given shards */
	STANDING_STAYS, /* keeps what it has */
	STANDING_LEFT,  /* is to be emptied: drained */
	STANDING_DEAD,
};

struct fleet_placer {
	const struct fleet_node *node;
	struct fleet_rule rule;
	uint64_t random;
	bool is_leading, is_placing; /* a request is under way */
	uint64_t hold_until;         /* no request before */
	int64_t needed;              /* nothing more until our view has this revision */
	bool is_settled;             /* with this generation and these standings there is nothing to do */
	uint64_t generation;
	uint64_t look_at;
	enum standing standings[FLEET_NODES_MAX];
	struct fleet_placement_node nodes[FLEET_NODES_MAX];
	bool is_guarded[FLEET_NODES_MAX]; /* the transaction compares its revision */
	struct fleet_txn txn;
};

struct fleet_placer *fleet_placer_create(const struct fleet_node *node, const struct fleet_rule *rule, uint64_t seed)
{
	struct fleet_placer *placer = calloc(1, sizeof(*placer));
	if (placer == NULL)
		return NULL;
	placer->node = node;
	placer->rule = *rule;
	placer->random = seed;
	return placer;
}

void fleet_placer_free(struct fleet_placer *placer)
{
	free(placer);
}

/* ---- What nodes are ---- */

static bool is_dead(const struct fleet_placer *placer, const struct fleet_view_node *node, uint64_t now)
{
	return node->heartbeat.bye || now >= node->heard_at + fleet_rule_silence(&placer->rule);
}

static bool is_heard(const struct fleet_placer *placer, const struct fleet_view_node *node, uint64_t now)
{
	return now < node->heard_at + fleet_rule_blind(&placer->rule);
}

static enum standing stand(const struct fleet_placer *placer, const struct fleet_view_node *node, uint64_t now)
{
	if (is_dead(placer, node, now))
		return STANDING_DEAD;
	if (node->heartbeat.drain)
		return STANDING_LEFT;
	bool may_take = node->revision != 0 && node->heartbeat.applied > 0 && node->heartbeat.capacity > 0;
	return may_take && is_heard(placer, node, now) ? STANDING_TAKES : STANDING_STAYS;
}

/* Whether anything has changed since there was nothing to do. */
static bool look_at_nodes(struct fleet_placer *placer, uint64_t now)
{
	const struct fleet_view *view = fleet_node_view(placer->node);
	bool has_changed = !placer->is_settled || placer->generation != view->generation;
	for (size_t i = 0; i < view->node_count; i++) {
		enum standing standing = stand(placer, &view->nodes[i], now);
		has_changed |= placer->standings[i] != standing;
		placer->standings[i] = standing;
	}
	placer->generation = view->generation;
	return has_changed;
}

/* ---- Leadership ---- */

static uint64_t roll(struct fleet_placer *placer, uint64_t below)
{
	placer->random = fleet_hash_mix(placer->random + 0x9e3779b97f4a7c15U);
	return placer->random % below;
}

static bool has_leader(const struct fleet_placer *placer, const struct fleet_view *view, uint64_t now)
{
	if (view->leader == FLEET_NOBODY)
		return false;
	const struct fleet_view_node *leader = &view->nodes[view->leader];
	return !leader->heartbeat.bye && is_heard(placer, leader, now);
}

/* Only a node whose own key is its own may lead. */
static bool lead(struct fleet_placer *placer, const struct fleet_view *view, struct fleet_request *request)
{
	char value[FLEET_VALUE_TEXT], own[FLEET_KEY_TEXT], leader[FLEET_KEY_TEXT];
	struct fleet_key key = { .kind = FLEET_KEY_NODE };
	int64_t lease = fleet_node_lease(placer->node);
	const char *name = view->nodes[FLEET_ME].name;
	if (fleet_leader_write(name, value) != FLEET_RECORD_OK)
		return false;
	memcpy(key.name, name, strlen(name) + 1);
	fleet_key_write(&key, own);
	fleet_key_write(&(struct fleet_key){ .kind = FLEET_KEY_LEADER }, leader);
	fleet_txn_clear(&placer->txn);
	fleet_txn_compare(&placer->txn, leader, FLEET_MOD_REVISION, view->leader_revision);
	fleet_txn_compare(&placer->txn, own, FLEET_LEASE, lease);
	fleet_txn_put(&placer->txn, leader, value, lease);
	*request = (struct fleet_request){ .kind = FLEET_LEAD, .txn = &placer->txn };
	placer->is_leading = true;
	return true;
}

/* ---- The plan ---- */

static void describe_nodes(struct fleet_placer *placer, const struct fleet_view *view)
{
	for (size_t i = 0; i < view->node_count; i++) {
		enum standing standing = placer->standings[i];
		uint32_t capacity = view->nodes[i].heartbeat.capacity;
		placer->nodes[i] = (struct fleet_placement_node){
			.hash = view->nodes[i].hash,
			.capacity = capacity == 0 ? 1 : capacity,
			.is_taker = standing == STANDING_TAKES,
			.is_left = standing == STANDING_LEFT,
			.is_dead = standing == STANDING_DEAD,
		};
	}
}

static void describe_shards(const struct fleet_view *view, struct fleet_placement_shard *shards)
{
	for (size_t i = 0; i < view->shard_count; i++) {
		const struct fleet_view_shard *shard = &view->shards[i];
		shards[i] = (struct fleet_placement_shard){
			.hash = fleet_placement_hash(view->classes[shard->class].text, shard->number),
			.class = shard->class,
			.weight = shard->count,
			.owner = shard->owner,
		};
	}
}

/* A node of which nothing is known keeps what it has until it is dead. */
static void describe_classes(const struct fleet_view *view, bool *admits)
{
	for (size_t class = 0; class < view->class_count; class ++)
		for (size_t i = 0; i < view->node_count; i++) {
			const struct fleet_view_node *node = &view->nodes[i];
			admits[class * view->node_count + i] =
			    fleet_class_admits(&view->classes[class].class, node->name, node->heartbeat.labels, node->heartbeat.label_count);
		}
}

static bool is_calm(const struct fleet_placer *placer, const struct fleet_view *view, uint64_t now)
{
	for (size_t i = 0; i < view->node_count; i++)
		if (placer->standings[i] != STANDING_DEAD && (view->nodes[i].revision == 0 || !is_heard(placer, &view->nodes[i], now)))
			return false;
	return true;
}

/* Where each shard belongs, malloc'ed; NULL when out of memory. */
static struct fleet_placement_shard *make_plan(struct fleet_placer *placer, const struct fleet_view *view, uint64_t now)
{
	struct fleet_placement_shard *shards = calloc(view->shard_count + 1, sizeof(*shards));
	bool *admits = calloc(view->class_count * view->node_count + 1, sizeof(*admits));
	struct fleet_placement placement = { placer->nodes,     view->node_count,          shards, view->shard_count, admits,
		                             view->class_count, is_calm(placer, view, now) };
	bool is_made = shards != NULL && admits != NULL;
	if (is_made) {
		describe_nodes(placer, view);
		describe_shards(view, shards);
		describe_classes(view, admits);
		is_made = fleet_placement_plan(&placement);
	}
	free(admits);
	if (is_made)
		return shards;
	free(shards);
	return NULL;
}

/* ---- Moves ---- */

/* Also of a shard that has never had a record. */
static bool is_over_time(const struct fleet_placer *placer, const struct fleet_view_shard *shard, uint64_t now)
{
	return shard->received_at == 0 || now >= shard->received_at + fleet_rule_silence(&placer->rule);
}

/* Whether who had it serves it no more. A record that was deleted or cannot be read does not tell who that is. */
static bool has_let_go(const struct fleet_placer *placer, const struct fleet_view *view, const struct fleet_view_shard *shard, uint64_t now)
{
	if (is_over_time(placer, shard, now))
		return true;
	if (shard->from == FLEET_NOBODY)
		return false;
	const struct fleet_view_node *from = &view->nodes[shard->from];
	return from->heartbeat.bye || (from->revision != 0 && from->heartbeat.applied >= shard->epoch);
}

/* Whether it is on its way from one living node to another. */
static bool is_moving(const struct fleet_placer *placer, const struct fleet_view *view, const struct fleet_view_shard *shard, uint64_t now)
{
	if (shard->owner == FLEET_NOBODY)
		return shard->from != FLEET_NOBODY;
	const struct fleet_view_node *owner = &view->nodes[shard->owner];
	return shard->epoch != 0 && owner->heartbeat.applied < shard->epoch && is_heard(placer, owner, now) && !is_over_time(placer, shard, now);
}

static size_t count_moving(const struct fleet_placer *placer, const struct fleet_view *view, uint64_t now)
{
	size_t count = 0;
	for (size_t i = 0; i < view->shard_count; i++)
		count += is_moving(placer, view, &view->shards[i], now);
	return count;
}

static uint64_t find_latest_wall(const struct fleet_view *view, uint64_t wall)
{
	for (size_t i = 0; i < view->node_count; i++)
		if (view->nodes[i].wall > wall)
			wall = view->nodes[i].wall;
	return wall;
}

static uint64_t raise_floor(const struct fleet_placer *placer, const struct fleet_view *view, const struct fleet_view_shard *shard, uint64_t wall)
{
	int last = shard->owner != FLEET_NOBODY ? shard->owner : shard->from;
	if (last == FLEET_NOBODY)
		return shard->ts_floor;
	uint64_t floor = view->nodes[last].wall;
	if (floor == 0)
		floor = find_latest_wall(view, wall) + FLEET_CLOCKS_APART;
	if (floor < shard->ts_floor)
		floor = shard->ts_floor;
	floor += fleet_rule_silence(&placer->rule);
	return floor < FLEET_TIME_MAX ? floor : FLEET_TIME_MAX;
}

/* Adds the move to the transaction. `to` is FLEET_NOBODY for a release. */
static bool add_move(struct fleet_placer *placer, const struct fleet_view *view, const struct fleet_view_shard *shard, int to, uint64_t wall)
{
	struct fleet_owner owner = { .ts_floor = shard->ts_floor };
	struct fleet_key place = { .kind = FLEET_KEY_SHARD, .shard = shard->number };
	char key[FLEET_KEY_TEXT], value[FLEET_VALUE_TEXT];
	const char *name = view->nodes[to == FLEET_NOBODY ? shard->owner : to].name;
	memcpy(to == FLEET_NOBODY ? owner.from : owner.node, name, strlen(name) + 1);
	if (to != FLEET_NOBODY)
		owner.ts_floor = raise_floor(placer, view, shard, wall);
	if (fleet_owner_write(&owner, value) != FLEET_RECORD_OK)
		return false;
	memcpy(place.class, view->classes[shard->class].text, FLEET_CLASS_TEXT);
	fleet_key_write(&place, key);
	fleet_txn_compare(&placer->txn, key, FLEET_MOD_REVISION, shard->epoch);
	fleet_txn_put(&placer->txn, key, value, 0);
	return true;
}

/* The dead owner must not have written since. */
static void add_guard(struct fleet_placer *placer, const struct fleet_view *view, int node)
{
	struct fleet_key key = { .kind = FLEET_KEY_NODE };
	char text[FLEET_KEY_TEXT];
	if (placer->is_guarded[node])
		return;
	placer->is_guarded[node] = true;
	memcpy(key.name, view->nodes[node].name, FLEET_NAME);
	fleet_key_write(&key, text);
	fleet_txn_compare(&placer->txn, text, FLEET_MOD_REVISION, view->nodes[node].revision);
}

enum move { MOVE_NONE, MOVE_WAITS, MOVE_GIVE, MOVE_RELEASE };

static enum move choose_move(const struct fleet_placer *placer, const struct fleet_view *view, const struct fleet_view_shard *shard, int to,
                             size_t moving, uint64_t now)
{
	if (to == shard->owner || shard->is_beyond)
		return MOVE_NONE;
	if (shard->owner == FLEET_NOBODY && !has_let_go(placer, view, shard, now))
		return MOVE_WAITS;
	if (to == FLEET_NOBODY)
		return MOVE_NONE;
	if (shard->owner == FLEET_NOBODY || placer->standings[shard->owner] == STANDING_DEAD)
		return MOVE_GIVE;
	/* A silent owner could not let go. */
	return moving == 0 && is_heard(placer, &view->nodes[shard->owner], now) ? MOVE_RELEASE : MOVE_WAITS;
}

/* Adds what can be done of the plan; whether something is left that waits. */
static bool add_moves(struct fleet_placer *placer, const struct fleet_view *view, const struct fleet_placement_shard *plan, uint64_t wall,
                      uint64_t now)
{
	size_t moving = count_moving(placer, view, now);
	bool waits = moving > 0;
	for (size_t i = 0; i < view->shard_count; i++) {
		const struct fleet_view_shard *shard = &view->shards[i];
		enum move move = choose_move(placer, view, shard, plan[i].to, moving, now);
		waits |= move == MOVE_WAITS;
		if (move == MOVE_NONE || move == MOVE_WAITS)
			continue;
		if (!fleet_txn_has_room(&placer->txn, 2, 1, OWNER_VALUE))
			return true;
		if (!add_move(placer, view, shard, move == MOVE_GIVE ? plan[i].to : FLEET_NOBODY, wall))
			return true;
		if (move == MOVE_GIVE && shard->owner != FLEET_NOBODY)
			add_guard(placer, view, shard->owner);
		moving += move == MOVE_RELEASE;
	}
	return waits;
}

static bool place(struct fleet_placer *placer, const struct fleet_view *view, struct fleet_request *request, uint64_t wall, uint64_t now)
{
	char leader[FLEET_KEY_TEXT];
	placer->look_at = now + LOOK_MS;
	struct fleet_placement_shard *plan = make_plan(placer, view, now);
	if (plan == NULL)
		return false;
	memset(placer->is_guarded, false, sizeof(placer->is_guarded));
	fleet_txn_clear(&placer->txn);
	fleet_key_write(&(struct fleet_key){ .kind = FLEET_KEY_LEADER }, leader);
	fleet_txn_compare(&placer->txn, leader, FLEET_MOD_REVISION, view->leader_revision);
	bool waits = add_moves(placer, view, plan, wall, now);
	free(plan);
	placer->is_settled = !waits && placer->txn.put_count == 0;
	if (placer->txn.put_count == 0)
		return false;
	*request = (struct fleet_request){ .kind = FLEET_PLACE, .txn = &placer->txn };
	placer->is_placing = true;
	return true;
}

/* ---- The whole ---- */

bool fleet_placer_next(struct fleet_placer *placer, struct fleet_request *request, uint64_t wall, uint64_t now)
{
	const struct fleet_view *view = fleet_node_view(placer->node);
	if (placer->is_leading || placer->is_placing || now < placer->hold_until || fleet_node_applied(placer->node) < placer->needed ||
	    !fleet_node_may_place(placer->node, now))
		return false;
	if (!has_leader(placer, view, now))
		return lead(placer, view, request);
	if (view->leader != FLEET_ME)
		return false;
	bool has_changed = look_at_nodes(placer, now);
	placer->is_settled = !has_changed;
	return has_changed && now >= placer->look_at && place(placer, view, request, wall, now);
}

/* When the next node or the placer will have been silent for too long. */
static uint64_t find_next_silence(const struct fleet_placer *placer, const struct fleet_view *view, uint64_t now)
{
	uint64_t blind = fleet_rule_blind(&placer->rule), silence = fleet_rule_silence(&placer->rule);
	uint64_t wake = FLEET_NEVER;
	for (size_t i = 0; i < view->node_count; i++) {
		const struct fleet_view_node *node = &view->nodes[i];
		const uint64_t times[] = { node->heard_at + blind, node->heard_at + silence };
		for (size_t k = 0; k < sizeof(times) / sizeof(times[0]); k++)
			if (times[k] > now && times[k] < wake)
				wake = times[k];
	}
	return wake;
}

uint64_t fleet_placer_wake(const struct fleet_placer *placer, uint64_t now)
{
	const struct fleet_view *view = fleet_node_view(placer->node);
	if (placer->is_leading || placer->is_placing || !fleet_node_may_place(placer->node, now))
		return FLEET_NEVER;
	if (now < placer->hold_until)
		return placer->hold_until;
	uint64_t wake = find_next_silence(placer, view, now);
	if (view->leader == FLEET_ME && !placer->is_settled && placer->look_at < wake)
		wake = placer->look_at;
	return wake > now ? wake : now;
}

void fleet_placer_reply(struct fleet_placer *placer, const struct fleet_reply *reply, uint64_t now)
{
	assert(reply->kind == FLEET_LEAD || reply->kind == FLEET_PLACE);
	if (reply->kind == FLEET_LEAD)
		placer->is_leading = false;
	else
		placer->is_placing = false;
	/* The watch tells what came of it. */
	if (reply->result == FLEET_DONE)
		placer->needed = reply->revision;
	else
		placer->hold_until = now + HOLD_MS + roll(placer, SPREAD_MS);
}
