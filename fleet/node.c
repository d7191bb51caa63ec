#include "fleet/node.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "service/spec/labels.h"

#define BACKOFF_MS 100
#define TAKEN_MS 500         /* between two looks at a name that another has */
#define WATCH_SILENT_MS 1500 /* that an acknowledged heartbeat may take until the watch tells it */

struct fleet_node {
	struct fleet_rule rule;
	struct fleet_heartbeat self; /* what every heartbeat says */
	char key[FLEET_KEY_TEXT];
	struct fleet_view view, list; /* `list` fills while `is_listing` */
	struct fleet_txn txn;
	uint64_t random;

	/* Of etcd. */
	bool is_under_way[FLEET_REQUEST_KINDS];
	int64_t sent_applied[FLEET_REQUEST_KINDS], sent_lease[FLEET_REQUEST_KINDS]; /* what was so when it was sent */
	uint64_t cluster;
	uint64_t try_at, heartbeat_at, keepalive_at, watch_at;
	unsigned failures;
	bool is_listed, is_listing, is_watching, is_elsewhere, is_astray;

	/* The name. */
	int64_t lease;
	int64_t join_revision; /* that the key must have when we join; 0: it must not exist */
	int64_t taken_revision;
	uint64_t taken_since;
	bool is_joined, has_joined; /* now; ever */
	bool is_shared;             /* somebody else may hold the name, too */
	bool is_heard;              /* the current lease's key was read back */
	uint64_t hold_until;
	uint64_t ts_floor; /* of who had the name before */
	uint64_t wall;     /* the time of day when we asked last */

	/* Validity. */
	int64_t applied; /* every event up to it */
	uint64_t heard_t;
	int64_t heard_revision; /* of the newest heartbeat that was read back, 0: none that waits to be counted */
	uint64_t valid_until;
	bool was_valid;          /* since it joined */
	int64_t silent, running; /* confirmed by the workers */
	int64_t acknowledged;    /* a heartbeat's revision by its reply; only tells that the watch should tell it */
	uint64_t watched_at;     /* since when it should have */
	uint64_t answered_at;    /* when etcd answered last */
	uint64_t heartbeat_sent_at;
	bool is_leaving, is_leave_silent, is_bye_sent, has_left;
};

static const char *const state_names[] = { "starting", "joined", "valid", "lapsed", "evicted", "leaving", "left", "astray" };
_Static_assert(sizeof(state_names) / sizeof(state_names[0]) == FLEET_NODE_STATES, "a name for each state");

const char *fleet_node_state_name(enum fleet_node_state state)
{
	return state_names[state];
}

/* ---- A node begins and ends ---- */

static bool copy_text(char *to, size_t size, const char *from)
{
	if (strlen(from) >= size)
		return false;
	memcpy(to, from, strlen(from) + 1);
	return true;
}

static bool describe(struct fleet_node *node, const struct fleet_node_config *config)
{
	struct fleet_key key = { .kind = FLEET_KEY_NODE };
	char text[FLEET_VALUE_TEXT];
	node->self = (struct fleet_heartbeat){ .t = FLEET_TIME_MAX,
		                               .applied = INT64_MAX,
		                               .settled = INT64_MAX,
		                               .wall = FLEET_TIME_MAX,
		                               .told = FLEET_TIME_MAX,
		                               .capacity = config->capacity };
	if (!copy_text(key.name, sizeof(key.name), config->name) || !copy_text(node->self.boot, sizeof(node->self.boot), config->boot) ||
	    !copy_text(node->self.address, sizeof(node->self.address), config->address) ||
	    !copy_text(node->self.version, sizeof(node->self.version), config->version == NULL ? "" : config->version) ||
	    !labels_copy(&node->self.labels, config->labels, config->label_count))
		return false;
	node->self.label_count = config->label_count;
	fleet_key_write(&key, node->key);
	bool fits = fleet_heartbeat_write(&node->self, text) == FLEET_RECORD_OK;
	node->self.settled = 0; /* until it is said */
	node->self.told = 0;
	return fits;
}

