#include "service/pool/membership.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "ipc/wall_clock.h"
#include "service/pool/audience.h"
#include "service/registry/status.h"

#define CHUNK 256
#define POOL_ID_SIZE 64
#define RETRY_MS 10

struct pool {
	struct pool *next;
	struct entry *entry; /* in the registry */
	struct member_list members;
	struct audience audience;
	bool lacks_members; /* memory was missing: they are selected again at the next tick */
	bool is_due;        /* workers are to be told, in the loop's next turns */
	bool is_late;       /* or a little later: a list was sent just now, or a worker has much to read */
};

struct membership {
	struct membership_means means;
	struct supervisor *supervisor; /* NULL: not started */
	unsigned workers;
	pthread_mutex_t lock; /* of the pools and their members, for readers of other threads */
	struct pool *pools;
	bool lacks_pools;    /* memory was missing for one */
	uv_idle_t next_turn; /* active while a pool is due */
	uv_timer_t retry;    /* while one is late */
};

static struct pool *find(const struct membership *membership, const char *id)
{
	struct pool *pool = membership->pools;
	while (pool != NULL && strcmp(pool->entry->id, id) != 0)
		pool = pool->next;
	return pool;
}

static void publish_state(const struct membership *membership, const struct entry *entry, enum tunnel_state state, const char *reason)
{
	char members[128];
	/* The reasons below need no escapes. */
	snprintf(members, sizeof(members), "\"state\":\"%s\",\"reason\":\"%s\"", tunnel_state_name(state), reason);
	events_publish(membership->means.events, EVENT_POOL_STATE, entry->id, members);
	log_line(LOG_DEBUG, entry->id, "state %s%s%s", tunnel_state_name(state), reason[0] ? ": " : "", reason);
	membership->means.told(membership->means.owner, entry);
}

static bool has_one_up(const struct member_list *members)
{
	for (size_t i = 0; i < members->count; i++)
		if (members->list[i].is_own && member_is_up(&members->list[i]))
			return true;
	return false;
}

/* What a client of its proxy would meet. One that failed is told by whoever found that, and of one that is new it is told that it was created. */
static void judge(const struct membership *membership, const struct pool *pool, bool is_new)
{
	const struct entry *entry = pool->entry;
	enum tunnel_state state = TUNNEL_UP;
	const char *reason = "";
	if (membership->supervisor == NULL || entry->snapshot->failure != NULL)
		return;
	if (!entry->snapshot->spec.enabled) {
		state = TUNNEL_DISABLED;
	} else if (entry->worker == NULL || !worker_is_ready(entry->worker)) {
		state = TUNNEL_STARTING;
		reason = entry->worker == NULL ? "" : "the worker is being replaced";
	} else if (!has_one_up(&pool->members)) {
		state = TUNNEL_STALE;
		reason = "no member is up";
	}
	if (status_set_state(entry->status, state, reason, wall_clock_ms()) && !is_new)
		publish_state(membership, entry, state, reason);
}

static bool serve(const struct membership *membership, struct pool *pool)
{
	bool is_done = audience_serve(&pool->audience, membership->supervisor, pool->entry, &pool->members, uv_now(membership->means.loop));
	return audience_send_sessions(&pool->audience, pool->entry, membership->means.sessions) && is_done;
}

static void on_retry(uv_timer_t *timer);

/* One pool a turn, so that a hundred large ones do not hold up the loop. */
static void on_next_turn(uv_idle_t *idle)
{
	struct membership *membership = idle->data;
	for (struct pool *pool = membership->pools; pool != NULL; pool = pool->next) {
		if (!pool->is_due)
			continue;
		pool->is_due = false;
		pool->is_late = !serve(membership, pool);
		if (pool->is_late && !uv_is_active((uv_handle_t *)&membership->retry))
			uv_timer_start(&membership->retry, on_retry, RETRY_MS, 0);
		return;
	}
	uv_idle_stop(idle);
}

static void serve_later(struct membership *membership, struct pool *pool)
{
	pool->is_due = true;
	if (membership->supervisor != NULL)
		uv_idle_start(&membership->next_turn, on_next_turn);
}

static void on_retry(uv_timer_t *timer)
{
	struct membership *membership = timer->data;
	for (struct pool *pool = membership->pools; pool != NULL; pool = pool->next)
		if (pool->is_late)
			serve_later(membership, pool);
}

