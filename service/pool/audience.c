#include "service/pool/audience.h"

#include <stdlib.h>
#include <string.h>

#define LISTED_A_MS 10          /* members, so that a thousand tunnels that come one by one are not a thousand long lists */
#define BACKLOG_MOST (4u << 20) /* bytes on their way to a worker, beyond which lists wait; far below what a channel queues */

bool audience_init(struct audience *audience, unsigned workers)
{
	*audience = (struct audience){ .listeners = calloc(workers, sizeof(*audience->listeners)), .count = workers };
	return audience->listeners != NULL;
}

void audience_clear(struct audience *audience)
{
	free(audience->listeners);
	*audience = (struct audience){ .count = 0 };
}

void audience_spec_changed(struct audience *audience)
{
	for (unsigned i = 0; i < audience->count; i++)
		audience->listeners[i].has_spec = audience->listeners[i].has_list = false;
}

void audience_list_changed(struct audience *audience)
{
	for (unsigned i = 0; i < audience->count; i++)
		audience->listeners[i].has_list = false;
}

static bool is_home_of(const struct entry *home, const struct worker *worker)
{
	return home->worker == worker;
}

/* A home that is still to be given the pool would know nothing of its members. */
static bool is_provisioned(const struct entry *home)
{
	return home->worker != NULL && worker_is_ready(home->worker) && !home->is_waiting && home->snapshot->failure == NULL;
}

static bool has_members(const struct member_list *members, unsigned worker)
{
	for (size_t i = 0; i < members->count; i++)
		if (members->list[i].snapshot->worker == (int)worker)
			return true;
	return false;
}

static void send_spec(struct worker *worker, const struct entry *home)
{
	struct message_writer writer;
	/* The spec is borrowed for the writing. */
	const struct pool_elsewhere message = { .pool = home->number, .home = worker_index(home->worker), .spec = home->snapshot->spec };
	message_writer_init(&writer);
	pool_elsewhere_encode(&writer, &message);
	worker_send(worker, MESSAGE_POOL, &writer, NULL, 0);
}

static void send_end(struct worker *worker, uint64_t pool)
{
	struct message_writer writer;
	message_writer_init(&writer);
	pool_end_encode(&writer, pool);
	worker_send(worker, MESSAGE_POOL_END, &writer, NULL, 0);
}

static void send_list(struct worker *worker, const struct entry *home, const struct member_list *members)
{
	struct pool_member piece[POOL_MEMBERS_PIECE];
	size_t at = 0;
	do {
		size_t count = members->count - at < POOL_MEMBERS_PIECE ? members->count - at : POOL_MEMBERS_PIECE;
		for (size_t i = 0; i < count; i++)
			member_describe(members, at + i, &piece[i]);
		const struct pool_members message = {
			.pool = home->number, .is_first = at == 0, .is_last = at + count == members->count, .list = piece, .count = count
		};
		struct message_writer writer;
		message_writer_init(&writer);
		pool_members_encode(&writer, &message);
		worker_send(worker, MESSAGE_POOL_MEMBERS, &writer, NULL, 0);
		at += count;
	} while (at < members->count);
}

/* A new process was told nothing. */
static struct listener *listener_of(struct audience *audience, const struct worker *worker)
{
	struct listener *listener = &audience->listeners[worker_index(worker)];
	if (listener->incarnation != worker_incarnation(worker))
		*listener = (struct listener){ .incarnation = worker_incarnation(worker), .knows_pool = audience->is_inherited };
	return listener;
}

/* A worker that is not the pool's home. */
static bool serve_elsewhere(struct listener *listener, struct worker *worker, const struct entry *home, const struct member_list *members,
                            bool may_list)
{
	if (!listener->knows_pool && !has_members(members, worker_index(worker)))
		return true;
	if (!listener->has_spec)
		send_spec(worker, home);
	listener->knows_pool = listener->has_spec = true;
	if (!listener->has_list && may_list)
		send_list(worker, home, members);
	listener->has_list |= may_list;
	return listener->has_list;
}