struct fleet_node *fleet_node_create(const struct fleet_node_config *config, uint64_t now)
{
	struct fleet_node *node = calloc(1, sizeof(*node));
	if (node == NULL)
		return NULL;
	node->rule = config->rule;
	node->random = config->seed;
	node->is_shared = true;
	if (!describe(node, config) || !fleet_view_init(&node->view, config->name, now)) {
		fleet_node_free(node);
		return NULL;
	}
	return node;
}

void fleet_node_free(struct fleet_node *node)
{
	if (node == NULL)
		return;
	fleet_heartbeat_clear(&node->self);
	fleet_view_clear(&node->view);
	fleet_view_clear(&node->list);
	free(node);
}

/* ---- Validity ---- */

static bool is_hearing_itself(const struct fleet_node *node, uint64_t now)
{
	return now < node->view.nodes[FLEET_ME].heard_at + fleet_rule_blind(&node->rule);
}

static bool is_silent_at(const struct fleet_node *node, int64_t revision)
{
	return node->view.lost <= node->silent || revision <= node->silent;
}

/* Whatever was lost before a heartbeat must be silent before the heartbeat counts. */
static void count_heartbeat(struct fleet_node *node, uint64_t now)
{
	if (node->heard_revision == 0 || !node->is_joined || node->is_leaving || now < node->hold_until || !is_silent_at(node, node->heard_revision))
		return;
	uint64_t until = node->heard_t + fleet_rule_valid(&node->rule);
	node->heard_revision = 0;
	if (until > node->valid_until)
		node->valid_until = until;
	node->was_valid = true;
}

/* What `a` says: everything up to it is applied and carried out. */
static int64_t carried_out(const struct fleet_node *node, uint64_t now)
{
	if (!node->is_listed || now < node->hold_until)
		return 0;
	int64_t silent = node->view.lost <= node->silent ? node->applied : node->silent;
	int64_t running = node->view.gained <= node->running ? node->applied : node->running;
	return silent < running ? silent : running;
}

/* Before more is applied: what has no open change is confirmed as far as it is applied. */
static void settle(struct fleet_node *node)
{
	if (node->view.lost <= node->silent)
		node->silent = node->applied;
	if (node->view.gained <= node->running)
		node->running = node->applied;
}

static void tell_soon(struct fleet_node *node)
{
	node->heartbeat_at = 0;
}

static void evict(struct fleet_node *node)
{
	if (!node->is_joined)
		return;
	node->is_joined = node->is_heard = node->was_valid = false;
	node->lease = node->join_revision = 0;
	node->heard_revision = 0;
	node->valid_until = 0;
}

static void raise_floor(struct fleet_node *node, uint64_t floor)
{
	if (floor > node->ts_floor)
		node->ts_floor = floor;
}

/* The first heartbeat of a lease has come back, so everything is applied that happened to the name before. */
static void hear_of_join(struct fleet_node *node, uint64_t now)
{
	node->is_heard = true;
	if (node->is_shared && fleet_view_names_me(&node->view)) {
		node->hold_until = now + fleet_rule_silence(&node->rule);
		raise_floor(node, node->wall + FLEET_CLOCKS_APART);
	}
	node->is_shared = false;
}

/* Once everything up to a revision is applied: is our newest heartbeat in it? */
static void hear(struct fleet_node *node, uint64_t now)
{
	const struct fleet_view_node *me = &node->view.nodes[FLEET_ME];
	if (!node->is_joined || me->revision == 0 || me->lease != node->lease || me->heartbeat.t > now)
		return;
	if (!node->is_heard)
		hear_of_join(node, now);
	/* One that waits for a worker stays: were it replaced each time, none would ever count. */
	if (node->heard_revision == 0 || is_silent_at(node, node->heard_revision)) {
		node->heard_t = me->heartbeat.t;
		node->heard_revision = me->revision;
	}
	count_heartbeat(node, now);
	/* It came back too late to be of use: the watch has gone on after a while. */
	if (now >= me->heartbeat.t + fleet_rule_valid(&node->rule))
		tell_soon(node);
}

