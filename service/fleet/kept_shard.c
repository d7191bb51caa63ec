#include "service/fleet/kept_shard.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "ipc/wall_clock.h"
#include "service/fleet/object_record.h"
#include "service/registry/registry.h"
#include "service/store/scope.h"

#define RETRY_MS 500 /* doubled with each pass that has faults */
#define RETRY_MS_MOST 16000
#define HOLD_MS 200 /* until it is looked again whether another node has let go */

struct found_object {
	char key[OBJECT_KEY_SIZE];
	struct object_record record;
	int error; /* enum object_record_error */
};

struct kept_shard *kept_shard_create(const struct kept_means *means, const char *class, uint32_t number)
{
	struct kept_shard *shard = calloc(1, sizeof(*shard));
	if (shard == NULL)
		return NULL;
	shard->means = means;
	shard->number = number;
	snprintf(shard->class, sizeof(shard->class), "%s", class);
	return shard;
}

static void clear_pass(struct kept_shard *shard)
{
	for (size_t i = 0; i < shard->found_count; i++)
		object_record_clear(&shard->found[i].record);
	free(shard->found);
	free(shard->removed);
	free(shard->new_faults);
	shard->found = NULL;
	shard->removed = NULL;
	shard->new_faults = NULL;
	shard->found_count = shard->found_room = shard->found_cursor = shard->removed_count = shard->removed_cursor = shard->new_fault_count = 0;
	shard->is_applying = shard->lacks_memory = shard->has_left = shard->is_holding = false;
}

void kept_shard_free(struct kept_shard *shard)
{
	assert(shard->under_way == 0);
	if (shard->job != NULL)
		etcd_store_cancel(shard->job);
	clear_pass(shard);
	free(shard->faults);
	free(shard);
}

bool kept_shard_is_busy(const struct kept_shard *shard)
{
	return shard->job != NULL || shard->is_applying || shard->under_way > 0;
}

bool kept_shard_has(const struct kept_shard *shard, const struct snapshot *snapshot)
{
	struct fleet_key place;
	return snapshot->origin == SNAPSHOT_OF_FLEET && object_record_place(&place, snapshot->spec.kind, snapshot->id, snapshot->spec.placement) &&
	       place.shard == shard->number && strcmp(place.class, shard->class) == 0;
}

/* ---- Faults ---- */

static void try_later(struct kept_shard *shard)
{
	uint64_t pause = RETRY_MS << (shard->retries < 5 ? shard->retries : 5);
	shard->retries++;
	shard->retry_at = uv_now(shard->means->loop) + (pause < RETRY_MS_MOST ? pause : RETRY_MS_MOST);
}

static bool was_told(const struct kept_shard *shard, const char *key, const char *detail)
{
	for (size_t i = 0; i < shard->fault_count; i++)
		if (strcmp(shard->faults[i].key, key) == 0 && strcmp(shard->faults[i].detail, detail) == 0)
			return true;
	return false;
}

/* A condition of what runs here; "": there is none. */
static void set_condition(const struct kept_shard *shard, const char *key, const char *detail)
{
	struct entry *entry = registry_entry(shard->means->registry, key);
	if (entry != NULL && entry->snapshot->origin == SNAPSHOT_OF_FLEET)
		status_set_source_fault(entry->status, detail, wall_clock_ms());
}

/* The object stays as it was here, or is not here. */
static void note_fault(struct kept_shard *shard, const char *key, const char *detail)
{
	struct kept_fault *fault = &shard->new_faults[shard->new_fault_count++];
	memcpy(fault->key, key, sizeof(fault->key));
	snprintf(fault->detail, sizeof(fault->detail), "%s", detail);
	if (was_told(shard, fault->key, fault->detail))
		return;
	log_line(LOG_ERROR, object_key_id(key), "fleet: this node cannot run it as it is to be: %s", fault->detail);
	set_condition(shard, fault->key, fault->detail);
}

static void describe(const struct problem *problem, char text[160])
{
	const struct problem_fault *fault = problem->fault_count > 0 ? &problem->faults[0] : NULL;
	snprintf(text, 160, "%.60s%s%.95s", fault == NULL ? "" : fault->pointer, fault == NULL ? "" : ": ",
	         fault == NULL ? problem->detail : fault->detail);
}

static const struct problem *problem_of(const struct mutation *mutation)
{
	const struct problem *problem = &mutation->operations[0].problem;
	return problem->code != PROBLEM_NONE ? problem : &mutation->problem;
}

/* ---- The end of a pass ---- */

static bool is_submitted(const struct kept_shard *shard)
{
	return shard->removed_cursor == shard->removed_count && shard->found_cursor == shard->found_count;
}

static void end_when_done(struct kept_shard *shard)
{
	if (!shard->is_applying || shard->under_way > 0 || !is_submitted(shard))
		return;
	free(shard->faults);
	shard->faults = shard->new_faults;
	shard->fault_count = shard->new_fault_count;
	shard->new_faults = NULL;
	shard->is_behind = shard->must_read || shard->has_left;
	bool is_holding = shard->is_holding;
	clear_pass(shard);
	shard->is_served = true;
	shard->applied = shard->revision;
	if (shard->fault_count > 0)
		try_later(shard);
	else
		shard->retries = 0;
	if (is_holding)
		shard->retry_at = uv_now(shard->means->loop) + HOLD_MS;
}

