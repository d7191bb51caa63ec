#include "tunnel/pool/pool.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/wall_clock.h"
#include "tunnel/pool/visit.h"

#define LINKS_MOST 1024           /* indices of workers */
#define SESSION_PIECES_A_TICK 64u /* messages */
#define WANT_TICKS 5

struct pools {
	struct pools_means means;
	struct pool *first;
	struct link **links; /* by worker */
	uint32_t link_count;
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	struct deadline tick;
	uint64_t ticks;
};

static uint64_t now_of(const struct pools *pools)
{
	return loop_now(pools->means.context->loop);
}

const struct pools_means *pools_means(const struct pools *pools)
{
	return &pools->means;
}

struct pool *pools_find(const struct pools *pools, uint64_t number)
{
	struct pool *pool = pools->first;
	while (pool != NULL && pool->number != number)
		pool = pool->next;
	return pool;
}

uint64_t pools_hash(const struct pools *pools, const void *bytes, size_t length)
{
	uint64_t hash;
	_Static_assert(sizeof(hash) == crypto_shorthash_BYTES, "a hash is one word");
	crypto_shorthash((uint8_t *)&hash, bytes, length, pools->hash_key);
	return hash;
}

const struct spec *pool_spec(const struct pool *pool)
{
	return pool->front == NULL ? &pool->told_spec : &pool->front->spec;
}

/* Links. */

struct link *pools_link(struct pools *pools, uint32_t worker)
{
	return worker < pools->link_count ? pools->links[worker] : NULL;
}

void pools_link_ended(struct pools *pools, struct link *link, bool is_broken)
{
	const struct peer_link message = { .worker = link_worker(link), .incarnation = link_incarnation(link) };
	pools->links[message.worker] = NULL;
	link_free(link);
	if (!is_broken)
		return;
	log_line(LOG_WARN, NULL, "the link to worker %u is closed: it broke the protocol", message.worker);
	struct message_writer writer;
	message_writer_init(&writer);
	peer_link_encode(&writer, &message);
	pools->means.context->send(pools->means.context, MESSAGE_LINK_BROKEN, &writer);
}

static bool make_place(struct pools *pools, uint32_t worker)
{
	if (worker < pools->link_count)
		return true;
	struct link **links = worker >= LINKS_MOST ? NULL : realloc(pools->links, (worker + 1) * sizeof(struct link *));
	if (links == NULL)
		return false;
	for (uint32_t i = pools->link_count; i <= worker; i++)
		links[i] = NULL;
	pools->links = links;
	pools->link_count = worker + 1;
	return true;
}

void pools_take_link(struct pools *pools, const struct peer_link *message, int descriptor)
{
	if (!make_place(pools, message->worker)) {
		close(descriptor);
		return;
	}
	link_free(pools->links[message->worker]);
	pools->links[message->worker] = link_create(pools, message->worker, message->incarnation, descriptor);
}

/* What is made of a spec. */

static void clear_parts(struct pool_parts *parts)
{
	rule_set_free(parts->rules);
	chooser_free(parts->chooser);
	*parts = (struct pool_parts){ 0 };
}

static bool make_parts(struct pool_parts *parts, const struct spec_pool *spec)
{
	uint8_t key[CHOOSER_HASH_KEY];
	uint64_t seed;
	randombytes_buf(key, sizeof(key));
	randombytes_buf(&seed, sizeof(seed));
	parts->rules = rule_set_create(spec->rules, spec->rule_count);
	parts->chooser = chooser_create(key, seed);
	if (parts->rules != NULL && parts->chooser != NULL && chooser_configure(parts->chooser, spec))
		return true;
	clear_parts(parts);
	return false;
}

/* A deep copy; false when out of memory. */
static bool copy_member(struct pool_member *to, const struct pool_member *from)
{
	*to = *from;
	to->label_count = 0;
	to->labels = calloc(from->label_count + 1, sizeof(*to->labels));
	if (to->labels == NULL)
		return false;
	for (; to->label_count < from->label_count; to->label_count++) {
		struct spec_label *label = &to->labels[to->label_count];
		label->key = strdup(from->labels[to->label_count].key);
		label->value = strdup(from->labels[to->label_count].value);
		if (label->key != NULL && label->value != NULL)
			continue;
		to->label_count++;
		pool_member_clear(to);
		return false;
	}
	return true;
}

static bool put_copy(struct chooser *chooser, const struct pool_member *member)
{
	struct pool_member copy;
	if (!copy_member(&copy, member))
		return false;
	bool is_put = chooser_put(chooser, &copy);
	pool_member_clear(&copy);
	return is_put;
}

static bool copy_members(struct chooser *to, const struct chooser *from)
{
	const struct pool_member *member = NULL;
	while (from != NULL && (member = chooser_next(from, member)) != NULL)
		if (!put_copy(to, member))
			return false;
	return true;
}

