#include "service/fleet/publisher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/runner.h"
#include "service/fleet/object_record.h"
#include "service/fleet/published.h"

#define LOOK_MS 1000       /* with the 3 s between heartbeats, which tell of it, what others know is 5 s old at most */
#define SHARDS_MOST 32     /* of a transaction */
#define BYTES_MOST 700000u /* of its values: in base64 they fit into the 1.5 MiB that etcd takes */

/* An object of a shard of ours. */
struct item {
	uint64_t shard; /* a hash of its place */
	const char *key;
	const struct entry *entry;        /* NULL: it is not here, but for … */
	const struct keeper_fault *fault; /* … the reason */
};

struct shard_print {
	uint64_t shard, fingerprint;
};

struct publisher {
	struct publisher_means means;
	uv_timer_t timer;
	struct shard_print *written; /* sorted by shard */
	size_t written_count;
	struct etcd_job *asked;
	/* Of what is being written */
	struct shard_print pending[SHARDS_MOST];
	char *values[SHARDS_MOST];
	size_t pending_count, pending_bytes;
	bool has_more;      /* that does not fit */
	uint64_t looked_at; /* CLOCK_BOOTTIME in ms */
};

static int compare_items(const void *a, const void *b)
{
	const struct item *first = a, *second = b;
	if (first->shard != second->shard)
		return first->shard < second->shard ? -1 : 1;
	return strcmp(first->key, second->key);
}

static int compare_prints(const void *a, const void *b)
{
	const struct shard_print *first = a, *second = b;
	return (first->shard > second->shard) - (first->shard < second->shard);
}

/* False: it is not of the fleet, or of no shard of ours. */
static bool place_of(const struct publisher *publisher, const struct entry *entry, struct fleet_key *place)
{
	const struct snapshot *snapshot = entry->snapshot;
	if (snapshot->origin != SNAPSHOT_OF_FLEET || !object_record_place(place, snapshot->spec.kind, snapshot->id, snapshot->spec.placement))
		return false;
	const struct fleet_view_shard *shard = fleet_view_find(fleet_node_view(publisher->means.node), place->class, place->shard);
	return shard != NULL && shard->owner == FLEET_ME;
}

static uint64_t shard_hash(const char *class, uint32_t number)
{
	return fleet_hash_mix(fleet_hash(class) ^ number);
}

/* What is here, and what cannot be. */
static size_t collect(const struct publisher *publisher, const struct keeper_fault *faults, size_t fault_count, struct item *items)
{
	size_t count = 0;
	for (size_t i = 0; i < fault_count; i++)
		if (registry_entry(publisher->means.registry, faults[i].key) == NULL)
			items[count++] = (struct item){ shard_hash(faults[i].class, faults[i].number), faults[i].key, NULL, &faults[i] };
	for (size_t i = 0; i < registry_count(publisher->means.registry); i++) {
		const struct entry *entry = registry_at(publisher->means.registry, i);
		struct fleet_key place;
		if (place_of(publisher, entry, &place))
			items[count++] = (struct item){ shard_hash(place.class, place.shard), entry->key, entry, NULL };
	}
	qsort(items, count, sizeof(*items), compare_items);
	return count;
}

static bool is_written(const struct publisher *publisher, const struct shard_print *print)
{
	const struct shard_print *known =
	    publisher->written_count == 0 ? NULL : bsearch(print, publisher->written, publisher->written_count, sizeof(*print), compare_prints);
	return known != NULL && known->fingerprint == print->fingerprint;
}

/* The text for a group of items; NULL when out of memory. */
static char *value_of(const struct publisher *publisher, const struct item *items, size_t count)
{
	struct json_writer writer = { .failed = false };
	json_t *value = published_begin(&writer, publisher->means.name);
	for (size_t i = 0; i < count; i++) {
		if (items[i].entry != NULL)
			published_add(&writer, value, items[i].key, items[i].entry->snapshot);
		else
			published_add_fault(&writer, value, items[i].key, items[i].fault->detail);
	}
	value = json_writer_end(&writer, value);
	char *text = json_writer_text(value);
	json_decref(value);
	return text;
}

static bool place_of_item(const struct publisher *publisher, const struct item *item, struct fleet_key *place)
{
	if (item->entry != NULL)
		return place_of(publisher, item->entry, place);
	*place = (struct fleet_key){ .shard = item->fault->number };
	snprintf(place->class, sizeof(place->class), "%s", item->fault->class);
	return true;
}

static uint64_t fingerprint_of(const struct item *item)
{
	return item->entry != NULL ? published_fingerprint(item->entry->snapshot)
	                           : fleet_hash_mix(fleet_hash(item->key)) ^ fleet_hash(item->fault->detail);
}

