#include "service/fleet/finder.h"

#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/runner.h"
#include "ipc/object_id.h"
#include "service/fleet/object_fetch.h"
#include "service/fleet/published.h"

struct find_job {
	struct find_job *next, **before;
	struct finder *finder;
	struct mutation *mutation;
	struct object_fetch fetch; /* of one */
	struct etcd_job *asked;    /* of all */
	size_t room;
	void (*gathered)(struct mutation *mutation, void *owner); /* or NULL */
	void *owner;
	bool lacks_memory, has_too_many;
};

struct finder {
	struct finder_means means;
	struct find_job *jobs;
};

static void answer(struct find_job *job)
{
	struct mutation *mutation = job->mutation;
	void (*gathered)(struct mutation * told, void *owner) = job->gathered;
	void *owner = job->owner;
	*job->before = job->next;
	if (job->next != NULL)
		job->next->before = job->before;
	object_fetch_cancel(&job->fetch);
	if (job->asked != NULL)
		etcd_store_cancel(job->asked);
	free(job);
	if (gathered != NULL)
		gathered(mutation, owner);
	else
		mutation->done(mutation, mutation->owner);
}

static void fail(struct find_job *job, enum etcd_error error)
{
	problem_set(&job->mutation->problem, PROBLEM_FLEET_UNAVAILABLE,
	            "etcd does not answer now (%s): what other nodes run cannot be read. What this node runs can.", etcd_error_name(error));
	answer(job);
}

/* Takes the reference. */
static void add(struct find_job *job, struct snapshot *snapshot)
{
	struct mutation *mutation = job->mutation;
	if (mutation->found_count == job->room) {
		size_t room = job->room == 0 ? 16 : 2 * job->room;
		struct snapshot **more = reallocarray(mutation->found, room, sizeof(struct snapshot *));
		if (more == NULL) {
			job->lacks_memory = true;
			snapshot_release(snapshot);
			return;
		}
		mutation->found = more;
		job->room = room;
	}
	mutation->found[mutation->found_count++] = snapshot;
}

bool finder_name_node(const struct fleet_node *node, struct snapshot *snapshot)
{
	const struct fleet_view *view = fleet_node_view(node);
	struct fleet_key place;
	const struct fleet_view_shard *shard = NULL;
	struct snapshot_elsewhere *elsewhere = calloc(1, sizeof(*elsewhere));
	if (elsewhere == NULL)
		return false;
	if (object_record_place(&place, snapshot->spec.kind, snapshot->id, snapshot->spec.placement))
		shard = fleet_view_find(view, place.class, place.shard);
	if (shard != NULL && shard->owner != FLEET_NOBODY)
		memcpy(elsewhere->node, view->nodes[shard->owner].name, sizeof(elsewhere->node));
	free(snapshot->elsewhere);
	snapshot->elsewhere = elsewhere;
	return true;
}

/* Takes the reference of what the caller may see. */
static void take(struct find_job *job, struct snapshot *snapshot)
{
	if (!access_covers(job->mutation->access, snapshot->labels, snapshot->label_count)) {
		snapshot_release(snapshot);
		return;
	}
	if (finder_name_node(job->finder->means.node, snapshot)) {
		add(job, snapshot);
		return;
	}
	job->lacks_memory = true;
	snapshot_release(snapshot);
}

static void finish(struct find_job *job)
{
	struct mutation *mutation = job->mutation;
	if (job->lacks_memory)
		problem_out_of_memory(&mutation->problem);
	else if (job->has_too_many)
		problem_set(&mutation->problem, PROBLEM_OUT_OF_RESOURCES,
		            "The fleet has more than %d tunnels or pools: too many for one list. Ask for them by their ids.", FINDER_MOST);
	else if (mutation->wanted[0] != '\0' && mutation->found_count == 0)
		problem_set(&mutation->problem, PROBLEM_NOT_FOUND, "There is no %s with this id.", spec_kind_name(mutation->object));
	answer(job);
}

/* ---- What their nodes tell ---- */

static int compare_found(const void *a, const void *b)
{
	const struct snapshot *const *first = a, *const *second = b;
	int order = (int)(*first)->spec.kind - (int)(*second)->spec.kind;
	return order != 0 ? order : strcmp((*first)->id, (*second)->id);
}

static struct snapshot *found_with(const struct mutation *mutation, const char *key)
{
	struct snapshot wanted = { .spec = { .kind = object_key_kind(key) } };
	const struct snapshot *at = &wanted;
	size_t length = strlen(object_key_id(key));
	if (length >= sizeof(wanted.id))
		return NULL;
	memcpy(wanted.id, object_key_id(key), length + 1);
	struct snapshot **found = bsearch(&at, mutation->found, mutation->found_count, sizeof(at), compare_found);
	return found == NULL ? NULL : *found;
}

/* Of the node that has the shard now: an earlier one's word is out of date. */
static void take_told(struct find_job *job, const struct fleet_key *key, json_t *value)
{
	const struct fleet_view *view = fleet_node_view(job->finder->means.node);
	const struct fleet_view_shard *shard = fleet_view_find(view, key->class, key->shard);
	if (shard == NULL || shard->owner == FLEET_NOBODY)
		return;
	const char *node = view->nodes[shard->owner].name, *name;
	json_t *objects = published_objects(value, node), *told;
	json_object_foreach (objects, name, told) {
		struct snapshot *snapshot = found_with(job->mutation, name);
		if (snapshot == NULL || strcmp(snapshot->elsewhere->node, node) != 0)
			continue;
		published_take(snapshot, told);
		snapshot->elsewhere->age = fleet_view_age(view, shard->owner, etcd_runner_now());
	}
}