/* The connections that there are. */
static void count_open(struct pool *pool)
{
	for (const struct pool_visit *visit = pool->visits; visit != NULL; visit = visit->next)
		if (visit->member != 0)
			chooser_opened(pool->parts.chooser, visit->member);
}

/* At home. */

static struct pool *make_pool(struct pools *pools, uint64_t number)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return NULL;
	pool->pools = pools;
	pool->number = number;
	pool->next = pools->first;
	pools->first = pool;
	deadline_set(pools->means.context->loop, &pools->tick, now_of(pools) + LOOP_SECOND);
	return pool;
}

static void free_pool(struct pool *pool)
{
	struct pool **at = &pool->pools->first;
	while (*at != pool)
		at = &(*at)->next;
	*at = pool->next;
	pool_abort(pool);
	clear_parts(&pool->parts);
	sticky_free(pool->sticky);
	spec_clear(&pool->told_spec);
	free(pool);
}

/* Also those that another worker has. */
static void end_visits(struct pool *pool)
{
	while (pool->visits != NULL) {
		struct pool_visit *visit = pool->visits;
		if (visit->connection == NULL)
			visit_end(visit);
		else
			connection_end(visit->connection, QUERY_RESULT_CLOSED);
	}
}

static uint64_t ttl_of(const struct spec *spec)
{
	return spec->pool.sticky_ttl * LOOP_SECOND;
}

static bool has_sticky(struct pool *pool, const struct spec *spec)
{
	uint8_t key[STICKY_HASH_KEY];
	if (pool->sticky != NULL)
		return true;
	randombytes_buf(key, sizeof(key));
	pool->sticky = sticky_create(POOL_SESSIONS_MOST, ttl_of(spec), key);
	return pool->sticky != NULL;
}

bool pool_prepare(struct pools *pools, struct tunnel *front, uint64_t number, const struct spec *spec)
{
	struct pool *pool = front->pool;
	if (pool == NULL)
		pool = pools_find(pools, number);
	if (pool == NULL)
		pool = make_pool(pools, number);
	if (pool == NULL)
		return false;
	front->pool = pool;
	pool_abort(pool);
	if (!has_sticky(pool, spec))
		return false;
	pool->prepared = calloc(1, sizeof(*pool->prepared));
	if (pool->prepared != NULL && make_parts(pool->prepared, &spec->pool) && copy_members(pool->prepared->chooser, pool->parts.chooser))
		return true;
	pool_abort(pool);
	return false;
}

void pool_abort(struct pool *pool)
{
	if (pool->prepared != NULL)
		clear_parts(pool->prepared);
	free(pool->prepared);
	pool->prepared = NULL;
}

/* Connections that a home which is no more has handed over. A dial that is under way keeps to told_spec. */
static void adopt_visits(struct pool *pool, struct tunnel *front)
{
	for (struct pool_visit *visit = pool->visits; visit != NULL; visit = visit->next) {
		if (visit->connection == NULL)
			continue;
		visit->connection->proxy = &front->spec;
		visit->connection->front = front->counters;
	}
}

void pool_commit(struct pool *pool, struct tunnel *front)
{
	clear_parts(&pool->parts);
	pool->parts = *pool->prepared;
	free(pool->prepared);
	pool->prepared = NULL;
	if (pool->front == NULL)
		adopt_visits(pool, front);
	pool->front = front;
	sticky_set_ttl(pool->sticky, ttl_of(&front->spec));
	count_open(pool);
	if (!front->spec.enabled)
		end_visits(pool);
}

void pool_end_home(struct tunnel *front)
{
	struct pool *pool = front->pool;
	front->pool = NULL;
	if (pool == NULL)
		return;
	pool_abort(pool);
	if (pool->front == NULL && pool->told_spec.kind == SPEC_POOL)
		return; /* it was to come here, and did not */
	end_visits(pool);
	free_pool(pool);
}

/* Elsewhere. */

void pools_take_elsewhere(struct pools *pools, struct pool_elsewhere *message)
{
	struct pool *pool = pools_find(pools, message->pool);
	struct pool_parts parts = { 0 };
	bool is_home = pool != NULL && pool->front != NULL;
	bool is_made = !is_home && make_parts(&parts, &message->spec.pool) && (pool == NULL || copy_members(parts.chooser, pool->parts.chooser));
	if (is_made && pool == NULL)
		pool = make_pool(pools, message->pool);
	if (!is_made || pool == NULL) {
		log_line(LOG_ERROR, NULL, is_home ? "a pool has two homes" : "out of memory for a pool that has members here");
		clear_parts(&parts);
		spec_clear(&message->spec);
		return;
	}
	clear_parts(&pool->parts);
	spec_clear(&pool->told_spec);
	pool->parts = parts;
	pool->told_spec = message->spec;
	pool->home = message->home;
	message->spec = (struct spec){ 0 };
	if (!pool->told_spec.enabled)
		end_visits(pool);
}