static void put(struct publisher *publisher, struct fleet_txn *txn, const struct item *items, size_t count, const struct shard_print *print)
{
	struct fleet_key place;
	char key[FLEET_KEY_TEXT], *text = value_of(publisher, items, count);
	if (text == NULL || publisher->pending_bytes + strlen(text) > BYTES_MOST || !place_of_item(publisher, &items[0], &place)) {
		free(text); /* at another time */
		publisher->has_more = true;
		return;
	}
	place.kind = FLEET_KEY_STATUS;
	fleet_key_write(&place, key);
	publisher->values[publisher->pending_count] = text;
	publisher->pending[publisher->pending_count++] = *print;
	publisher->pending_bytes += strlen(text);
	fleet_txn_put_borrowed(txn, key, text);
}

static void clear_pending(struct publisher *publisher)
{
	for (size_t i = 0; i < publisher->pending_count; i++)
		free(publisher->values[i]);
	publisher->pending_count = publisher->pending_bytes = 0;
}

/* What is not remembered is written again. */
static void remember(struct publisher *publisher)
{
	size_t count = publisher->written_count;
	struct shard_print *more = reallocarray(publisher->written, count + publisher->pending_count + 1, sizeof(*more));
	if (more == NULL)
		return;
	publisher->written = more;
	for (size_t i = 0; i < publisher->pending_count; i++) {
		struct shard_print *known = bsearch(&publisher->pending[i], more, count, sizeof(*more), compare_prints);
		if (known != NULL)
			known->fingerprint = publisher->pending[i].fingerprint;
		else
			more[publisher->written_count++] = publisher->pending[i];
	}
	qsort(more, publisher->written_count, sizeof(*more), compare_prints);
}

static void on_written(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct publisher *publisher = owner;
	(void)has_succeeded;
	(void)revision;
	publisher->asked = NULL;
	if (error == ETCD_OK)
		remember(publisher);
	clear_pending(publisher);
	if (error == ETCD_OK && publisher->has_more)
		publisher_look(publisher);
	else if (error == ETCD_OK)
		publisher->means.told(publisher->means.owner, publisher->looked_at);
}

static void fill(struct publisher *publisher, struct fleet_txn *txn, const struct item *items, size_t count)
{
	for (size_t first = 0, next; first < count; first = next) {
		struct shard_print print = { .shard = items[first].shard };
		for (next = first; next < count && items[next].shard == print.shard; next++)
			print.fingerprint += fingerprint_of(&items[next]);
		print.fingerprint += next - first;
		bool is_new = !is_written(publisher, &print);
		publisher->has_more |= is_new && publisher->pending_count == SHARDS_MOST;
		if (is_new && publisher->pending_count < SHARDS_MOST)
			put(publisher, txn, &items[first], next - first, &print);
	}
}

/* Shards that are others' now are written anew when they come back. */
static void forget_others(struct publisher *publisher, const struct item *items, size_t count)
{
	size_t kept = 0, at = 0;
	for (size_t i = 0; i < publisher->written_count; i++) {
		while (at < count && items[at].shard < publisher->written[i].shard)
			at++;
		if (at < count && items[at].shard == publisher->written[i].shard)
			publisher->written[kept++] = publisher->written[i];
	}
	publisher->written_count = kept;
}

void publisher_look(struct publisher *publisher)
{
	const struct etcd_store_listener listener = { publisher, NULL, on_written };
	size_t fault_count;
	struct keeper_fault *faults = keeper_faults(publisher->means.keeper, &fault_count);
	struct item *items = calloc(registry_count(publisher->means.registry) + fault_count + 1, sizeof(*items));
	struct fleet_txn *txn = malloc(sizeof(*txn));
	if (faults != NULL && items != NULL && txn != NULL && publisher->asked == NULL) {
		fleet_txn_clear(txn);
		publisher->has_more = false;
		publisher->looked_at = etcd_runner_now();
		size_t count = collect(publisher, faults, fault_count, items);
		forget_others(publisher, items, count);
		fill(publisher, txn, items, count);
		if (publisher->pending_count > 0)
			publisher->asked = etcd_store_write(publisher->means.store, txn, &listener);
		else if (!publisher->has_more)
			publisher->means.told(publisher->means.owner, publisher->looked_at);
		if (publisher->asked == NULL)
			clear_pending(publisher);
	}
	free(txn);
	free(items);
	free(faults);
}

static void on_timer(uv_timer_t *timer)
{
	publisher_look(timer->data);
}

struct publisher *publisher_create(const struct publisher_means *means)
{
	struct publisher *publisher = calloc(1, sizeof(*publisher));
	if (publisher == NULL)
		return NULL;
	publisher->means = *means;
	uv_timer_init(means->loop, &publisher->timer);
	publisher->timer.data = publisher;
	uv_timer_start(&publisher->timer, on_timer, LOOK_MS, LOOK_MS);
	return publisher;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void publisher_free(struct publisher *publisher)
{
	if (publisher == NULL)
		return;
	if (publisher->asked != NULL)
		etcd_store_cancel(publisher->asked);
	clear_pending(publisher);
	free(publisher->written);
	uv_close((uv_handle_t *)&publisher->timer, on_closed);
}
