#include "service/worker/connection_listing.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/wall_clock.h"
#include "service/registry/connection_record.h"
#include "service/registry/slot_table.h"
#include "service/spec/access.h"
#include "service/worker/supervisor.h"

#define RUNNING_MOST 8 /* of a page's memory each, and of a worker's turn */
/* More than a million connections take. A worker whose list does not end is asked no more; nor is one that answers each question late, because
 * the other listings wait for it. */
#define PIECES_MOST 8192
#define TIME_MOST_MS 20000

struct connection_lister {
	struct connection_lister_means means;
	unsigned running;
	struct connection_listing *first, **last; /* that wait */
};

static void go_on(struct connection_listing *listing);
static void walk(struct connection_listing *listing);

struct connection_lister *connection_lister_create(const struct connection_lister_means *means)
{
	struct connection_lister *lister = calloc(1, sizeof(*lister));
	if (lister == NULL)
		return NULL;
	lister->means = *means;
	lister->last = &lister->first;
	return lister;
}

void connection_lister_free(struct connection_lister *lister)
{
	assert(lister == NULL || (lister->running == 0 && lister->first == NULL));
	free(lister);
}

/* The position of a page. */

static void write_next(struct connection_listing *listing)
{
	snprintf(listing->next, sizeof(listing->next), "%x-%llx-%llx-%llx", listing->worker, (unsigned long long)listing->term,
	         (unsigned long long)listing->cursor.place, (unsigned long long)listing->cursor.within);
}

static bool read_after(struct connection_listing *listing)
{
	unsigned long long numbers[4] = { 0 };
	char *at = listing->after;
	if (*at == '\0')
		return true;
	for (size_t i = 0; i < 4; i++)
		numbers[i] = strtoull(at, &at, 16), at += *at == '-';
	listing->worker = (unsigned)numbers[0];
	listing->term = numbers[1];
	listing->cursor = (struct query_cursor){ .place = numbers[2], .within = numbers[3] };
	write_next(listing);
	bool is_ours = strcmp(listing->next, listing->after) == 0;
	listing->next[0] = '\0';
	return is_ours;
}

/* The end of a listing. */

static void finish(struct connection_listing *listing)
{
	struct connection_lister *lister = listing->lister;
	lister->running--;
	/* It may be freed by this. */
	listing->done(listing->owner);
	if (lister->first == NULL || lister->running >= RUNNING_MOST)
		return;
	struct connection_listing *next = lister->first;
	lister->first = next->next_waiting;
	if (lister->first == NULL)
		lister->last = &lister->first;
	lister->running++;
	go_on(next);
}

static void fail(struct connection_listing *listing, enum problem_code code, const char *detail)
{
	problem_set(&listing->problem, code, "%s", detail);
	finish(listing);
}

/* Answers. */

static bool append(struct connection_listing *listing, const char *bytes, size_t length)
{
	if (listing->capacity - listing->length <= length) {
		size_t capacity = listing->capacity == 0 ? 4 * (size_t)CONNECTION_RECORD_MAX : 2 * listing->capacity;
		char *longer = realloc(listing->json, capacity);
		if (longer == NULL)
			return false;
		listing->json = longer;
		listing->capacity = capacity;
	}
	if (listing->length > 0)
		listing->json[listing->length++] = ',';
	memcpy(listing->json + listing->length, bytes, length);
	listing->length += length;
	return true;
}

static bool is_covered(const struct connection_listing *listing, const struct snapshot *tunnel)
{
	return access_covers(listing->access, tunnel->labels, tunnel->label_count);
}

/* A worker ends what it is asked about before the answer tells whose it was, and counts without telling: one connection is first asked for, and
 * of many those of one tunnel at a time are ended or counted. */
static bool must_check(const struct connection_listing *listing)
{
	return listing->ends && listing->id[0] != '\0' && !listing->is_checked && !access_is_whole(listing->access);
}

static bool must_walk(const struct connection_listing *listing)
{
	bool is_blind = listing->ends || listing->only_counts;
	return is_blind && listing->id[0] == '\0' && listing->tunnel[0] == '\0' && !access_is_whole(listing->access);
}