static void take_change(struct membership *membership, struct pool *pool, enum member_change change, const char *tunnel)
{
	switch (change) {
	case MEMBER_UNCHANGED: return;
	case MEMBER_CHANGED: {
		const struct member *member = member_list_find(&pool->members, tunnel);
		if (membership->supervisor != NULL && member != NULL)
			audience_tell(&pool->audience, membership->supervisor, pool->entry, &pool->members, (size_t)(member - pool->members.list));
		break;
	}
	case MEMBER_LIST_CHANGED:
		audience_list_changed(&pool->audience);
		serve_later(membership, pool);
		break;
	case MEMBER_NO_MEMORY: pool->lacks_members = true; break;
	}
	judge(membership, pool, false);
}

static void put_tunnel(struct membership *membership, struct pool *pool, struct snapshot *tunnel)
{
	pthread_mutex_lock(&membership->lock);
	enum member_change change = member_list_put(&pool->members, &pool->entry->snapshot->spec.pool, tunnel);
	pthread_mutex_unlock(&membership->lock);
	take_change(membership, pool, change, tunnel->id);
}

/* Those that the pool's spec has, of all tunnels. */
static void select_members(struct membership *membership, struct pool *pool)
{
	struct snapshot *chunk[CHUNK];
	char after[64] = "";
	size_t count;
	pthread_mutex_lock(&membership->lock);
	bool has_names = member_list_set_names(&pool->members, &pool->entry->snapshot->spec.pool);
	pthread_mutex_unlock(&membership->lock);
	pool->lacks_members = !has_names;
	while (has_names && (count = registry_read(membership->means.registry, SPEC_TUNNEL, after, chunk, CHUNK)) > 0) {
		snprintf(after, sizeof(after), "%s", chunk[count - 1]->id);
		for (size_t i = 0; i < count; i++) {
			pthread_mutex_lock(&membership->lock);
			pool->lacks_members |= member_list_put(&pool->members, &pool->entry->snapshot->spec.pool, chunk[i]) == MEMBER_NO_MEMORY;
			pthread_mutex_unlock(&membership->lock);
			snapshot_release(chunk[i]);
		}
	}
}

static struct pool *add_pool(struct membership *membership, struct entry *entry)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	if (pool == NULL || !audience_init(&pool->audience, membership->workers)) {
		membership->lacks_pools = true;
		free(pool);
		return NULL;
	}
	pool->entry = entry;
	pthread_mutex_lock(&membership->lock);
	pool->next = membership->pools;
	membership->pools = pool;
	pthread_mutex_unlock(&membership->lock);
	return pool;
}

static void change_pool(struct membership *membership, struct entry *entry)
{
	struct pool *pool = find(membership, entry->id);
	bool is_new = pool == NULL;
	if (is_new)
		pool = add_pool(membership, entry);
	if (pool == NULL)
		return;
	select_members(membership, pool);
	audience_spec_changed(&pool->audience);
	serve_later(membership, pool);
	judge(membership, pool, is_new);
}

static void on_changed(void *owner, struct entry *entry)
{
	struct membership *membership = owner;
	if (object_key_kind(entry->key) == SPEC_POOL) {
		change_pool(membership, entry);
		return;
	}
	for (struct pool *pool = membership->pools; pool != NULL; pool = pool->next)
		put_tunnel(membership, pool, entry->snapshot);
}

static void free_pool(struct pool *pool)
{
	member_list_clear(&pool->members);
	audience_clear(&pool->audience);
	free(pool);
}

static void remove_pool(struct membership *membership, const struct entry *entry)
{
	struct pool **at = &membership->pools;
	while (*at != NULL && (*at)->entry != entry)
		at = &(*at)->next;
	struct pool *pool = *at;
	if (pool == NULL)
		return;
	if (membership->supervisor != NULL)
		audience_end(&pool->audience, membership->supervisor, entry);
	session_store_drop(membership->means.sessions, entry->id);
	pthread_mutex_lock(&membership->lock);
	*at = pool->next;
	pthread_mutex_unlock(&membership->lock);
	free_pool(pool);
}

static void on_removed(void *owner, struct entry *entry)
{
	struct membership *membership = owner;
	if (object_key_kind(entry->key) == SPEC_POOL) {
		remove_pool(membership, entry);
		return;
	}
	for (struct pool *pool = membership->pools; pool != NULL; pool = pool->next) {
		pthread_mutex_lock(&membership->lock);
		enum member_change change = member_list_remove(&pool->members, entry->id);
		pthread_mutex_unlock(&membership->lock);
		take_change(membership, pool, change, entry->id);
	}
}

