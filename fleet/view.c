#include "fleet/view.h"

#include <stdlib.h>
#include <string.h>

#include "service/spec/labels.h"

/* ---- Nodes ---- */

static int find_node(const struct fleet_view *view, const char *name)
{
	for (size_t i = 0; i < view->node_count; i++)
		if (strcmp(view->nodes[i].name, name) == 0)
			return (int)i;
	return FLEET_NOBODY;
}

static void mark_named(const struct fleet_view *view, bool named[FLEET_NODES_MAX])
{
	for (size_t i = 0; i < view->shard_count; i++) {
		if (view->shards[i].owner != FLEET_NOBODY)
			named[view->shards[i].owner] = true;
		if (view->shards[i].from != FLEET_NOBODY)
			named[view->shards[i].from] = true;
	}
	if (view->leader != FLEET_NOBODY)
		named[view->leader] = true;
}

/* An entry for a new name: a fresh one, or that of a node that has no key and that no record names. */
static int find_free_node(struct fleet_view *view)
{
	bool named[FLEET_NODES_MAX] = { [FLEET_ME] = true };
	if (view->node_count < FLEET_NODES_MAX)
		return (int)view->node_count++;
	mark_named(view, named);
	for (int i = 0; i < FLEET_NODES_MAX; i++)
		if (view->nodes[i].revision == 0 && !named[i]) {
			fleet_heartbeat_clear(&view->nodes[i].heartbeat);
			return i;
		}
	view->beyond++;
	return FLEET_NOBODY;
}

/* FLEET_NOBODY for "", or when there are too many. */
static int intern_node(struct fleet_view *view, const char *name, uint64_t now)
{
	int node = *name == '\0' ? FLEET_NOBODY : find_node(view, name);
	if (*name == '\0' || node != FLEET_NOBODY)
		return node;
	node = find_free_node(view);
	if (node == FLEET_NOBODY)
		return node;
	view->nodes[node] = (struct fleet_view_node){ .hash = fleet_hash(name), .heard_at = now };
	memcpy(view->nodes[node].name, name, strlen(name) + 1);
	view->generation++;
	return node;
}

static int apply_node(struct fleet_view *view, const struct fleet_kv *kv, const char *name, uint64_t now)
{
	struct fleet_heartbeat heartbeat;
	int node = intern_node(view, name, now);
	if (node == FLEET_NOBODY)
		return FLEET_VIEW_OK;
	struct fleet_view_node *entry = &view->nodes[node];
	if (kv->revision < entry->revision)
		return FLEET_VIEW_OK;
	if (kv->is_deleted) {
		entry->revision = 0;
		view->generation++;
		return FLEET_VIEW_OK;
	}
	int error = fleet_heartbeat_read(&heartbeat, kv->value, kv->length);
	if (error == FLEET_RECORD_NO_MEMORY)
		return FLEET_VIEW_NO_MEMORY;
	struct fleet_heartbeat *old = &entry->heartbeat;
	if (error == FLEET_RECORD_OK) {
		if (entry->revision == 0 || old->drain != heartbeat.drain || old->bye != heartbeat.bye || old->capacity != heartbeat.capacity ||
		    !labels_equal(old->labels, old->label_count, heartbeat.labels, heartbeat.label_count))
			view->generation++;
		fleet_heartbeat_clear(old);
		*old = heartbeat;
		entry->heard_at = now;
		if (heartbeat.wall > entry->wall)
			entry->wall = heartbeat.wall;
	}
	entry->revision = kv->revision;
	entry->lease = kv->lease;
	return FLEET_VIEW_OK;
}

/* ---- Classes and shards ---- */

static void touch(struct fleet_view *view, uint32_t index)
{
	if (view->shards[index].is_touched)
		return;
	view->shards[index].is_touched = true;
	view->touched[(view->touched_first + view->touched_count++) % FLEET_SHARDS_MAX] = index;
}