/* False when out of memory. What a worker tells of a tunnel that it does not have is dropped. */
static bool take_one(struct connection_listing *listing, const struct query_connection *connection, uint64_t now_ms)
{
	char record[CONNECTION_RECORD_MAX];
	const struct entry *entry = slot_table_at(listing->lister->means.slots, listing->worker, connection->slot);
	if (entry == NULL || object_key_kind(entry->key) != SPEC_TUNNEL || !is_covered(listing, entry->snapshot))
		return true;
	if (must_check(listing)) {
		listing->is_checked = true;
		return true;
	}
	listing->count++;
	const struct connection_id id = { .worker = listing->worker, .term = listing->term, .number = connection->number };
	const struct entry *pool = connection->pool == 0 ? NULL : registry_pool(listing->lister->means.registry, connection->pool);
	const char *name = pool == NULL || !is_covered(listing, pool->snapshot) ? NULL : pool->id;
	return append(listing, record, connection_record_write(record, &id, entry->id, name, connection, now_ms));
}

static bool take_all(struct connection_listing *listing, const struct queried *answer)
{
	struct message_reader items = answer->items;
	struct query_connection connection;
	uint64_t now_ms = (uint64_t)wall_clock_ms();
	if (listing->only_counts) {
		listing->count += answer->count;
		return true;
	}
	while (items.left > 0 && query_decode_connection(&items, &connection)) {
		connection.closed_at = 0;
		if (!take_one(listing, &connection, now_ms))
			return false;
	}
	return true;
}

static bool is_full(const struct connection_listing *listing)
{
	return !listing->only_counts && listing->count >= listing->limit;
}

static void go_to_next_worker(struct connection_listing *listing)
{
	listing->worker++;
	listing->pieces = 0;
	listing->term = 0;
	listing->cursor = (struct query_cursor){ 0 };
}

/* To the next tunnel that the access covers; false when there is none. */
static bool go_to_next_tunnel(struct connection_listing *listing)
{
	struct snapshot *next;
	bool found = false;
	while (!found && registry_read(listing->lister->means.registry, SPEC_TUNNEL, listing->tunnel, &next, 1) == 1) {
		snprintf(listing->tunnel, sizeof(listing->tunnel), "%s", next->id);
		found = is_covered(listing, next);
		snapshot_release(next);
	}
	listing->pieces = 0;
	listing->term = 0;
	listing->cursor = (struct query_cursor){ 0 };
	return found;
}

static bool has_more_workers(const struct connection_listing *listing)
{
	return listing->id[0] == '\0' && listing->tunnel[0] == '\0' && listing->worker < supervisor_count(listing->lister->means.supervisor);
}

static bool is_endless(struct connection_listing *listing)
{
	uint64_t took = uv_now(listing->lister->means.loop) - listing->began_at;
	return ++listing->pieces >= PIECES_MOST || took >= TIME_MOST_MS;
}

static void conclude(struct connection_listing *listing)
{
	if (listing->id[0] != '\0' && listing->count == 0 && listing->is_incomplete)
		fail(listing, PROBLEM_WORKER_UNAVAILABLE, "The connection's worker did not answer in time.");
	else
		finish(listing);
}