static void fail(struct kept_shard *shard, const char *why)
{
	clear_pass(shard);
	log_line(LOG_WARN, NULL, "fleet: the tunnels of a shard (%s, %u) cannot be read: %s", shard->class, (unsigned)shard->number, why);
	try_later(shard);
}

/* ---- Mutations ---- */

void kept_shard_submit(struct mutations *mutations, struct mutation *mutation, void (*done)(struct mutation *mutation, void *owner), void *owner)
{
	mutation->operations[0].origin = SNAPSHOT_OF_FLEET;
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->done = done;
	mutation->owner = owner;
	mutations_submit(mutations, mutation);
}

static void on_done(struct mutation *mutation, void *owner)
{
	struct kept_shard *shard = owner;
	const struct operation *operation = &mutation->operations[0];
	const struct problem *problem = problem_of(mutation);
	bool is_gone = operation->kind == OPERATION_DELETE && problem->code == PROBLEM_NOT_FOUND;
	char detail[160];
	char key[OBJECT_KEY_SIZE];
	shard->under_way--;
	object_key_make(key, operation->object, operation->id);
	if (problem->code == PROBLEM_NONE) {
		set_condition(shard, key, "");
	} else if (!is_gone && !shard->is_lost) {
		describe(problem, detail);
		note_fault(shard, key, detail);
		shard->has_left |= operation->kind == OPERATION_DELETE;
	}
	mutation_free(mutation);
	end_when_done(shard);
	shard->means->moved(shard->means->owner);
}

static void submit(struct kept_shard *shard, struct mutation *mutation)
{
	shard->under_way++;
	kept_shard_submit(shard->means->mutations, mutation, on_done, shard);
}

static void remove_next(struct kept_shard *shard)
{
	const char *key = shard->removed[shard->removed_cursor++];
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	if (mutation == NULL) {
		note_fault(shard, key, "out of memory");
		shard->has_left = true;
		return;
	}
	operation_delete(&mutation->operations[0], object_key_kind(key), object_key_id(key));
	submit(shard, mutation);
}

static bool is_here(const struct kept_shard *shard, const struct found_object *found)
{
	const struct entry *entry = registry_entry(shard->means->registry, found->key);
	return entry != NULL && entry->snapshot->origin == SNAPSHOT_OF_FLEET && entry->snapshot->failure == NULL &&
	       entry->snapshot->revision == found->record.stamp.revision;
}

/* A node writes later ones only, so this one was copied and put back by somebody else. */
static bool has_gone_back(const struct kept_shard *shard, const struct found_object *found)
{
	const struct entry *entry = registry_entry(shard->means->registry, found->key);
	const struct operation_stamp *stamp = &found->record.stamp;
	return entry != NULL && entry->snapshot->origin == SNAPSHOT_OF_FLEET && entry->snapshot->created_at == stamp->created_at &&
	       entry->snapshot->updated_at > stamp->updated_at;
}

/* Where it was before it may still run: then it must not run here yet. What runs here already was let go. */
static bool must_hold(const struct kept_shard *shard, const struct found_object *found, uint64_t *floor)
{
	const struct entry *entry = registry_entry(shard->means->registry, found->key);
	char *classes = found->record.former, *rest = classes;
	bool is_held = false;
	if (classes == NULL || (entry != NULL && kept_shard_has(shard, entry->snapshot)))
		return false;
	for (char *class = strsep(&rest, " "); class != NULL; class = strsep(&rest, " ")) {
		is_held |= !shard->means->has_let_go(shard->means->owner, class, found->key, (int64_t)found->record.stamp.revision, floor);
		if (rest != NULL)
			rest[-1] = ' ';
	}
	return is_held;
}

static void put_next(struct kept_shard *shard)
{
	struct found_object *found = &shard->found[shard->found_cursor++];
	uint64_t floor = shard->ts_floor;
	if (found->error != OBJECT_RECORD_OK) {
		note_fault(shard, found->key, object_record_explain((enum object_record_error)found->error));
		return;
	}
	if (is_here(shard, found)) {
		set_condition(shard, found->key, "");
		return;
	}
	if (has_gone_back(shard, found)) {
		note_fault(shard, found->key, "its record in etcd is an older one than that which runs here: somebody has put it back");
		return;
	}
	if (must_hold(shard, found, &floor)) {
		shard->is_holding = true;
		return;
	}
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	if (mutation == NULL) {
		note_fault(shard, found->key, "out of memory");
		return;
	}
	struct operation *operation = &mutation->operations[0];
	operation->kind = OPERATION_PUT;
	operation->object = object_key_kind(found->key);
	operation->stamp = found->record.stamp;
	operation->ts_floor = floor;
	operation->document = json_incref(found->record.document);
	snprintf(operation->id, sizeof(operation->id), "%s", object_key_id(found->key));
	submit(shard, mutation);
}

