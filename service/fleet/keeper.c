#include "service/fleet/keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/runner.h"
#include "ipc/log.h"
#include "service/fleet/kept_shard.h"
#include "service/fleet/object_record.h"
#include "service/registry/registry.h"

#define LISTS 4096u       /* of shards, by a hash */
#define READS_MOST 8      /* at once, so that writes have their turn */
#define UNDER_WAY_MOST 64 /* mutations */
#define STEPS_OF_A_TURN 64
#define SWEEP_AGAIN_MS 500

/* What is of the fleet and in no shard of ours is ended, and only then a shard is read that may be ours again. */
struct sweep {
	bool is_due, is_running;
	uint64_t not_before; /* uv_now, after one that failed */
	int64_t revision;    /* of the changes that it carries out */
	char (*keys)[OBJECT_KEY_SIZE];
	size_t count, cursor, under_way;
	bool has_failed;
};

struct keeper {
	struct keeper_means means;
	struct kept_means kept;
	uv_timer_t turn;
	struct kept_shard *shards[LISTS];
	struct sweep sweep;
	int64_t applied, silent, running, settled; /* the last three: as they are told */
	bool lacks_shard;                          /* memory was missing for one, which is not served */
	bool is_stopped, is_closing, is_closed;
};

/* ---- Shards ---- */

static size_t list_of(const char *class, uint32_t number)
{
	return (fleet_hash(class) + number) % LISTS;
}

/* Ours; NULL: it is not. */
static struct kept_shard *find(const struct keeper *keeper, const char *class, uint32_t number)
{
	struct kept_shard *shard = keeper->shards[list_of(class, number)];
	while (shard != NULL && (shard->is_lost || shard->number != number || strcmp(shard->class, class) != 0))
		shard = shard->next;
	return shard;
}

bool keeper_has_applied(const struct keeper *keeper, const char *class, uint32_t number, int64_t revision)
{
	const struct kept_shard *shard = find(keeper, class, number);
	return shard != NULL && shard->applied >= revision;
}

static void wake(struct keeper *keeper);

static struct kept_shard *gain(struct keeper *keeper, const struct fleet_change *change)
{
	struct kept_shard **list = &keeper->shards[list_of(change->class, change->shard)];
	struct kept_shard *shard = kept_shard_create(&keeper->kept, change->class, change->shard);
	if (shard == NULL)
		return NULL;
	shard->next = *list;
	*list = shard;
	return shard;
}

/* What is known of all shards, gathered in one walk. Lost ones with nothing under way go. */
struct survey {
	size_t reading, under_way, lost_under_way;
	bool all_served, all_settled;
};

static struct survey survey(struct keeper *keeper)
{
	struct survey found = { .all_served = !keeper->lacks_shard, .all_settled = true };
	for (size_t i = 0; i < LISTS; i++) {
		for (struct kept_shard **at = &keeper->shards[i]; *at != NULL;) {
			struct kept_shard *shard = *at;
			found.reading += shard->job != NULL;
			found.under_way += shard->under_way;
			found.lost_under_way += shard->is_lost ? shard->under_way : 0;
			found.all_served &= shard->is_lost || shard->is_served;
			found.all_settled &= shard->is_lost ? shard->under_way == 0 : !shard->is_behind;
			if (!shard->is_lost || kept_shard_is_busy(shard)) {
				at = &shard->next;
				continue;
			}
			*at = shard->next;
			kept_shard_free(shard);
		}
	}
	return found;
}

struct keeper_fault *keeper_faults(const struct keeper *keeper, size_t *count)
{
	size_t most = 0;
	for (size_t i = 0; i < LISTS; i++)
		for (const struct kept_shard *shard = keeper->shards[i]; shard != NULL; shard = shard->next)
			most += shard->is_lost ? 0 : shard->fault_count;
	struct keeper_fault *faults = calloc(most + 1, sizeof(*faults));
	*count = 0;
	for (size_t i = 0; faults != NULL && i < LISTS; i++)
		for (const struct kept_shard *shard = keeper->shards[i]; shard != NULL; shard = shard->next)
			for (size_t k = 0; !shard->is_lost && k < shard->fault_count; k++)
				faults[(*count)++] =
				    (struct keeper_fault){ shard->class, shard->number, shard->faults[k].key, shard->faults[k].detail };
	return faults;
}