/* The class, or an error; `index` is where it is, or FLEET_CLASSES_MAX: it is none of ours. */
static int intern_class(struct fleet_view *view, const char *text, uint32_t *index)
{
	struct fleet_view_class *class;
	for (*index = 0; *index < view->class_count; ++*index)
		if (strcmp(view->classes[*index].text, text) == 0)
			return FLEET_VIEW_OK;
	if (*index == FLEET_CLASSES_MAX) {
		view->beyond++;
		return FLEET_VIEW_OK;
	}
	class = &view->classes[*index];
	int error = fleet_class_read(&class->class, text);
	if (error == FLEET_CLASS_INVALID) {
		*index = FLEET_CLASSES_MAX;
		return FLEET_VIEW_OK;
	}
	if (error == FLEET_CLASS_OK)
		class->places = calloc(fleet_class_shard_count(&class->class), sizeof(*class->places));
	if (class->places == NULL) {
		fleet_class_clear(&class->class);
		return FLEET_VIEW_NO_MEMORY;
	}
	memcpy(class->text, text, strlen(text) + 1);
	view->class_count++;
	return FLEET_VIEW_OK;
}

/* `shard` is NULL when it is none of ours. */
static int intern_shard(struct fleet_view *view, const char *text, uint32_t number, struct fleet_view_shard **shard)
{
	uint32_t index;
	int error = intern_class(view, text, &index);
	*shard = NULL;
	if (error != FLEET_VIEW_OK || index == FLEET_CLASSES_MAX)
		return error;
	struct fleet_view_class *class = &view->classes[index];
	if (number >= fleet_class_shard_count(&class->class))
		return FLEET_VIEW_OK;
	if (class->places[number] == 0 && view->shard_count == FLEET_SHARDS_MAX) {
		view->beyond++;
		return FLEET_VIEW_OK;
	}
	if (class->places[number] == 0) {
		view->shards[view->shard_count] =
		    (struct fleet_view_shard){ .class = index, .number = number, .owner = FLEET_NOBODY, .from = FLEET_NOBODY };
		class->places[number] = (uint32_t)++view->shard_count;
	}
	*shard = &view->shards[class->places[number] - 1];
	return FLEET_VIEW_OK;
}

/* A record that cannot be read names nobody: nobody serves the shard until the placer gives it away again. */
static int apply_owner(struct fleet_view *view, const struct fleet_kv *kv, struct fleet_view_shard *shard, uint64_t now)
{
	if (kv->revision < shard->epoch)
		return FLEET_VIEW_OK;
	struct fleet_owner owner = { .ts_floor = 0 };
	if (!kv->is_deleted && fleet_owner_read(&owner, kv->value, kv->length) == FLEET_RECORD_NO_MEMORY)
		return FLEET_VIEW_NO_MEMORY;
	bool was_mine = shard->owner == FLEET_ME;
	shard->owner = intern_node(view, owner.node, now);
	if (shard->owner == FLEET_ME && kv->revision > view->gained)
		view->gained = kv->revision;
	if (was_mine && shard->owner != FLEET_ME)
		view->lost = kv->revision;
	shard->from = intern_node(view, owner.from, now);
	shard->is_beyond = (shard->owner == FLEET_NOBODY && *owner.node != '\0') || (shard->from == FLEET_NOBODY && *owner.from != '\0');
	shard->ts_floor = owner.ts_floor;
	shard->epoch = kv->is_deleted ? 0 : kv->revision;
	shard->received_at = now;
	return FLEET_VIEW_OK;
}

static int apply_count(const struct fleet_kv *kv, struct fleet_view_shard *shard)
{
	uint32_t count = 0;
	if (!kv->is_deleted && fleet_count_read(&count, kv->value, kv->length) == FLEET_RECORD_NO_MEMORY)
		return FLEET_VIEW_NO_MEMORY;
	shard->count = count;
	shard->changed = kv->is_deleted ? 0 : kv->revision;
	return FLEET_VIEW_OK;
}

static int apply_shard(struct fleet_view *view, const struct fleet_kv *kv, const struct fleet_key *key, uint64_t now)
{
	struct fleet_view_shard *shard;
	int error = intern_shard(view, key->class, key->shard, &shard);
	if (error != FLEET_VIEW_OK || shard == NULL)
		return error;
	error = key->kind == FLEET_KEY_SHARD ? apply_owner(view, kv, shard, now) : apply_count(kv, shard);
	if (error != FLEET_VIEW_OK)
		return error;
	touch(view, (uint32_t)(shard - view->shards));
	view->generation++;
	return FLEET_VIEW_OK;
}

