#include "service/worker/replacer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/worker/placement.h"

#define AT_ONCE 16     /* tunnels on their way */
#define RETRY_MS 1000u /* after a move that failed */
#define STALL_LEAST_MS 10000u
/* Between passes over its tunnels when one was busy: twice as long each time, until one has moved. */
#define PASS_MS 100u
#define PASS_MOST_MS 5000u
/* After an upgrade, before workers of the version before are replaced: until then the way back to that version costs nothing. */
#define SETTLE_MS 30000u

enum state { IDLE, STARTING, MOVING, ENDING };

struct replacer {
	struct replacer_means means;
	struct supervisor *supervisor;
	enum state state;
	struct worker *old, *successor;
	uint64_t settled_at;    /* uv_now */
	uint64_t drain_until;   /* uv_now */
	uint64_t pause_until;   /* uv_now */
	uint64_t pass_at;       /* uv_now: not before, its tunnels are gone through once more */
	uint64_t pass_ms;       /* the pause before the next pass, if one was busy … */
	bool has_busy;          /* … which one was */
	unsigned drain_seconds; /* from MOVING on */
	unsigned under_way;
	uint32_t next;     /* the slot to go on at, so that a busy tunnel does not hold up the others */
	bool has_told;     /* why a move failed, once */
	uint64_t moved_at; /* uv_now: the last tunnel, or since then they all may */
	bool is_stalled;   /* and that was told */
	pthread_mutex_t lock;
	unsigned failing;                    /* under the lock: the old worker's index … */
	char failure[REPLACER_FAILURE_SIZE]; /* … and why its last move failed; empty: one has been done since */
};

struct replacer *replacer_create(const struct replacer_means *means)
{
	struct replacer *replacer = calloc(1, sizeof(*replacer));
	if (replacer == NULL)
		return NULL;
	replacer->means = *means;
	replacer->settled_at = uv_now(means->loop) + SETTLE_MS;
	pthread_mutex_init(&replacer->lock, NULL);
	return replacer;
}

void replacer_free(struct replacer *replacer)
{
	if (replacer != NULL)
		pthread_mutex_destroy(&replacer->lock);
	free(replacer);
}

void replacer_read_failure(struct replacer *replacer, unsigned index, char failure[REPLACER_FAILURE_SIZE])
{
	pthread_mutex_lock(&replacer->lock);
	snprintf(failure, REPLACER_FAILURE_SIZE, "%s", index == replacer->failing ? replacer->failure : "");
	pthread_mutex_unlock(&replacer->lock);
}

static void set_failure(struct replacer *replacer, const char *failure)
{
	pthread_mutex_lock(&replacer->lock);
	replacer->failing = worker_index(replacer->old);
	snprintf(replacer->failure, sizeof(replacer->failure), "%s", failure);
	pthread_mutex_unlock(&replacer->lock);
}

/* The replacement is over, or begins. */
static void forget_failures(struct replacer *replacer)
{
	replacer->has_told = replacer->is_stalled = false;
	set_failure(replacer, "");
}

void replacer_begin(struct replacer *replacer, struct supervisor *supervisor)
{
	replacer->supervisor = supervisor;
}

unsigned replacer_drain_seconds(const struct replacer *replacer)
{
	return replacer->means.drain_seconds;
}

static void publish(const struct replacer *replacer, enum event_type type, const char *more)
{
	char members[2048];
	snprintf(members, sizeof(members), "\"worker\":%u,\"successor\":%u%s", worker_index(replacer->old), worker_index(replacer->successor), more);
	events_publish(replacer->means.events, type, NULL, members);
}

int replacer_start(struct replacer *replacer, unsigned index, unsigned drain_seconds, unsigned *successor)
{
	struct supervisor *supervisor = replacer->supervisor;
	struct worker *old = index < supervisor_count(supervisor) ? supervisor_worker(supervisor, index) : NULL;
	if (old == NULL || worker_duty(old) == WORKER_SPARE)
		return REPLACER_NO_WORKER;
	if (replacer->state != IDLE)
		return REPLACER_BUSY;
	struct worker *next = worker_is_ready(old) ? supervisor_call_successor(supervisor) : NULL;
	if (next == NULL)
		return REPLACER_NOT_READY;
	replacer->state = STARTING;
	replacer->old = old;
	replacer->successor = next;
	replacer->drain_seconds = drain_seconds;
	replacer->pause_until = replacer->pass_at = 0;
	replacer->pass_ms = PASS_MS;
	replacer->has_busy = false;
	forget_failures(replacer);
	*successor = worker_index(next);
	log_line(LOG_INFO, NULL, "worker %u is being replaced by worker %u", index, *successor);
	publish(replacer, EVENT_WORKER_REPLACING, "");
	return REPLACER_OK;
}