/* ---- Sweeping ---- */

static void clear_sweep(struct sweep *sweep)
{
	free(sweep->keys);
	sweep->keys = NULL;
	sweep->count = sweep->cursor = 0;
	sweep->is_running = sweep->has_failed = false;
}

static bool is_foreign(struct keeper *keeper, const struct snapshot *snapshot)
{
	struct fleet_key place;
	return snapshot->origin == SNAPSHOT_OF_FLEET && (!object_record_place(&place, snapshot->spec.kind, snapshot->id, snapshot->spec.placement) ||
	                                                 find(keeper, place.class, place.shard) == NULL);
}

static void begin_sweep(struct keeper *keeper)
{
	struct sweep *sweep = &keeper->sweep;
	size_t count = registry_count(keeper->means.registry);
	sweep->keys = calloc(count + 1, sizeof(*sweep->keys));
	if (sweep->keys == NULL) {
		sweep->not_before = uv_now(keeper->means.loop) + SWEEP_AGAIN_MS;
		return;
	}
	sweep->is_due = false;
	sweep->is_running = true;
	sweep->revision = keeper->applied;
	for (size_t i = 0; i < count; i++) {
		const struct entry *entry = registry_at(keeper->means.registry, i);
		if (is_foreign(keeper, entry->snapshot))
			memcpy(sweep->keys[sweep->count++], entry->key, OBJECT_KEY_SIZE);
	}
}

static void on_swept(struct mutation *mutation, void *owner)
{
	struct keeper *keeper = owner;
	enum problem_code code = mutation->operations[0].problem.code;
	if (code == PROBLEM_NONE)
		code = mutation->problem.code;
	if (code != PROBLEM_NONE && code != PROBLEM_NOT_FOUND) {
		log_line(LOG_ERROR, mutation->operations[0].id, "fleet: it is another node's now, but cannot be ended here: %s",
		         mutation->operations[0].problem.detail);
		keeper->sweep.has_failed = true;
	}
	keeper->sweep.under_way--;
	mutation_free(mutation);
	wake(keeper);
}

static void sweep_next(struct keeper *keeper)
{
	const char *key = keeper->sweep.keys[keeper->sweep.cursor++];
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	if (mutation == NULL) {
		keeper->sweep.has_failed = true;
		return;
	}
	operation_delete(&mutation->operations[0], object_key_kind(key), object_key_id(key));
	keeper->sweep.under_way++;
	kept_shard_submit(keeper->means.mutations, mutation, on_swept, keeper);
}

static void end_sweep(struct keeper *keeper)
{
	struct sweep *sweep = &keeper->sweep;
	if (sweep->has_failed) {
		sweep->is_due = true;
		sweep->not_before = uv_now(keeper->means.loop) + SWEEP_AGAIN_MS;
	} else {
		keeper->silent = sweep->revision;
	}
	clear_sweep(sweep);
}

/* A mutation of a shard that is lost could still make what is to end. */
static void step_sweep(struct keeper *keeper, const struct survey *now)
{
	struct sweep *sweep = &keeper->sweep;
	bool may_begin = sweep->is_due && !sweep->is_running && now->lost_under_way == 0 && uv_now(keeper->means.loop) >= sweep->not_before;
	if (may_begin)
		begin_sweep(keeper);
	while (sweep->is_running && sweep->cursor < sweep->count && sweep->under_way < UNDER_WAY_MOST)
		sweep_next(keeper);
	if (sweep->is_running && sweep->cursor == sweep->count && sweep->under_way == 0)
		end_sweep(keeper);
	if (!sweep->is_due && !sweep->is_running)
		keeper->silent = keeper->applied;
}