static void on_told(void *owner, const struct fleet_kv *kv)
{
	struct find_job *job = owner;
	struct fleet_key key;
	json_error_t where;
	bool lacks_memory;
	fleet_key_read(&key, kv->key);
	if (key.kind != FLEET_KEY_STATUS)
		return;
	json_t *value = json_reader_load(kv->value, kv->length, &where, &lacks_memory);
	job->lacks_memory |= lacks_memory;
	take_told(job, &key, value);
	json_decref(value);
}

static void on_all_told(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct find_job *job = owner;
	(void)has_succeeded;
	(void)revision;
	job->asked = NULL;
	if (error == ETCD_OK)
		finish(job);
	else
		fail(job, error);
}

static void read_told(struct find_job *job, const char *key)
{
	const struct etcd_store_listener listener = { job, on_told, on_all_told };
	if (job->mutation->found_count == 0) {
		finish(job);
		return;
	}
	qsort(job->mutation->found, job->mutation->found_count, sizeof(struct snapshot *), compare_found);
	job->asked = etcd_store_read(job->finder->means.store, key, &listener);
	if (job->asked == NULL)
		fail(job, ETCD_NO_MEMORY);
}

/* ---- One ---- */

static void on_fetched(void *owner, enum etcd_error error)
{
	struct find_job *job = owner;
	struct snapshot *found = job->fetch.found;
	job->fetch.found = NULL;
	if (error != ETCD_OK) {
		fail(job, error);
		return;
	}
	job->lacks_memory |= job->fetch.error == OBJECT_RECORD_NO_MEMORY;
	if (job->lacks_memory)
		problem_out_of_memory(&job->mutation->problem);
	else if (job->fetch.error != OBJECT_RECORD_OK)
		problem_set(&job->mutation->problem, PROBLEM_INTERNAL, "This cannot be read: %s.", object_record_explain(job->fetch.error));
	if (found != NULL)
		take(job, found);
	if (job->mutation->problem.code != PROBLEM_NONE) {
		answer(job);
		return;
	}
	struct fleet_key key = job->fetch.key;
	char text[FLEET_KEY_TEXT];
	key.kind = FLEET_KEY_STATUS;
	fleet_key_write(&key, text);
	read_told(job, text);
}

/* ---- All ---- */

static void on_record(void *owner, const struct fleet_kv *kv)
{
	struct find_job *job = owner;
	struct fleet_key key;
	int error;
	fleet_key_read(&key, kv->key);
	job->has_too_many |= job->mutation->found_count >= FINDER_MOST;
	if (key.kind != FLEET_KEY_OBJECT || job->has_too_many || job->lacks_memory)
		return;
	struct snapshot *snapshot = object_plan_read(job->finder->means.ring, kv, &error);
	job->lacks_memory |= error == OBJECT_RECORD_NO_MEMORY;
	if (snapshot != NULL)
		take(job, snapshot);
}

static void on_read(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct find_job *job = owner;
	(void)has_succeeded;
	(void)revision;
	job->asked = NULL;
	if (error == ETCD_OK && job->gathered != NULL)
		finish(job);
	else if (error == ETCD_OK)
		read_told(job, "s/");
	else
		fail(job, error);
}

static bool begin_all(struct find_job *job)
{
	const struct etcd_store_listener listener = { job, on_record, on_read };
	job->asked = etcd_store_read(job->finder->means.store, "t/", &listener);
	return job->asked != NULL;
}

/* ---- The finder ---- */

static void link_job(struct finder *finder, struct find_job *job)
{
	job->next = finder->jobs;
	job->before = &finder->jobs;
	if (job->next != NULL)
		job->next->before = &job->next;
	finder->jobs = job;
}

static struct find_job *job_create(struct finder *finder, struct mutation *mutation)
{
	struct find_job *job = calloc(1, sizeof(*job));
	if (job == NULL) {
		problem_out_of_memory(&mutation->problem);
		return NULL;
	}
	job->finder = finder;
	job->mutation = mutation;
	job->fetch = (struct object_fetch){ .store = finder->means.store, .ring = finder->means.ring, .done = on_fetched, .owner = job };
	link_job(finder, job);
	return job;
}

void finder_begin(struct finder *finder, struct mutation *mutation)
{
	struct find_job *job = job_create(finder, mutation);
	if (job == NULL) {
		mutation->done(mutation, mutation->owner);
		return;
	}
	if (mutation->wanted[0] != '\0' && !object_id_is_valid(mutation->wanted)) {
		finish(job);
		return;
	}
	bool is_begun = mutation->wanted[0] == '\0' ? begin_all(job) : object_fetch_begin(&job->fetch, mutation->object, mutation->wanted);
	if (!is_begun)
		fail(job, ETCD_NO_MEMORY);
}

void finder_gather(struct finder *finder, struct mutation *mutation, void (*gathered)(struct mutation *mutation, void *owner), void *owner)
{
	struct find_job *job = job_create(finder, mutation);
	if (job == NULL) {
		gathered(mutation, owner);
		return;
	}
	job->gathered = gathered;
	job->owner = owner;
	if (!begin_all(job))
		fail(job, ETCD_NO_MEMORY);
}

struct finder *finder_create(const struct finder_means *means)
{
	struct finder *finder = calloc(1, sizeof(*finder));
	if (finder != NULL)
		finder->means = *means;
	return finder;
}

void finder_end(struct finder *finder)
{
	while (finder->jobs != NULL) {
		struct find_job *job = finder->jobs;
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): an answered job leaves the list, so this one is another */
		problem_set(&job->mutation->problem, PROBLEM_WORKER_UNAVAILABLE, PROBLEM_LEAVING);
		answer(job);
	}
}

void finder_free(struct finder *finder)
{
	if (finder != NULL)
		finder_end(finder);
	free(finder);
}