struct membership *membership_create(const struct membership_means *means, unsigned workers)
{
	struct membership *membership = calloc(1, sizeof(*membership));
	if (membership == NULL)
		return NULL;
	membership->means = *means;
	membership->workers = workers;
	pthread_mutex_init(&membership->lock, NULL);
	uv_idle_init(means->loop, &membership->next_turn);
	uv_timer_init(means->loop, &membership->retry);
	membership->next_turn.data = membership->retry.data = membership;
	registry_watch(means->registry, &(struct registry_watcher){ .changed = on_changed, .removed = on_removed, .owner = membership });
	return membership;
}

void membership_start(struct membership *membership, struct supervisor *supervisor)
{
	membership->supervisor = supervisor;
	membership_worker_changed(membership);
}

void membership_end(struct membership *membership)
{
	if (membership == NULL)
		return;
	registry_unwatch(membership->means.registry, membership);
	while (membership->pools != NULL) {
		struct pool *pool = membership->pools;
		membership->pools = pool->next;
		free_pool(pool);
	}
}

void membership_free(struct membership *membership)
{
	if (membership == NULL)
		return;
	pthread_mutex_destroy(&membership->lock);
	free(membership);
}

void membership_save(const struct membership *membership, struct message_writer *writer)
{
	uint32_t count = 0;
	for (const struct pool *pool = membership->pools; pool != NULL; pool = pool->next)
		count++;
	message_put_u32(writer, count);
	for (const struct pool *pool = membership->pools; pool != NULL; pool = pool->next) {
		message_put_text(writer, pool->entry->id, POOL_ID_SIZE);
		message_put_u8(writer, pool->audience.has_sessions);
		message_put_u32(writer, pool->members.next_number);
		message_put_u32(writer, (uint32_t)pool->members.count);
		for (size_t i = 0; i < pool->members.count; i++) {
			message_put_text(writer, pool->members.list[i].snapshot->id, POOL_ID_SIZE);
			message_put_u32(writer, pool->members.list[i].number);
			message_put_u32(writer, pool->members.list[i].open);
		}
	}
}

static void load_members(struct member_list *members, struct message_reader *reader)
{
	uint32_t next = message_get_u32(reader), count = message_get_u32(reader);
	/* One that is new here must not have the number of another. */
	for (size_t i = 0; i < members->count; i++)
		members->list[i].number += next;
	members->next_number += next;
	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		char id[POOL_ID_SIZE];
		message_get_text(reader, id, sizeof(id));
		struct member *member = member_list_find(members, id);
		uint32_t number = message_get_u32(reader), open = message_get_u32(reader);
		if (member == NULL)
			continue;
		member->number = number;
		member->open = open;
	}
}

bool membership_load(struct membership *membership, struct message_reader *reader)
{
	uint32_t count = message_get_u32(reader);
	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		char id[POOL_ID_SIZE];
		message_get_text(reader, id, sizeof(id));
		bool has_sessions = message_get_u8(reader) != 0;
		struct pool *pool = find(membership, id);
		if (pool == NULL)
			return false;
		load_members(&pool->members, reader);
		pool->audience.is_inherited = true;
		/* Its home knows more of the sessions than what is stored. */
		pool->audience.has_sessions = has_sessions;
		pool->audience.provisionings = pool->entry->provisionings;
		pool->audience.home = pool->entry->worker == NULL ? 0 : worker_incarnation(pool->entry->worker);
	}
	return !reader->failed;
}

static enum member_change read_member(struct membership *membership, struct member *member)
{
	pthread_mutex_lock(&membership->lock);
	enum member_change change = member_read(member);
	pthread_mutex_unlock(&membership->lock);
	return change;
}

void membership_tell(struct membership *membership, const struct entry *tunnel)
{
	for (struct pool *pool = membership->pools; pool != NULL; pool = pool->next) {
		struct member *member = member_list_find(&pool->members, tunnel->id);
		if (member != NULL)
			take_change(membership, pool, read_member(membership, member), tunnel->id);
	}
}

/* In lists, because the states of all its tunnels change together. */
void membership_worker_changed(struct membership *membership)
{
	for (struct pool *pool = membership->pools; pool != NULL; pool = pool->next) {
		for (size_t i = 0; i < pool->members.count; i++)
			if (read_member(membership, &pool->members.list[i]) != MEMBER_UNCHANGED)
				audience_list_changed(&pool->audience);
		serve_later(membership, pool);
		judge(membership, pool, false);
	}
}