static bool serve_home(struct audience *audience, struct listener *listener, const struct entry *home, const struct member_list *members,
                       bool may_list)
{
	/* It is told when it has the pool (membership_tick). */
	if (!is_provisioned(home))
		return true;
	/* What it was told went with the tunnels that it had. */
	if (audience->provisionings != home->provisionings || audience->home != worker_incarnation(home->worker)) {
		listener->has_list = audience->has_sessions = false;
		audience->after[0] = '\0';
	}
	audience->home = worker_incarnation(home->worker);
	audience->provisionings = home->provisionings;
	/* It has the spec from its PREPARE: what was sent when its home was elsewhere is void. */
	listener->knows_pool = listener->has_spec = false;
	if (!listener->has_list && may_list)
		send_list(home->worker, home, members);
	listener->has_list |= may_list;
	return listener->has_list;
}

bool audience_serve(struct audience *audience, struct supervisor *supervisor, const struct entry *home, const struct member_list *members,
                    uint64_t now)
{
	bool may_list = audience->listed_at == 0 || now - audience->listed_at >= members->count / LISTED_A_MS, is_done = true;
	if (home->worker == NULL)
		return true;
	for (unsigned i = 0; i < audience->count; i++) {
		struct worker *worker = supervisor_worker(supervisor, i);
		if (!worker_is_ready(worker))
			continue;
		struct listener *listener = listener_of(audience, worker);
		bool had_list = listener->has_list, has_room = may_list && worker_queued_bytes(worker) < BACKLOG_MOST;
		if (is_home_of(home, worker))
			is_done &= serve_home(audience, listener, home, members, has_room);
		else
			is_done &= serve_elsewhere(listener, worker, home, members, has_room);
		if (!had_list && listener->has_list)
			audience->listed_at = now;
	}
	return is_done;
}

#define SESSION_PIECES 64 /* a turn */

bool audience_send_sessions(struct audience *audience, const struct entry *home, struct session_store *sessions)
{
	static struct pool_sessions message; /* 4 KB, consumed at once */
	if (home->worker == NULL || !is_provisioned(home) || !listener_of(audience, home->worker)->has_list)
		return true;
	for (unsigned i = 0; i < SESSION_PIECES && !audience->has_sessions && worker_queued_bytes(home->worker) < BACKLOG_MOST; i++) {
		message.pool = home->number;
		message.count = (uint32_t)session_store_read(sessions, home->id, audience->after, message.list, POOL_SESSIONS_PIECE);
		audience->has_sessions = message.is_last = message.count < POOL_SESSIONS_PIECE;
		if (message.count > 0)
			memcpy(audience->after, message.list[message.count - 1].key, sizeof(audience->after));
		struct message_writer writer;
		message_writer_init(&writer);
		pool_sessions_encode(&writer, &message);
		worker_send(home->worker, MESSAGE_POOL_SESSIONS, &writer, NULL, 0);
	}
	return audience->has_sessions;
}

void audience_tell(struct audience *audience, struct supervisor *supervisor, const struct entry *home, const struct member_list *members,
                   size_t index)
{
	struct pool_member member;
	member_describe(members, index, &member);
	const struct pool_members message = { .pool = home->number, .list = &member, .count = 1 };
	for (unsigned i = 0; i < audience->count; i++) {
		struct worker *worker = supervisor_worker(supervisor, i);
		struct listener *listener = listener_of(audience, worker);
		if (!listener->has_list || !worker_is_ready(worker))
			continue;
		/* It gets the list instead, once it has read. */
		listener->has_list = worker_queued_bytes(worker) < BACKLOG_MOST;
		if (!listener->has_list)
			continue;
		struct message_writer writer;
		message_writer_init(&writer);
		pool_members_encode(&writer, &message);
		worker_send(worker, MESSAGE_POOL_MEMBER, &writer, NULL, 0);
	}
}

void audience_end(struct audience *audience, struct supervisor *supervisor, const struct entry *home)
{
	for (unsigned i = 0; i < audience->count; i++) {
		struct worker *worker = supervisor_worker(supervisor, i);
		const struct listener *listener = listener_of(audience, worker);
		if (listener->knows_pool && worker_is_ready(worker))
			send_end(worker, home->number);
	}
}