void pools_take_end(struct pools *pools, uint64_t number)
{
	struct pool *pool = pools_find(pools, number);
	if (pool == NULL || pool->front != NULL)
		return;
	end_visits(pool);
	free_pool(pool);
}

/* Members. */

static void put_member(struct pool *pool, const struct pool_member *member)
{
	if (pool->parts.chooser != NULL && !put_copy(pool->parts.chooser, member))
		log_line(LOG_ERROR, NULL, "out of memory for a member of a pool");
	if (pool->prepared != NULL && !put_copy(pool->prepared->chooser, member))
		log_line(LOG_ERROR, NULL, "out of memory for a member of a pool");
}

static void begin_list(struct pool_parts *parts, bool is_first)
{
	if (parts != NULL && parts->chooser != NULL && is_first)
		chooser_list_begin(parts->chooser);
}

static void end_list(struct pool_parts *parts, bool is_last)
{
	if (parts != NULL && parts->chooser != NULL && is_last)
		chooser_list_end(parts->chooser);
}

void pools_take_members(struct pools *pools, struct pool_members *message, bool is_whole_list)
{
	struct pool *pool = pools_find(pools, message->pool);
	if (pool != NULL) {
		begin_list(&pool->parts, is_whole_list && message->is_first);
		begin_list(pool->prepared, is_whole_list && message->is_first);
		for (size_t i = 0; i < message->count; i++)
			put_member(pool, &message->list[i]);
		end_list(&pool->parts, is_whole_list && message->is_last);
		end_list(pool->prepared, is_whole_list && message->is_last);
		/* Its first report tells what the home before told last and is no more. */
		if (is_whole_list && message->is_last)
			pool->is_listed = pool->has_opened = true;
	}
	pool_members_clear(message);
}

/* Sessions: times are the loop's here, and UNIX time in messages. */

static uint64_t to_wall(uint64_t at, uint64_t now)
{
	uint64_t wall = (uint64_t)wall_clock_ms() / 1000;
	return at >= now ? wall + (at - now) / LOOP_SECOND : wall;
}

static uint64_t from_wall(uint64_t at, uint64_t now)
{
	uint64_t wall = (uint64_t)wall_clock_ms() / 1000;
	return at > wall ? now + (at - wall) * LOOP_SECOND : now;
}

/* The one that has the members; NULL: neither. */
static const struct chooser *chooser_of(const struct pool *pool)
{
	if (pool->parts.chooser != NULL)
		return pool->parts.chooser;
	return pool->prepared == NULL ? NULL : pool->prepared->chooser;
}

void pools_take_sessions(struct pools *pools, const struct pool_sessions *message)
{
	struct pool *pool = pools_find(pools, message->pool);
	uint64_t now = now_of(pools);
	if (pool == NULL || pool->sticky == NULL)
		return;
	const struct chooser *chooser = chooser_of(pool);
	if (chooser == NULL)
		return;
	for (uint32_t i = 0; i < message->count; i++) {
		const struct pool_session *session = &message->list[i];
		const struct pool_member *member = chooser_find_id(chooser, session->tunnel);
		if (member != NULL)
			sticky_load(pool->sticky, session->key, strlen(session->key), member->number, from_wall(session->expires_at, now), now);
	}
	if (!message->is_last || !pool->is_listed || pool->is_open)
		return;
	pool->is_open = true;
	if (pool->front != NULL)
		pool->pools->means.opened(pool->front);
}

uint32_t pool_forget_sessions(struct pool *pool, const struct pool_forget *message)
{
	uint64_t now = now_of(pool->pools);
	if (message->all)
		return (uint32_t)sticky_forget_all(pool->sticky, now);
	return sticky_forget(pool->sticky, message->key, strlen(message->key), now) ? 1 : 0;
}

void pool_count_sessions(const struct pool *pool, const struct pool_count *message, struct pool_counted *reply)
{
	reply->count = message->count;
	for (uint32_t i = 0; i < message->count; i++)
		reply->open[i] = sticky_open(pool->sticky, message->keys[i], strlen(message->keys[i]));
}

static void set_session(struct pool_session *session, const struct sticky_note *note, const struct chooser *chooser, uint64_t now)
{
	const struct pool_member *member = note->member == 0 ? NULL : chooser_find(chooser, note->member);
	_Static_assert(STICKY_KEY_MAX < sizeof(session->key), "every key has room");
	memset(session, 0, sizeof(*session));
	memcpy(session->key, note->key, note->key_length);
	if (member != NULL)
		memcpy(session->tunnel, member->id, sizeof(session->tunnel));
	session->expires_at = to_wall(note->expires_at, now);
}