static void on_answer(void *owner, const struct worker_reply *reply)
{
	struct connection_listing *listing = owner;
	const struct queried *answer = &reply->queried;
	bool was_asked = must_check(listing);
	if (!reply->gone && !take_all(listing, answer)) {
		fail(listing, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		return;
	}
	/* The first answer about one connection that is to be ended. */
	if (was_asked && listing->is_checked) {
		go_on(listing);
		return;
	}
	bool is_cut = !reply->gone && !answer->is_over && is_endless(listing);
	bool is_over = reply->gone || answer->is_over || is_cut;
	listing->is_incomplete |= is_cut;
	if (is_over && listing->is_walk) {
		walk(listing);
		return;
	}
	if (is_over)
		go_to_next_worker(listing);
	else
		listing->cursor = answer->cursor;
	bool has_more = !is_over || has_more_workers(listing);
	if (has_more && !is_full(listing)) {
		go_on(listing);
		return;
	}
	if (has_more)
		write_next(listing);
	conclude(listing);
}

/* Questions. */

static void ask(struct connection_listing *listing, struct worker *worker, uint64_t number, uint32_t slot)
{
	if (listing->term != worker_term(worker))
		listing->cursor = (struct query_cursor){ 0 };
	listing->term = worker_term(worker);
	if (listing->pieces == 0)
		listing->began_at = uv_now(listing->lister->means.loop);
	listing->request = (struct worker_request){ .reply = MESSAGE_QUERIED, .handler = on_answer, .owner = listing };
	worker_expect(worker, &listing->request);
	struct query query = { .request = listing->request.number,
		               .kind = QUERY_CONNECTIONS,
		               .ends = listing->ends && !must_check(listing),
		               .counts = listing->only_counts,
		               .limit = listing->only_counts ? UINT32_MAX : (uint32_t)(listing->limit - listing->count),
		               .cursor = listing->cursor,
		               .filter = listing->filter };
	query.filter.number = number;
	query.filter.slot = slot;
	struct message_writer writer;
	message_writer_init(&writer);
	query_encode(&writer, &query);
	worker_send(worker, MESSAGE_QUERY, &writer, NULL, 0);
}

static struct worker *ready_worker(const struct connection_listing *listing, unsigned index)
{
	struct supervisor *supervisor = listing->lister->means.supervisor;
	struct worker *worker = index < supervisor_count(supervisor) ? supervisor_worker(supervisor, index) : NULL;
	return worker != NULL && worker_is_ready(worker) ? worker : NULL;
}

static void ask_for_one(struct connection_listing *listing)
{
	struct connection_id id;
	struct worker *worker = connection_id_read(listing->id, &id) && id.number != 0 ? ready_worker(listing, id.worker) : NULL;
	if (worker == NULL || worker_term(worker) != id.term) {
		finish(listing);
		return;
	}
	listing->worker = id.worker;
	ask(listing, worker, id.number, QUERY_ANY_SLOT);
}

/* False if there is nobody to ask. */
static bool ask_for_tunnel(struct connection_listing *listing)
{
	char key[OBJECT_KEY_SIZE];
	object_key_make(key, SPEC_TUNNEL, listing->tunnel);
	const struct entry *entry = registry_entry(listing->lister->means.registry, key);
	if (entry == NULL || entry->worker == NULL || entry->slot == NULL || !worker_is_ready(entry->worker) || !is_covered(listing, entry->snapshot))
		return false;
	if (listing->worker != worker_index(entry->worker))
		listing->term = 0; /* it has moved: the cursor is another worker's */
	listing->worker = worker_index(entry->worker);
	ask(listing, entry->worker, 0, slot_index(entry->slot));
	return true;
}

static void walk(struct connection_listing *listing)
{
	listing->is_walk = true;
	while (go_to_next_tunnel(listing))
		if (ask_for_tunnel(listing))
			return;
	finish(listing);
}

/* False when there is no such pool. */
static bool find_pool(struct connection_listing *listing)
{
	char key[OBJECT_KEY_SIZE];
	if (listing->pool[0] == '\0')
		return true;
	object_key_make(key, SPEC_POOL, listing->pool);
	const struct entry *pool = registry_entry(listing->lister->means.registry, key);
	bool is_found = pool != NULL && is_covered(listing, pool->snapshot);
	listing->filter.pool = is_found ? pool->number : 0;
	return is_found;
}

static void go_on(struct connection_listing *listing)
{
	if (listing->matches_none || !find_pool(listing)) {
		finish(listing);
	} else if (listing->id[0] != '\0') {
		ask_for_one(listing);
	} else if (must_walk(listing)) {
		walk(listing);
	} else if (listing->tunnel[0] != '\0') {
		if (!ask_for_tunnel(listing))
			finish(listing);
	} else {
		while (has_more_workers(listing) && ready_worker(listing, listing->worker) == NULL)
			go_to_next_worker(listing);
		if (has_more_workers(listing))
			ask(listing, ready_worker(listing, listing->worker), 0, QUERY_ANY_SLOT);
		else
			finish(listing);
	}
}

void connection_lister_run(struct connection_lister *lister, struct connection_listing *listing, void (*done)(void *owner), void *owner)
{
	listing->lister = lister;
	listing->done = done;
	listing->owner = owner;
	if (!read_after(listing)) {
		lister->running++;
		fail(listing, PROBLEM_INVALID_REQUEST, "The query parameter \"page_token\" is not valid.");
	} else if (lister->running < RUNNING_MOST) {
		lister->running++;
		go_on(listing);
	} else {
		listing->next_waiting = NULL;
		*lister->last = listing;
		lister->last = &listing->next_waiting;
	}
}