static int apply_leader(struct fleet_view *view, const struct fleet_kv *kv, uint64_t now)
{
	char name[FLEET_NAME] = "";
	if (kv->revision < view->leader_revision)
		return FLEET_VIEW_OK;
	if (!kv->is_deleted && fleet_leader_read(name, kv->value, kv->length) == FLEET_RECORD_NO_MEMORY)
		return FLEET_VIEW_NO_MEMORY;
	view->leader = intern_node(view, name, now);
	view->leader_revision = kv->is_deleted ? 0 : kv->revision;
	view->generation++;
	return FLEET_VIEW_OK;
}

/* A deleted one counts, too: whatever it was, tokens are read again. */
static void apply_tokens(struct fleet_view *view, const struct fleet_kv *kv)
{
	if (kv->revision > view->tokens)
		view->tokens = kv->revision;
}

/* ---- The whole ---- */

bool fleet_view_init(struct fleet_view *view, const char *name, uint64_t now)
{
	*view = (struct fleet_view){ .leader = FLEET_NOBODY };
	view->nodes = calloc(FLEET_NODES_MAX, sizeof(*view->nodes));
	view->classes = calloc(FLEET_CLASSES_MAX, sizeof(*view->classes));
	view->shards = calloc(FLEET_SHARDS_MAX, sizeof(*view->shards));
	view->touched = calloc(FLEET_SHARDS_MAX, sizeof(*view->touched));
	if (view->nodes == NULL || view->classes == NULL || view->shards == NULL || view->touched == NULL) {
		fleet_view_clear(view);
		return false;
	}
	intern_node(view, name, now);
	return true;
}

void fleet_view_clear(struct fleet_view *view)
{
	for (size_t i = 0; i < view->node_count; i++)
		fleet_heartbeat_clear(&view->nodes[i].heartbeat);
	for (size_t i = 0; i < view->class_count; i++) {
		fleet_class_clear(&view->classes[i].class);
		free(view->classes[i].places);
	}
	free(view->nodes);
	free(view->classes);
	free(view->shards);
	free(view->touched);
	*view = (struct fleet_view){ .leader = FLEET_NOBODY };
}

int fleet_view_apply(struct fleet_view *view, const struct fleet_kv *kv, uint64_t now)
{
	struct fleet_key key;
	fleet_key_read(&key, kv->key);
	switch (key.kind) {
	case FLEET_KEY_LEADER: return apply_leader(view, kv, now);
	case FLEET_KEY_NODE: return apply_node(view, kv, key.name, now);
	case FLEET_KEY_SHARD:
	case FLEET_KEY_CHANGED: return apply_shard(view, kv, &key, now);
	case FLEET_KEY_TOKENS: apply_tokens(view, kv); break;
	case FLEET_KEY_STATUS:
	case FLEET_KEY_OBJECT:
	case FLEET_KEY_ID:
	case FLEET_KEY_TOKEN:
	case FLEET_KEY_OTHER: break;
	}
	return FLEET_VIEW_OK;
}

/* Shards of `view` get an entry in `list`, too, so that their end is told. Epochs only grow: a lower one is another etcd's. */
static int carry_shards(const struct fleet_view *view, struct fleet_view *list, int64_t revision, uint64_t now)
{
	for (size_t i = 0; i < view->shard_count; i++) {
		const struct fleet_view_shard *old = &view->shards[i];
		struct fleet_view_shard *new;
		if (intern_shard(list, view->classes[old->class].text, old->number, &new) != FLEET_VIEW_OK)
			return FLEET_VIEW_NO_MEMORY;
		if (new != NULL &&new->epoch != 0 && new->epoch < old->epoch)
			return FLEET_VIEW_WENT_BACK;
		if (new != NULL)
			touch(list, (uint32_t)(new - list->shards));
		/* Its record was deleted, and who had it may not know yet. */
		if (new != NULL &&new->epoch == 0 && old->received_at != 0)
			new->received_at = now;
		if (old->owner == FLEET_ME && (new == NULL || new->owner != FLEET_ME))
			list->lost = revision;
	}
	return FLEET_VIEW_OK;
}

/* What a node has said counts when its key has vanished, and its time of day for ever. */
static void carry_heartbeats(struct fleet_view *view, struct fleet_view *list)
{
	for (size_t i = 0; i < view->node_count; i++) {
		int node = find_node(list, view->nodes[i].name);
		if (node == FLEET_NOBODY)
			continue;
		if (list->nodes[node].wall < view->nodes[i].wall)
			list->nodes[node].wall = view->nodes[i].wall;
		if (list->nodes[node].revision != 0)
			continue;
		list->nodes[node].heartbeat = view->nodes[i].heartbeat;
		view->nodes[i].heartbeat = (struct fleet_heartbeat){ .t = 0 };
	}
}