/* Pools come before tunnels. */
static void add_missing(struct membership *membership)
{
	struct registry *registry = membership->means.registry;
	membership->lacks_pools = false;
	for (size_t i = 0; i < registry_count(registry) && object_key_kind(registry_at(registry, i)->key) == SPEC_POOL; i++)
		if (find(membership, registry_at(registry, i)->id) == NULL)
			change_pool(membership, registry_at(registry, i));
}

void membership_tick(struct membership *membership)
{
	if (membership->lacks_pools)
		add_missing(membership);
	for (struct pool *pool = membership->pools; pool != NULL; pool = pool->next) {
		if (pool->lacks_members)
			change_pool(membership, pool->entry);
		if (pool->audience.provisionings != pool->entry->provisionings)
			serve_later(membership, pool);
	}
}

static void note_open(struct pool *pool, const struct pool_open *message)
{
	for (uint32_t i = 0; i < message->count; i++) {
		struct member *member = member_list_at(&pool->members, message->list[i].member);
		if (member != NULL)
			member->open = message->list[i].open;
	}
}

size_t membership_open_count(const struct membership *membership, const struct entry *entry)
{
	const struct pool *pool = find(membership, entry->id);
	size_t open = 0;
	for (size_t i = 0; pool != NULL && i < pool->members.count; i++)
		open += pool->members.list[i].open;
	return open;
}

static struct pool *find_home(const struct membership *membership, const struct worker *worker, uint64_t number)
{
	struct pool *pool = membership->pools;
	while (pool != NULL && pool->entry->number != number)
		pool = pool->next;
	return pool != NULL && pool->entry->worker == worker ? pool : NULL;
}

bool membership_take_sessions(struct membership *membership, const struct worker *worker, struct message_reader *body)
{
	static struct pool_sessions message; /* 4 KB, consumed at once */
	if (!pool_sessions_decode(body, &message))
		return false;
	const struct pool *pool = find_home(membership, worker, message.pool);
	for (uint32_t i = 0; pool != NULL && i < message.count; i++)
		session_store_put(membership->means.sessions, pool->entry->id, pool->entry->snapshot->created_at, &message.list[i]);
	return true;
}

bool membership_take_open(struct membership *membership, const struct worker *worker, struct message_reader *body)
{
	struct pool_open message;
	if (!pool_open_decode(body, &message))
		return false;
	struct pool *pool = find_home(membership, worker, message.pool);
	if (pool == NULL)
		return true;
	pthread_mutex_lock(&membership->lock);
	note_open(pool, &message);
	pthread_mutex_unlock(&membership->lock);
	return true;
}

static struct pool_member_view view_of(const struct member *member)
{
	struct pool_member_view view = { .state = member->state,
		                         .health = member->health,
		                         .rtt_us = member->rtt_us,
		                         .open = member->open,
		                         .weight = member_weight(member->snapshot),
		                         .is_up = member_is_up(member),
		                         .is_own = member->is_own };
	snprintf(view.tunnel, sizeof(view.tunnel), "%s", member->snapshot->id);
	return view;
}

struct ordered_view {
	struct pool_member_view view;
	uint32_t order;
};

static int compare_views(const void *a, const void *b)
{
	const struct ordered_view *first = a, *second = b;
	if (first->view.is_own != second->view.is_own)
		return first->view.is_own ? -1 : 1;
	if (first->order != second->order)
		return first->order < second->order ? -1 : 1;
	return strcmp(first->view.tunnel, second->view.tunnel);
}

static struct ordered_view *read_views(struct membership *membership, const char *id, size_t *count)
{
	pthread_mutex_lock(&membership->lock);
	const struct pool *pool = find(membership, id);
	struct ordered_view *views = pool == NULL ? NULL : calloc(pool->members.count + 1, sizeof(*views));
	*count = views == NULL ? 0 : pool->members.count;
	for (size_t i = 0; i < *count; i++)
		views[i] = (struct ordered_view){ .view = view_of(&pool->members.list[i]), .order = pool->members.list[i].order };
	pthread_mutex_unlock(&membership->lock);
	return views;
}

size_t membership_read(struct membership *membership, const char *id, struct pool_member_view **views)
{
	size_t count;
	struct ordered_view *ordered = read_views(membership, id, &count);
	*views = ordered == NULL ? NULL : calloc(count + 1, sizeof(**views));
	if (*views == NULL) {
		free(ordered);
		return MEMBERSHIP_NONE;
	}
	qsort(ordered, count, sizeof(*ordered), compare_views);
	for (size_t i = 0; i < count; i++)
		(*views)[i] = ordered[i].view;
	free(ordered);
	return count;
}