void replacer_worker_ready(struct replacer *replacer, struct worker *worker)
{
	if (replacer->state != STARTING || worker != replacer->successor)
		return;
	worker_retire(replacer->old);
	replacer->state = MOVING;
	replacer->moved_at = replacer->drain_until = uv_now(replacer->means.loop) + replacer->drain_seconds * 1000ull;
}

/* A successor that was ready once is a worker like any other. */
void replacer_worker_died(struct replacer *replacer, struct worker *worker)
{
	if (replacer->state != STARTING || worker != replacer->successor)
		return;
	log_line(LOG_ERROR, NULL, "worker %u is not replaced: its successor ended before it was ready", worker_index(replacer->old));
	publish(replacer, EVENT_WORKER_REPLACE_FAILED, ",\"detail\":\"the successor ended before it was ready\"");
	replacer->state = IDLE;
}

/* A busy one is tried again in the next pass. */
static void on_moved(void *owner, enum mover_result result, const char *failure)
{
	struct replacer *replacer = owner;
	replacer->under_way--;
	replacer->has_busy |= result == MOVER_BUSY;
	if (result == MOVER_DONE) {
		uint64_t now = uv_now(replacer->means.loop);
		replacer->pass_ms = PASS_MS;
		replacer->moved_at = now > replacer->drain_until ? now : replacer->drain_until;
		replacer->is_stalled = false;
		set_failure(replacer, "");
	}
	if (result != MOVER_FAILED)
		return;
	set_failure(replacer, failure);
	replacer->pause_until = uv_now(replacer->means.loop) + RETRY_MS;
	if (!replacer->has_told)
		log_line(LOG_WARN, NULL, "worker %u keeps a tunnel for now: %s", worker_index(replacer->old), failure);
	replacer->has_told = true;
}

/* Those of the tunnels that go through it, too: they follow it (gatherer.h). */
static bool has_open_connections(const struct replacer *replacer, const struct entry *entry)
{
	uint64_t open = entry->slot == NULL ? 0 : counters_open_connections(slot_tunnel(entry->slot));
	if (object_key_kind(entry->key) == SPEC_POOL)
		return open + replacer->means.open_through(replacer->means.owner, entry) > 0;
	struct entry *inside = NULL;
	while (open == 0 && (inside = registry_next_inside(replacer->means.registry, entry->id, inside)) != NULL)
		open += has_open_connections(replacer, inside);
	return open > 0;
}

/* One that goes through another of this worker's follows that one. */
static bool follows_another(const struct replacer *replacer, const struct entry *entry)
{
	const struct entry *outer = registry_outer(replacer->means.registry, &entry->snapshot->spec);
	return outer != NULL && outer->worker == replacer->old;
}

static bool is_due(const struct replacer *replacer, const struct entry *entry, bool is_drained)
{
	if (!lock_queue_is_free(replacer->means.locks, entry->key))
		return false;
	if (!worker_is_ready(replacer->old))
		return true;
	return !follows_another(replacer, entry) && (is_drained || !has_open_connections(replacer, entry));
}

static void move_entry(struct replacer *replacer, struct entry *entry, bool only_idle)
{
	/* Nobody runs it. */
	if (!worker_is_ready(replacer->old)) {
		(void)mover_place(replacer->means.mover, entry, NULL, replacer->successor);
		return;
	}
	replacer->under_way++;
	if (!mover_start(replacer->means.mover, entry, replacer->successor, only_idle, on_moved, replacer))
		on_moved(replacer, MOVER_FAILED, "out of memory");
}

/* An attempt in vain costs both workers a change: one with thousands of peers would be as much work as they can do. */
static bool begins_pass(struct replacer *replacer, uint64_t now)
{
	if (replacer->has_busy) {
		replacer->pass_at = now + replacer->pass_ms;
		replacer->pass_ms = 2 * replacer->pass_ms < PASS_MOST_MS ? 2 * replacer->pass_ms : PASS_MOST_MS;
		replacer->has_busy = false;
	}
	return now >= replacer->pass_at;
}

/* One that has, or waits for, a turn is looked at again; a move that is under way has it. */
static void move_due(struct replacer *replacer)
{
	uint64_t now = uv_now(replacer->means.loop);
	/* It must not run a tunnel beside the successor. */
	if (worker_is_dying(replacer->old))
		return;
	bool is_drained = now >= replacer->drain_until;
	for (uint32_t i = 0; i < COUNTERS_TUNNELS && replacer->under_way < AT_ONCE && now >= replacer->pause_until; i++) {
		if (replacer->next == 0 && !is_drained && !begins_pass(replacer, now))
			break;
		struct entry *entry = slot_table_at(replacer->means.slots, worker_index(replacer->old), replacer->next);
		replacer->next = (replacer->next + 1) % COUNTERS_TUNNELS;
		if (entry != NULL && is_due(replacer, entry, is_drained))
			move_entry(replacer, entry, !is_drained);
	}
}