/* ---- Turns ---- */

/* Reads are begun, and mutations submitted. Returns after how many ms there is more to do; UINT64_MAX: when something has happened. */
static uint64_t step_shards(struct keeper *keeper, struct survey *now)
{
	uint64_t time = uv_now(keeper->means.loop), next = UINT64_MAX;
	unsigned steps = 0;
	for (size_t i = 0; i < LISTS; i++) {
		for (struct kept_shard *shard = keeper->shards[i]; shard != NULL; shard = shard->next) {
			bool is_due = shard->must_read || (shard->retry_at != 0 && shard->retry_at <= time);
			if (is_due && !shard->is_lost && !kept_shard_is_busy(shard) && now->reading < READS_MOST) {
				kept_shard_begin(shard);
				now->reading++;
			}
			while (now->under_way < UNDER_WAY_MOST && steps < STEPS_OF_A_TURN && kept_shard_step(shard)) {
				now->under_way++;
				steps++;
			}
			if (shard->retry_at > time && shard->retry_at - time < next)
				next = shard->retry_at - time;
		}
	}
	return steps > 0 ? 0 : next;
}

static void tell(struct keeper *keeper, int64_t silent, int64_t running)
{
	if (keeper->silent != silent)
		keeper->means.silent(keeper->means.owner, keeper->silent);
	if (keeper->running != running)
		keeper->means.running(keeper->means.owner, keeper->running);
}

static void release(struct keeper *keeper)
{
	struct survey left = survey(keeper);
	if (keeper->is_closed && left.under_way == 0 && keeper->sweep.under_way == 0)
		free(keeper);
}

static void on_turn(uv_timer_t *timer);

/* An earlier turn stays. Without effect on a keeper that is closing, whose timer is. */
static void schedule(struct keeper *keeper, uint64_t after)
{
	if (!uv_is_active((uv_handle_t *)&keeper->turn) || uv_timer_get_due_in(&keeper->turn) > after)
		uv_timer_start(&keeper->turn, on_turn, after, 0);
}

static void on_turn(uv_timer_t *timer)
{
	struct keeper *keeper = timer->data;
	int64_t silent = keeper->silent, running = keeper->running;
	struct survey now = survey(keeper);
	if (keeper->is_stopped || keeper->applied == 0)
		return;
	step_sweep(keeper, &now);
	bool is_swept = !keeper->sweep.is_due && !keeper->sweep.is_running;
	uint64_t next = is_swept ? step_shards(keeper, &now) : keeper->sweep.is_due ? SWEEP_AGAIN_MS : UINT64_MAX;
	struct survey after = survey(keeper);
	if (is_swept && after.all_served)
		keeper->running = keeper->applied;
	if (is_swept && after.all_settled && keeper->settled != keeper->applied) {
		keeper->settled = keeper->applied;
		keeper->means.settled(keeper->means.owner, keeper->settled);
	}
	if (next != UINT64_MAX)
		schedule(keeper, next);
	mutations_run(keeper->means.mutations);
	tell(keeper, silent, running);
}

static void wake(struct keeper *keeper)
{
	if (keeper->is_closing)
		release(keeper);
	else
		schedule(keeper, 0);
}

static void on_moved(void *owner)
{
	wake(owner);
}

/* ---- What moves ---- */

/* What this node has of the place itself. */
static bool is_let_go_here(const struct keeper *keeper, const struct fleet_key *place, const char *key, int64_t revision)
{
	const struct entry *entry = registry_entry(keeper->means.registry, key);
	struct fleet_key now;
	for (const struct kept_shard *shard = keeper->shards[list_of(place->class, place->shard)]; shard != NULL; shard = shard->next) {
		bool is_meant = shard->number == place->shard && strcmp(shard->class, place->class) == 0;
		if (is_meant && (shard->is_lost ? kept_shard_is_busy(shard) : shard->applied < revision))
			return false;
	}
	return entry == NULL || entry->snapshot->origin != SNAPSHOT_OF_FLEET ||
	       !object_record_place(&now, entry->snapshot->spec.kind, entry->snapshot->id, entry->snapshot->spec.placement) ||
	       strcmp(now.class, place->class) != 0;
}