/* False when there are no more. */
static bool tell_sessions(struct pool *pool, uint64_t now)
{
	static struct pool_sessions message; /* 4 KB, consumed at once */
	struct sticky_note notes[POOL_SESSIONS_PIECE];
	size_t count = sticky_take_notes(pool->sticky, notes, POOL_SESSIONS_PIECE, now);
	if (count == 0)
		return false;
	message.pool = pool->number;
	message.count = (uint32_t)count;
	for (size_t i = 0; i < count; i++)
		set_session(&message.list[i], &notes[i], pool->parts.chooser, now);
	struct message_writer writer;
	message_writer_init(&writer);
	pool_sessions_encode(&writer, &message);
	pool->pools->means.context->send(pool->pools->means.context, MESSAGE_POOL_SESSIONS, &writer);
	return count == POOL_SESSIONS_PIECE;
}

void pool_hand_over(struct tunnel *front)
{
	struct pool *pool = front->pool;
	if (pool == NULL || pool->front == NULL || pool->parts.chooser == NULL)
		return;
	while (tell_sessions(pool, now_of(pool->pools)))
		continue;
}

static void send_open(struct pool *pool, struct pool_open *message)
{
	struct message_writer writer;
	message_writer_init(&writer);
	pool_open_encode(&writer, message);
	pool->pools->means.context->send(pool->pools->means.context, MESSAGE_POOL_OPEN, &writer);
	message->count = 0;
}

static void tell_open(struct pool *pool)
{
	struct pool_open message = { .pool = pool->number };
	const struct pool_member *member = NULL;
	pool->has_opened = false;
	while ((member = chooser_next(pool->parts.chooser, member)) != NULL) {
		message.list[message.count].member = member->number;
		message.list[message.count++].open = chooser_open(pool->parts.chooser, member->number);
		if (message.count == POOL_OPEN_PIECE)
			send_open(pool, &message);
	}
	if (message.count > 0)
		send_open(pool, &message);
}

struct tunnel *pools_member_tunnel(const struct pools *pools, const struct pool_member *member)
{
	if (member == NULL || member->worker != pools->means.worker)
		return NULL;
	struct tunnel *tunnel = pools->means.find(pools->means.context, member->slot);
	bool is_it = tunnel != NULL && tunnel->pool == NULL && strcmp(tunnel->id, member->id) == 0 && tunnel->generation >= member->generation;
	return is_it ? tunnel : NULL;
}

/* No client is sent to a stale member, and so none makes it try again soon. */
static void want_stale_members(const struct pool *pool)
{
	const struct pool_member *member = NULL;
	while (pool_spec(pool)->enabled && (member = chooser_next(pool->parts.chooser, member)) != NULL) {
		struct tunnel *tunnel = member->up ? NULL : pools_member_tunnel(pool->pools, member);
		if (tunnel != NULL && tunnel->health.state == TUNNEL_STALE)
			health_wanted(tunnel);
	}
}

static void on_tick(void *owner)
{
	struct pools *pools = owner;
	uint64_t now = now_of(pools);
	bool wants = pools->ticks++ % WANT_TICKS == 0;
	for (struct pool *pool = pools->first; pool != NULL; pool = pool->next) {
		if (wants && pool->parts.chooser != NULL)
			want_stale_members(pool);
		if (pool->front == NULL || pool->parts.chooser == NULL)
			continue;
		sticky_tick(pool->sticky, now);
		for (unsigned i = 0; i < SESSION_PIECES_A_TICK && tell_sessions(pool, now); i++)
			;
		if (pool->has_opened)
			tell_open(pool);
	}
	deadline_set(pools->means.context->loop, &pools->tick, pools->first == NULL ? LOOP_NEVER : now + LOOP_SECOND);
}

/* All. */

struct pools *pools_create(const struct pools_means *means)
{
	struct pools *pools = calloc(1, sizeof(*pools));
	if (pools == NULL)
		return NULL;
	pools->means = *means;
	crypto_shorthash_keygen(pools->hash_key);
	deadline_init(&pools->tick, on_tick, pools);
	return pools;
}

void pools_free(struct pools *pools)
{
	if (pools == NULL)
		return;
	for (struct pool *pool = pools->first, *next; pool != NULL; pool = next) {
		next = pool->next;
		end_visits(pool);
		free_pool(pool);
	}
	for (uint32_t i = 0; i < pools->link_count; i++)
		link_free(pools->links[i]);
	deadline_set(pools->means.context->loop, &pools->tick, LOOP_NEVER);
	free(pools->links);
	free(pools);
}