/* ---- The list and the watch ---- */

static void begin_list(struct fleet_node *node)
{
	node->is_listed = node->is_watching = false;
}

/* Another cluster is not the one that the shards were assigned in. */
static void check_cluster(struct fleet_node *node, uint64_t cluster)
{
	if (node->cluster == 0)
		node->cluster = cluster;
	if (cluster != 0 && cluster != node->cluster)
		node->is_astray = true;
}

void fleet_node_listed(struct fleet_node *node, const struct fleet_kv *kv, uint64_t now)
{
	if (node->is_listing && fleet_view_apply(&node->list, kv, now) != FLEET_VIEW_OK)
		node->is_listing = false;
}

/* A join that etcd did not find a key for: between our last heartbeat that we know of and this one somebody else may have come and gone. */
static void doubt_name(struct fleet_node *node)
{
	if (!node->is_heard && node->join_revision == 0)
		node->is_shared = true;
}

static void end_list(struct fleet_node *node, int64_t revision, uint64_t now)
{
	settle(node);
	bool is_first = node->applied == 0;
	int error = fleet_view_replace(&node->view, &node->list, revision, now);
	if (error == FLEET_VIEW_WENT_BACK)
		node->is_astray = true;
	if (error != FLEET_VIEW_OK)
		return;
	/* Workers may run what an earlier process had, and what has moved since. */
	if (is_first)
		node->view.lost = revision;
	node->is_listed = true;
	node->applied = revision;
	node->watch_at = now;
	doubt_name(node);
	fleet_view_forgive(&node->view, now);
	hear(node, now);
	tell_soon(node);
}

void fleet_node_watch_created(struct fleet_node *node, int64_t revision, uint64_t cluster)
{
	/* A watch from a revision that is to come waits without a word. At a member that lags that is right; a list tells which it is. */
	check_cluster(node, cluster);
	if (revision < node->applied)
		begin_list(node);
}

void fleet_node_watch_event(struct fleet_node *node, const struct fleet_kv *kv, uint64_t now)
{
	if (!node->is_listed || kv->revision <= node->applied)
		return;
	bool is_own = strcmp(kv->key, node->key) == 0;
	bool is_ours = is_own && !kv->is_deleted && kv->lease == node->lease && node->lease != 0;
	settle(node);
	/* Whoever did not hear itself judges nobody. */
	if (is_ours && !is_hearing_itself(node, now))
		fleet_view_forgive(&node->view, now);
	if (fleet_view_apply(&node->view, kv, now) != FLEET_VIEW_OK) {
		begin_list(node);
		return;
	}
	if (is_own && !kv->is_deleted && !is_ours && kv->lease != node->lease)
		node->is_shared |= strcmp(node->view.nodes[FLEET_ME].heartbeat.boot, node->self.boot) != 0;
	if (is_own && !is_ours && node->is_heard)
		evict(node);
}

void fleet_node_watch_progress(struct fleet_node *node, int64_t revision, uint64_t now)
{
	if (!node->is_listed || revision <= node->applied)
		return;
	node->applied = revision;
	hear(node, now);
}

static uint64_t back_off(struct fleet_node *node)
{
	uint64_t most = fleet_rule_heartbeat(&node->rule);
	uint64_t delay = node->failures < 6 ? (uint64_t)BACKOFF_MS << node->failures : most;
	if (delay > most)
		delay = most;
	node->failures++;
	node->random = fleet_hash_mix(node->random + 0x9e3779b97f4a7c15U);
	return delay / 2 + node->random % (delay / 2 + 1);
}

static void try_later(struct fleet_node *node, uint64_t now)
{
	node->try_at = now + back_off(node);
}