bool keeper_has_let_go(struct keeper *keeper, const char *class, const char *key, int64_t revision, uint64_t *floor)
{
	const struct fleet_rule rule = FLEET_RULE_DEFAULT;
	const struct fleet_view *view = fleet_node_view(keeper->means.node);
	struct fleet_class read;
	struct fleet_key place;
	if (fleet_class_read(&read, class) != FLEET_CLASS_OK)
		return false; /* at another time, if memory is out; no node writes another text */
	place.shard = fleet_class_shard_of(&read, object_key_id(key));
	fleet_class_clear(&read);
	snprintf(place.class, sizeof(place.class), "%s", class);
	const struct fleet_view_shard *shard = fleet_view_find(view, place.class, place.shard);
	if (shard != NULL && floor != NULL && fleet_view_floor(view, shard, &rule) > *floor)
		*floor = fleet_view_floor(view, shard, &rule);
	return (shard == NULL || fleet_view_has_let_go(view, shard, revision, &rule, etcd_runner_now())) &&
	       is_let_go_here(keeper, &place, key, revision);
}

static bool on_asked(void *owner, const char *class, const char *key, int64_t revision, uint64_t *floor)
{
	return keeper_has_let_go(owner, class, key, revision, floor);
}

/* ---- The keeper ---- */

struct keeper *keeper_create(const struct keeper_means *means)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	if (keeper == NULL)
		return NULL;
	keeper->means = *means;
	keeper->kept = (struct kept_means){ .loop = means->loop,
		                            .registry = means->registry,
		                            .mutations = means->mutations,
		                            .store = means->store,
		                            .ring = means->ring,
		                            .has_let_go = on_asked,
		                            .moved = on_moved,
		                            .owner = keeper };
	keeper->sweep.is_due = true;
	uv_timer_init(means->loop, &keeper->turn);
	keeper->turn.data = keeper;
	return keeper;
}

static void on_closed(uv_handle_t *handle)
{
	struct keeper *keeper = handle->data;
	keeper->is_closed = true;
	release(keeper);
}

void keeper_free(struct keeper *keeper)
{
	if (keeper == NULL)
		return;
	keeper_stop(keeper);
	for (size_t i = 0; i < LISTS; i++)
		for (struct kept_shard *shard = keeper->shards[i]; shard != NULL; shard = shard->next)
			kept_shard_lose(shard);
	clear_sweep(&keeper->sweep);
	keeper->is_closing = true;
	uv_close((uv_handle_t *)&keeper->turn, on_closed);
}

void keeper_stop(struct keeper *keeper)
{
	keeper->is_stopped = true;
}

void keeper_change(struct keeper *keeper, const struct fleet_change *change)
{
	struct kept_shard *shard = find(keeper, change->class, change->shard);
	if (change->epoch == 0) {
		if (shard != NULL)
			kept_shard_lose(shard);
		keeper->sweep.is_due = true;
		keeper->sweep.not_before = 0;
		return;
	}
	if (shard == NULL)
		shard = gain(keeper, change);
	if (shard == NULL) {
		keeper->lacks_shard = true;
		log_line(LOG_ERROR, NULL, "fleet: out of memory for a shard (%s, %u), which is not served", change->class, (unsigned)change->shard);
		return;
	}
	/* What runs from before the first list is judged by its floor alone: mostly nothing has happened to it. */
	shard->is_anew |= shard->epoch != change->epoch && keeper->applied != 0;
	shard->epoch = change->epoch;
	shard->ts_floor = change->ts_floor;
	shard->must_read = shard->is_behind = true;
}

void keeper_applied(struct keeper *keeper, int64_t revision)
{
	keeper->applied = revision;
	wake(keeper);
}