/* Nothing has moved for as long as connections are waited for: whoever waits for the end is told. */
static void check_stall(struct replacer *replacer)
{
	uint64_t patience = replacer->drain_seconds * 1000ull > STALL_LEAST_MS ? replacer->drain_seconds * 1000ull : STALL_LEAST_MS;
	if (replacer->is_stalled || uv_now(replacer->means.loop) < replacer->moved_at + patience)
		return;
	replacer->is_stalled = true;
	size_t left = slots_tunnels_placed(worker_slots(replacer->old));
	const char *why = replacer->failure[0] != '\0' ? replacer->failure : "they are being changed";
	char detail[REPLACER_FAILURE_SIZE + 64], members[1900];
	snprintf(detail, sizeof(detail), "%zu of its tunnels cannot move and are tried again: %s", left, why);
	char *quoted = events_quote(detail, strlen(detail));
	snprintf(members, sizeof(members), ",\"detail\":%s", quoted == NULL ? "\"\"" : quoted);
	free(quoted);
	log_line(LOG_ERROR, NULL, "worker %u is not replaced by worker %u: %s", worker_index(replacer->old), worker_index(replacer->successor),
	         detail);
	publish(replacer, EVENT_WORKER_REPLACE_FAILED, members);
}

/* Those whose change was refused before they ran for the first time. */
static void take_unused_places(const struct replacer *replacer)
{
	const struct replacer_means *means = &replacer->means;
	for (size_t i = 0; i < registry_count(means->registry); i++) {
		struct entry *entry = registry_at(means->registry, i);
		if (entry->worker == replacer->old && lock_queue_is_free(means->locks, entry->key) &&
		    slot_table_at(means->slots, worker_index(replacer->old), slot_index(entry->slot)) != entry)
			placement_leave(entry);
	}
}

/* A tunnel that is being created has a slot before it is in the table. */
static bool is_empty(const struct replacer *replacer)
{
	return replacer->under_way == 0 && slots_tunnels_placed(worker_slots(replacer->old)) == 0;
}

static void finish(struct replacer *replacer)
{
	worker_vacate(replacer->old);
	log_line(LOG_INFO, NULL, "worker %u has been replaced by worker %u", worker_index(replacer->old), worker_index(replacer->successor));
	publish(replacer, EVENT_WORKER_REPLACED, "");
	forget_failures(replacer);
	replacer->state = IDLE;
}

/* One of another version than this program's, which is that of those that it starts. */
static void begin_next(struct replacer *replacer)
{
	struct supervisor *supervisor = replacer->supervisor;
	unsigned successor;
	if (uv_now(replacer->means.loop) < replacer->settled_at)
		return;
	for (unsigned i = 0; i < supervisor_count(supervisor); i++) {
		const struct worker *worker = supervisor_worker(supervisor, i);
		if (worker_duty(worker) == WORKER_SERVING && worker_is_ready(worker) && worker_is_of_other_version(worker) &&
		    replacer_start(replacer, i, replacer->means.drain_seconds, &successor) == REPLACER_OK)
			return;
	}
}

void replacer_tick(struct replacer *replacer)
{
	switch (replacer->state) {
	case IDLE: begin_next(replacer); break;
	case STARTING: break;
	case MOVING:
		move_due(replacer);
		take_unused_places(replacer);
		if (!is_empty(replacer)) {
			check_stall(replacer);
			break;
		}
		worker_dismiss(replacer->old);
		replacer->state = ENDING;
		break;
	case ENDING:
		if (!worker_has_process(replacer->old))
			finish(replacer);
		break;
	}
}

/* While one is STARTING or ENDING there is no change of programs (supervisor_is_quiet). */
void replacer_save(const struct replacer *replacer, struct message_writer *writer)
{
	uint64_t now = uv_now(replacer->means.loop);
	message_put_u8(writer, replacer->state != IDLE);
	if (replacer->state == IDLE)
		return;
	message_put_u32(writer, worker_index(replacer->old));
	message_put_u32(writer, worker_index(replacer->successor));
	message_put_u64(writer, replacer->drain_until > now ? replacer->drain_until - now : 0);
}

bool replacer_load(struct replacer *replacer, struct message_reader *reader)
{
	struct supervisor *supervisor = replacer->supervisor;
	if (message_get_u8(reader) == 0)
		return !reader->failed;
	uint32_t old = message_get_u32(reader), successor = message_get_u32(reader);
	replacer->moved_at = replacer->drain_until = uv_now(replacer->means.loop) + message_get_u64(reader);
	replacer->drain_seconds = replacer->means.drain_seconds;
	if (reader->failed || old >= supervisor_count(supervisor) || successor >= supervisor_count(supervisor))
		return false;
	replacer->old = supervisor_worker(supervisor, old);
	replacer->successor = supervisor_worker(supervisor, successor);
	replacer->state = MOVING;
	replacer->pass_ms = PASS_MS;
	return worker_duty(replacer->old) == WORKER_RETIRING;
}