void fleet_node_watch_ended(struct fleet_node *node, bool is_compacted, uint64_t now)
{
	node->is_watching = false;
	node->watch_at = now + back_off(node);
	if (is_compacted)
		begin_list(node);
}

/* ---- Requests ---- */

/* `request` is under way with `txn`, if it has one. */
static bool begin(struct fleet_node *node, struct fleet_request *request, enum fleet_request_kind kind)
{
	*request = (struct fleet_request){ .kind = kind, .lease = node->lease };
	node->is_under_way[kind] = true;
	node->sent_applied[kind] = node->applied;
	node->sent_lease[kind] = node->lease;
	return true;
}

static bool write_self(struct fleet_node *node, uint64_t wall, uint64_t now, char text[FLEET_VALUE_TEXT])
{
	struct fleet_heartbeat heartbeat = node->self;
	heartbeat.t = now;
	/* What peers were told, which may be later than our clock. */
	heartbeat.wall = wall > node->ts_floor ? wall : node->ts_floor;
	heartbeat.applied = carried_out(node, now);
	heartbeat.drain |= node->is_leaving;
	heartbeat.bye = node->is_leave_silent;
	node->is_bye_sent = heartbeat.bye;
	return fleet_heartbeat_write(&heartbeat, text) == FLEET_RECORD_OK;
}

/* Puts our key, if it is as it must be: that of our lease, or to join, the one that was found. */
static bool send_self(struct fleet_node *node, struct fleet_request *request, enum fleet_request_kind kind, uint64_t wall, uint64_t now)
{
	char text[FLEET_VALUE_TEXT];
	bool is_join = kind == FLEET_JOIN;
	if (!write_self(node, wall, now, text)) {
		try_later(node, now);
		return false;
	}
	fleet_txn_clear(&node->txn);
	fleet_txn_compare(&node->txn, node->key, is_join ? FLEET_MOD_REVISION : FLEET_LEASE, is_join ? node->join_revision : node->lease);
	fleet_txn_put(&node->txn, node->key, text, node->lease);
	node->txn.read = is_join ? node->txn.compares[0].key : NULL;
	if (!is_join) {
		node->heartbeat_at = now + fleet_rule_heartbeat(&node->rule);
		node->heartbeat_sent_at = now;
	}
	begin(node, request, kind);
	request->txn = &node->txn;
	return true;
}

static bool send_grant(struct fleet_node *node, struct fleet_request *request)
{
	begin(node, request, FLEET_GRANT);
	request->ttl = fleet_rule_lease(&node->rule) / 1000;
	return true;
}

static bool send_list(struct fleet_node *node, struct fleet_request *request, uint64_t now)
{
	if (!fleet_view_init(&node->list, node->view.nodes[FLEET_ME].name, now)) {
		try_later(node, now);
		return false;
	}
	node->is_listing = true;
	return begin(node, request, FLEET_LIST);
}

static bool send_watch(struct fleet_node *node, struct fleet_request *request, uint64_t now)
{
	*request = (struct fleet_request){ .kind = FLEET_WATCH, .revision = node->applied + 1, .is_elsewhere = node->is_elsewhere };
	node->is_watching = true;
	node->is_elsewhere = false;
	node->watched_at = now;
	return true;
}

/* An acknowledged heartbeat that does not come back: the member answers, and its stream stands still. */
static void check_watch(struct fleet_node *node, uint64_t now)
{
	if (!node->is_watching || node->acknowledged <= node->applied || now < node->watched_at + WATCH_SILENT_MS)
		return;
	node->is_watching = false;
	node->is_elsewhere = true;
	node->watch_at = now;
}

static bool is_mute(const struct fleet_node *node, uint64_t now)
{
	return !is_hearing_itself(node, now) && (node->acknowledged > node->applied || node->answered_at <= node->heartbeat_sent_at);
}