bool kept_shard_step(struct kept_shard *shard)
{
	/* Deletes come first, and are done before the first is put: they set ports free. */
	bool removes = shard->removed_cursor < shard->removed_count;
	bool may_put = shard->found_cursor < shard->found_count && (shard->found_cursor > 0 || shard->under_way == 0);
	if (shard->is_lost || !shard->is_applying || !(removes || may_put))
		return false;
	if (removes)
		remove_next(shard);
	else
		put_next(shard);
	end_when_done(shard);
	return true;
}

/* ---- Reading ---- */

static bool make_room(struct kept_shard *shard)
{
	size_t room = shard->found_room == 0 ? 64 : 2 * shard->found_room;
	if (shard->found_count < shard->found_room)
		return true;
	struct found_object *more = reallocarray(shard->found, room, sizeof(*more));
	if (more == NULL)
		return false;
	shard->found = more;
	shard->found_room = room;
	return true;
}

static void on_record(void *owner, const struct fleet_kv *kv)
{
	struct kept_shard *shard = owner;
	struct fleet_key key;
	fleet_key_read(&key, kv->key);
	if (key.kind != FLEET_KEY_OBJECT)
		return;
	if (shard->lacks_memory || !make_room(shard)) {
		shard->lacks_memory = true;
		return;
	}
	struct found_object *found = &shard->found[shard->found_count++];
	object_key_make(found->key, key.is_pool ? SPEC_POOL : SPEC_TUNNEL, key.name);
	found->error = object_record_read(&found->record, shard->means->ring, kv);
	shard->lacks_memory |= found->error == OBJECT_RECORD_NO_MEMORY;
}

static int compare_found(const void *a, const void *b)
{
	const struct found_object *first = a, *second = b;
	return strcmp(first->key, second->key);
}

static const struct found_object *find(const struct kept_shard *shard, const char *key)
{
	struct found_object wanted;
	memcpy(wanted.key, key, sizeof(wanted.key));
	return shard->found_count == 0 ? NULL : bsearch(&wanted, shard->found, shard->found_count, sizeof(wanted), compare_found);
}

/* The peers of a tunnel that another node had meanwhile know newer sessions than ours, and take no handshake that is earlier than that node's. */
static bool is_stale(const struct kept_shard *shard, const struct entry *entry)
{
	bool has_old_floor = shard->ts_floor != 0 && entry_floor_is_before(entry, shard->ts_floor);
	return entry->snapshot->spec.kind == SPEC_TUNNEL && (shard->is_anew || has_old_floor);
}

static bool must_end(const struct kept_shard *shard, const struct entry *entry)
{
	if (!kept_shard_has(shard, entry->snapshot))
		return false;
	const struct found_object *found = find(shard, entry->key);
	return found == NULL || (found->error == OBJECT_RECORD_OK && is_stale(shard, entry));
}

static bool find_removed(struct kept_shard *shard)
{
	size_t count = registry_count(shard->means->registry);
	shard->removed = calloc(count + 1, sizeof(*shard->removed));
	for (size_t i = 0; shard->removed != NULL && i < count; i++) {
		const struct entry *entry = registry_at(shard->means->registry, i);
		if (must_end(shard, entry))
			memcpy(shard->removed[shard->removed_count++], entry->key, OBJECT_KEY_SIZE);
	}
	return shard->removed != NULL;
}

static void begin_applying(struct kept_shard *shard)
{
	if (shard->found_count > 0)
		qsort(shard->found, shard->found_count, sizeof(*shard->found), compare_found);
	bool has_memory = !shard->lacks_memory && find_removed(shard);
	shard->new_faults = calloc(shard->found_count + shard->removed_count + 1, sizeof(*shard->new_faults));
	if (!has_memory || shard->new_faults == NULL) {
		fail(shard, "out of memory");
		return;
	}
	shard->is_applying = true;
	shard->is_anew = false;
	end_when_done(shard);
}

static void on_read(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct kept_shard *shard = owner;
	(void)has_succeeded;
	shard->revision = revision;
	shard->job = NULL;
	if (error == ETCD_OK)
		begin_applying(shard);
	else
		fail(shard, etcd_error_name(error));
	shard->means->moved(shard->means->owner);
}

void kept_shard_begin(struct kept_shard *shard)
{
	struct fleet_key place = { .kind = FLEET_KEY_OBJECT, .shard = shard->number };
	const struct etcd_store_listener listener = { shard, on_record, on_read };
	char folder[FLEET_KEY_TEXT];
	memcpy(place.class, shard->class, sizeof(place.class));
	fleet_key_write(&place, folder); /* without a name: all of the shard */
	shard->must_read = false;
	shard->retry_at = 0;
	shard->job = etcd_store_read(shard->means->store, folder, &listener);
	if (shard->job == NULL)
		fail(shard, "out of memory");
}

void kept_shard_lose(struct kept_shard *shard)
{
	shard->is_lost = true;
	if (shard->job != NULL)
		etcd_store_cancel(shard->job);
	shard->job = NULL;
	clear_pass(shard);
}