int fleet_view_replace(struct fleet_view *view, struct fleet_view *list, int64_t revision, uint64_t now)
{
	list->lost = view->lost;
	int error = carry_shards(view, list, revision, now);
	if (error != FLEET_VIEW_OK)
		return error;
	carry_heartbeats(view, list);
	list->generation += view->generation + 1;
	list->beyond += view->beyond;
	fleet_view_clear(view);
	*view = *list;
	*list = (struct fleet_view){ .leader = FLEET_NOBODY };
	return FLEET_VIEW_OK;
}

const struct fleet_view_shard *fleet_view_find(const struct fleet_view *view, const char *class, uint32_t number)
{
	for (size_t i = 0; i < view->class_count; i++) {
		const struct fleet_view_class *known = &view->classes[i];
		if (strcmp(known->text, class) != 0)
			continue;
		uint32_t place = number < fleet_class_shard_count(&known->class) ? known->places[number] : 0;
		return place == 0 ? NULL : &view->shards[place - 1];
	}
	return NULL;
}

const struct fleet_view_shard *fleet_view_take(struct fleet_view *view)
{
	if (view->touched_count == 0)
		return NULL;
	struct fleet_view_shard *shard = &view->shards[view->touched[view->touched_first]];
	view->touched_first = (view->touched_first + 1) % FLEET_SHARDS_MAX;
	view->touched_count--;
	shard->is_touched = false;
	return shard;
}

void fleet_view_touch_own(struct fleet_view *view)
{
	for (size_t i = 0; i < view->shard_count; i++)
		if (view->shards[i].owner == FLEET_ME)
			touch(view, (uint32_t)i);
}

static bool node_has_let_go(const struct fleet_view *view, int node, int64_t revision, const struct fleet_rule *rule, uint64_t now)
{
	if (node == FLEET_NOBODY || node == FLEET_ME)
		return true;
	const struct fleet_view_node *known = &view->nodes[node];
	return known->heartbeat.settled >= revision || known->heartbeat.bye || now >= known->heard_at + fleet_rule_silence(rule);
}

bool fleet_view_has_let_go(const struct fleet_view *view, const struct fleet_view_shard *shard, int64_t revision, const struct fleet_rule *rule,
                           uint64_t now)
{
	return node_has_let_go(view, shard->owner, revision, rule, now) && node_has_let_go(view, shard->from, revision, rule, now);
}

/* What a node has told last of its time of day, and for as long as it may have sent since. */
uint64_t fleet_view_floor(const struct fleet_view *view, const struct fleet_view_shard *shard, const struct fleet_rule *rule)
{
	const int nodes[] = { shard->owner, shard->from };
	uint64_t floor = shard->ts_floor;
	for (size_t i = 0; i < 2; i++)
		if (nodes[i] != FLEET_NOBODY && view->nodes[nodes[i]].wall + fleet_rule_silence(rule) > floor)
			floor = view->nodes[nodes[i]].wall + fleet_rule_silence(rule);
	return floor < FLEET_TIME_MAX ? floor : FLEET_TIME_MAX;
}

/* It was true at `told`, and the heartbeat that says so was sent at `t`, both by its clock, and received after that. */
uint64_t fleet_view_age(const struct fleet_view *view, int node, uint64_t now)
{
	const struct fleet_view_node *known = &view->nodes[node];
	const struct fleet_heartbeat *heartbeat = &known->heartbeat;
	if (heartbeat->told == 0 || heartbeat->told > heartbeat->t || now < known->heard_at)
		return UINT64_MAX;
	return now - known->heard_at + (heartbeat->t - heartbeat->told);
}

void fleet_view_forgive(struct fleet_view *view, uint64_t now)
{
	for (size_t i = 0; i < view->node_count; i++)
		view->nodes[i].heard_at = now;
}

bool fleet_view_names_me(const struct fleet_view *view)
{
	for (size_t i = 0; i < view->shard_count; i++)
		if (view->shards[i].owner == FLEET_ME || view->shards[i].from == FLEET_ME)
			return true;
	return false;
}