static bool next_when_joined(struct fleet_node *node, struct fleet_request *request, uint64_t wall, uint64_t now)
{
	const bool *is_under_way = node->is_under_way;
	bool mute = is_mute(node, now), is_due = now >= node->heartbeat_at;
	if (!mute && is_due && !is_under_way[FLEET_HEARTBEAT])
		return send_self(node, request, FLEET_HEARTBEAT, wall, now);
	/* A mute node asks when it would tell. */
	if (!is_under_way[FLEET_KEEPALIVE] && (now >= node->keepalive_at || (mute && is_due)))
		return begin(node, request, FLEET_KEEPALIVE);
	if (!node->is_listed)
		return !is_under_way[FLEET_LIST] && send_list(node, request, now);
	check_watch(node, now);
	return !node->is_watching && now >= node->watch_at && send_watch(node, request, now);
}

bool fleet_node_next(struct fleet_node *node, struct fleet_request *request, uint64_t wall, uint64_t now)
{
	if (node->hold_until != 0 && now >= node->hold_until) {
		node->hold_until = 0;
		tell_soon(node);
	}
	node->wall = wall;
	count_heartbeat(node, now);
	if (node->is_leave_silent && (!node->is_joined || node->is_astray))
		node->has_left = true;
	if (node->is_astray || node->has_left || now < node->try_at)
		return false;
	if (node->is_joined)
		return next_when_joined(node, request, wall, now);
	if (node->is_under_way[FLEET_GRANT] || node->is_under_way[FLEET_JOIN])
		return false;
	return node->lease == 0 ? send_grant(node, request) : send_self(node, request, FLEET_JOIN, wall, now);
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void sooner(uint64_t *wake, uint64_t at)
{
	if (at < *wake)
		*wake = at;
}

static uint64_t wake_when_joined(const struct fleet_node *node, uint64_t now)
{
	uint64_t wake = FLEET_NEVER;
	if (!node->is_under_way[is_mute(node, now) ? FLEET_KEEPALIVE : FLEET_HEARTBEAT])
		sooner(&wake, node->heartbeat_at);
	if (!node->is_under_way[FLEET_KEEPALIVE])
		sooner(&wake, node->keepalive_at);
	if (!node->is_listed && !node->is_under_way[FLEET_LIST])
		sooner(&wake, 0);
	if (node->is_listed && !node->is_watching)
		sooner(&wake, node->watch_at);
	if (node->is_watching && node->acknowledged > node->applied)
		sooner(&wake, node->watched_at + WATCH_SILENT_MS);
	return wake;
}

uint64_t fleet_node_wake(const struct fleet_node *node, uint64_t now)
{
	uint64_t wake = FLEET_NEVER;
	if (node->is_astray || node->has_left)
		return FLEET_NEVER;
	if (node->is_joined)
		wake = wake_when_joined(node, now);
	else if (!node->is_under_way[FLEET_GRANT] && !node->is_under_way[FLEET_JOIN])
		wake = 0;
	if (wake != FLEET_NEVER)
		wake = later(wake, node->try_at);
	if (node->hold_until != 0)
		sooner(&wake, node->hold_until);
	return later(wake, now);
}

/* ---- Replies ---- */

static void joined(struct fleet_node *node, uint64_t now)
{
	node->is_joined = node->has_joined = true;
	if (node->join_revision != 0)
		node->is_shared = false;
	node->heartbeat_at = now + fleet_rule_heartbeat(&node->rule);
	node->keepalive_at = now + node->rule.ttl;
	node->failures = 0;
}

/* Somebody has our name: a life of ours before, or one that must be silent before its name can be taken. */
static void find_name_taken(struct fleet_node *node, const struct fleet_kv *found, uint64_t now)
{
	struct fleet_heartbeat theirs;
	if (fleet_heartbeat_read(&theirs, found->value, found->length) == FLEET_RECORD_NO_MEMORY) {
		try_later(node, now);
		return;
	}
	raise_floor(node, theirs.wall + fleet_rule_silence(&node->rule));
	bool is_over = theirs.bye || strcmp(theirs.boot, node->self.boot) == 0;
	fleet_heartbeat_clear(&theirs);
	if (found->revision != node->taken_revision) {
		node->taken_revision = found->revision;
		node->taken_since = now;
	}
	if (is_over || now >= node->taken_since + fleet_rule_silence(&node->rule))
		node->join_revision = found->revision;
	else
		node->try_at = now + TAKEN_MS;
}

static void take_refused_join(struct fleet_node *node, const struct fleet_kv *found, uint64_t now)
{
	if (found->key == NULL)
		node->join_revision = 0;
	else if (found->lease == node->lease)
		joined(node, now); /* a join that seemed to fail had been done */
	else
		find_name_taken(node, found, now);
}

static void take_join(struct fleet_node *node, const struct fleet_reply *reply, uint64_t now)
{
	switch (reply->result) {
	case FLEET_DONE: joined(node, now); break;
	case FLEET_REFUSED: take_refused_join(node, &reply->found, now); break;
	case FLEET_NO_LEASE:
		node->lease = 0;
		try_later(node, now);
		break;
	case FLEET_UNKNOWN: try_later(node, now); break;
	}
}

static void take_heartbeat(struct fleet_node *node, const struct fleet_reply *reply, uint64_t now)
{
	if (node->sent_lease[FLEET_HEARTBEAT] != node->lease)
		return;
	switch (reply->result) {
	case FLEET_DONE:
		/* Only the watch makes it count. */
		node->failures = 0;
		if (node->acknowledged <= node->applied) {
			node->acknowledged = reply->revision;
			node->watched_at = now;
		}
		node->has_left = node->is_leave_silent && node->is_bye_sent;
		break;
	case FLEET_REFUSED:
	case FLEET_NO_LEASE: evict(node); break;
	case FLEET_UNKNOWN:
		try_later(node, now);
		node->heartbeat_at = 0;
		break;
	}
}

static void take_list(struct fleet_node *node, const struct fleet_reply *reply, uint64_t now)
{
	if (reply->result == FLEET_DONE && node->is_listing)
		end_list(node, reply->revision, now);
	fleet_view_clear(&node->list);
	node->is_listing = false;
	if (!node->is_listed)
		try_later(node, now);
}

static void take_grant(struct fleet_node *node, const struct fleet_reply *reply, uint64_t now)
{
	if (reply->result == FLEET_DONE)
		node->lease = reply->lease;
	else
		try_later(node, now);
}

static void take_keepalive(struct fleet_node *node, const struct fleet_reply *reply, uint64_t now)
{
	if (reply->lease != node->lease)
		return;
	node->keepalive_at = now + node->rule.ttl;
	if (is_mute(node, now))
		node->heartbeat_at = now + fleet_rule_heartbeat(&node->rule);
	if (reply->result == FLEET_NO_LEASE)
		evict(node);
	else if (reply->result == FLEET_UNKNOWN) {
		node->keepalive_at = 0;
		try_later(node, now);
	}
}

/* Answers of these kinds tell a revision that no earlier one can exceed. */
static bool is_linearizable(enum fleet_request_kind kind)
{
	return kind == FLEET_JOIN || kind == FLEET_HEARTBEAT || kind == FLEET_LIST;
}

void fleet_node_reply(struct fleet_node *node, const struct fleet_reply *reply, uint64_t now)
{
	assert(node->is_under_way[reply->kind]);
	node->is_under_way[reply->kind] = false;
	check_cluster(node, reply->cluster);
	if (reply->result != FLEET_UNKNOWN)
		node->answered_at = now;
	if (is_linearizable(reply->kind) && reply->revision != 0 && reply->revision < node->sent_applied[reply->kind])
		node->is_astray = true;
	if (node->is_astray)
		return;
	switch (reply->kind) {
	case FLEET_GRANT: take_grant(node, reply, now); break;
	case FLEET_JOIN: take_join(node, reply, now); break;
	case FLEET_HEARTBEAT: take_heartbeat(node, reply, now); break;
	case FLEET_KEEPALIVE: take_keepalive(node, reply, now); break;
	case FLEET_LIST: take_list(node, reply, now); break;
	case FLEET_WATCH:
	case FLEET_LEAD:
	case FLEET_PLACE:
	case FLEET_REQUEST_KINDS: assert(false); break;
	}
}

/* ---- Asked for, and the workers ---- */

void fleet_node_drain(struct fleet_node *node, bool is_draining)
{
	node->self.drain = is_draining;
	tell_soon(node);
}

void fleet_node_leave(struct fleet_node *node)
{
	node->is_leaving = true;
	node->valid_until = 0;
	fleet_view_touch_own(&node->view);
	tell_soon(node);
}

void fleet_node_say_bye(struct fleet_node *node)
{
	assert(node->is_leaving);
	if (!node->is_leave_silent)
		tell_soon(node);
	node->is_leave_silent = true;
}

uint64_t fleet_node_deadline(const struct fleet_node *node)
{
	return node->valid_until;
}

bool fleet_node_next_change(struct fleet_node *node, struct fleet_change *change)
{
	const struct fleet_view_shard *shard = fleet_view_take(&node->view);
	if (shard == NULL)
		return false;
	bool is_ours = shard->owner == FLEET_ME && !node->is_leaving;
	*change = (struct fleet_change){
		.class = node->view.classes[shard->class].text,
		.shard = shard->number,
		.epoch = is_ours ? shard->epoch : 0,
		.ts_floor = shard->ts_floor > node->ts_floor ? shard->ts_floor : node->ts_floor,
		.changed = shard->changed,
	};
	return true;
}

int64_t fleet_node_applied(const struct fleet_node *node)
{
	return node->applied;
}

/* The placer waits for what was lost, and whoever waits for a drained node waits for what was gained. */
static void confirm(struct fleet_node *node, int64_t *confirmed, int64_t newest, int64_t revision)
{
	assert(revision <= node->applied);
	bool was_open = newest > *confirmed;
	if (revision > *confirmed)
		*confirmed = revision;
	if (was_open && newest <= *confirmed)
		tell_soon(node);
}

void fleet_node_silent(struct fleet_node *node, int64_t revision)
{
	confirm(node, &node->silent, node->view.lost, revision);
}

void fleet_node_running(struct fleet_node *node, int64_t revision)
{
	confirm(node, &node->running, node->view.gained, revision);
}

void fleet_node_settled(struct fleet_node *node, int64_t revision)
{
	node->self.settled = revision;
}

void fleet_node_told(struct fleet_node *node, uint64_t at)
{
	node->self.told = at;
}

/* ---- What is ---- */

enum fleet_node_state fleet_node_state(const struct fleet_node *node, uint64_t now)
{
	if (node->has_left)
		return FLEET_NODE_LEFT;
	if (node->is_leaving)
		return FLEET_NODE_LEAVING;
	if (node->is_astray)
		return FLEET_NODE_ASTRAY;
	if (!node->is_joined)
		return node->has_joined ? FLEET_NODE_EVICTED : FLEET_NODE_STARTING;
	if (now < node->valid_until)
		return FLEET_NODE_VALID;
	return node->was_valid ? FLEET_NODE_LAPSED : FLEET_NODE_JOINED;
}

const struct fleet_view *fleet_node_view(const struct fleet_node *node)
{
	return &node->view;
}

int64_t fleet_node_lease(const struct fleet_node *node)
{
	return node->lease;
}

bool fleet_node_may_place(const struct fleet_node *node, uint64_t now)
{
	return fleet_node_state(node, now) == FLEET_NODE_VALID && node->is_listed && is_hearing_itself(node, now);
}
