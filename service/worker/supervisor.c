/* All workers: made, watched, replaced, stopped. */
#include "service/worker/supervisor.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/worker/worker_process.h"

unsigned supervisor_count(const struct supervisor *supervisor)
{
	return supervisor->count;
}

struct worker *supervisor_worker(struct supervisor *supervisor, unsigned index)
{
	return &supervisor->workers[index];
}

uint64_t supervisor_restarts(const struct supervisor *supervisor)
{
	return supervisor->restarts;
}

unsigned supervisor_ready_count(const struct supervisor *supervisor)
{
	return supervisor->ready_count;
}

bool supervisor_has_process(const struct supervisor *supervisor, pid_t pid)
{
	for (unsigned i = 0; i < supervisor->count; i++)
		if (pid != 0 && supervisor->workers[i].pid == pid)
			return true;
	return false;
}

unsigned worker_index(const struct worker *worker)
{
	return worker->index;
}

bool worker_is_ready(const struct worker *worker)
{
	return worker->state == WORKER_READY;
}

unsigned worker_incarnation(const struct worker *worker)
{
	return worker->incarnation;
}

struct slots *worker_slots(struct worker *worker)
{
	return worker->slots;
}

static bool is_hung(struct worker *worker)
{
	uint64_t heartbeat = counter_read(&slots_counters(worker->slots)->worker.heartbeat);
	bool beats = heartbeat != worker->heartbeat;
	worker->heartbeat = heartbeat;
	worker->silent_ticks = beats ? 0 : worker->silent_ticks + 1;
	bool is_waited_for = worker->removals > 0 && worker->state == WORKER_READY;
	return worker->silent_ticks >= (is_waited_for ? WORKER_IMPATIENT_TICKS : WORKER_HUNG_TICKS);
}

static bool is_deaf(struct worker *worker)
{
	bool waits = worker->channel != NULL && channel_wants_write(worker->channel) && channel_sent(worker->channel) == worker->sent;
	worker->sent = worker->channel == NULL ? 0 : channel_sent(worker->channel);
	worker->deaf_ticks = waits ? worker->deaf_ticks + 1 : 0;
	return worker->deaf_ticks > WORKER_OWING_TICKS;
}

static bool is_never_ready(struct worker *worker)
{
	worker->starting_ticks = worker->state == WORKER_STARTING ? worker->starting_ticks + 1 : 0;
	return worker->starting_ticks > WORKER_OWING_TICKS;
}

/* Counted in ticks of our own and not by a clock: a machine or a control process that was stopped for a while has hung nobody. */
static void on_tick(uv_timer_t *timer)
{
	struct supervisor *supervisor = timer->data;
	for (unsigned i = 0; i < supervisor->count; i++) {
		struct worker *worker = &supervisor->workers[i];
		if (is_hung(worker))
			worker_kill(worker, "its heartbeat is missing");
		if (worker_owes(worker) || is_never_ready(worker))
			worker_kill(worker, "it does not answer");
		if (is_deaf(worker))
			worker_kill(worker, "it does not read");
	}
}

static bool init_worker(struct supervisor *supervisor, unsigned index)
{
	struct worker *worker = &supervisor->workers[index];
	struct counters *counters = NULL;
	int descriptor = counters_create(&counters);
	if (descriptor < 0)
		return false;
	*worker = (struct worker){ .supervisor = supervisor, .index = index, .slots = slots_create(counters, descriptor, index) };
	if (worker->slots == NULL)
		return false;
	worker->last = &worker->first;
	uv_timer_init(supervisor->loop, &worker->backoff);
	worker->backoff.data = worker;
	return true;
}

struct supervisor *supervisor_create(uv_loop_t *loop, const struct supervisor_options *options, const struct supervisor_events *events,
                                     char failure[512])
{
	assert(events->ready != NULL && events->died != NULL && events->message != NULL);
	struct supervisor *supervisor = calloc(1, sizeof(*supervisor));
	if (supervisor != NULL)
		supervisor->workers = calloc(options->workers, sizeof(*supervisor->workers));
	if (supervisor == NULL || supervisor->workers == NULL) {
		free(supervisor);
		snprintf(failure, 512, "out of memory");
		return NULL;
	}
	supervisor->loop = loop;
	supervisor->options = *options;
	supervisor->events = *events;
	uv_timer_init(loop, &supervisor->tick);
	uv_timer_init(loop, &supervisor->grace);
	supervisor->tick.data = supervisor->grace.data = supervisor;
	while (supervisor->count < options->workers && init_worker(supervisor, supervisor->count))
		supervisor->count++;
	if (supervisor->count < options->workers)
		snprintf(failure, 512, "cannot create the memory shared with the workers");
	for (unsigned i = 0; supervisor->count == options->workers && i < supervisor->count; i++)
		worker_start(&supervisor->workers[i]);
	if (supervisor->count == options->workers) {
		uv_timer_start(&supervisor->tick, on_tick, WORKER_TICK_MS, WORKER_TICK_MS);
		return supervisor;
	}
	/* None was started: only the handles are to be closed. */
	supervisor_stop(supervisor, 0, NULL, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
	supervisor_free(supervisor);
	return NULL;
}

void supervisor_worker_ready(struct worker *worker)
{
	struct supervisor *supervisor = worker->supervisor;
	worker->state = WORKER_READY;
	supervisor->ready_count++;
	supervisor->events.ready(supervisor->events.owner, worker);
}

static void end_if_all_gone(struct supervisor *supervisor)
{
	for (unsigned i = 0; i < supervisor->count; i++)
		if (supervisor->workers[i].state != WORKER_ENDED)
			return;
	if (uv_is_closing((uv_handle_t *)&supervisor->tick))
		return;
	for (unsigned i = 0; i < supervisor->count; i++)
		uv_close((uv_handle_t *)&supervisor->workers[i].backoff, NULL);
	uv_close((uv_handle_t *)&supervisor->tick, NULL);
	uv_close((uv_handle_t *)&supervisor->grace, NULL);
	if (supervisor->stopped != NULL)
		supervisor->stopped(supervisor->stopped_owner);
}

void supervisor_worker_exited(struct worker *worker)
{
	struct supervisor *supervisor = worker->supervisor;
	worker->state = supervisor->stops ? WORKER_ENDED : WORKER_ABSENT;
	supervisor->restarts += !supervisor->stops;
	worker_answer_gone(worker);
	if (supervisor->stops) {
		end_if_all_gone(supervisor);
		return;
	}
	supervisor->events.died(supervisor->events.owner, worker);
	uv_update_time(supervisor->loop);
	uint64_t age = uv_now(supervisor->loop) - worker->spawned_at;
	if (age >= WORKER_BACKOFF_MS)
		worker_start(worker);
	else
		worker_start_in(worker, WORKER_BACKOFF_MS - age);
}

static void on_grace_over(uv_timer_t *timer)
{
	struct supervisor *supervisor = timer->data;
	for (unsigned i = 0; i < supervisor->count; i++)
		worker_kill(&supervisor->workers[i], "it did not end in time");
}

void supervisor_stop(struct supervisor *supervisor, unsigned grace_ms, void (*done)(void *owner), void *owner)
{
	supervisor->stops = true;
	supervisor->stopped = done;
	supervisor->stopped_owner = owner;
	uv_timer_stop(&supervisor->tick);
	for (unsigned i = 0; i < supervisor->count; i++) {
		struct worker *worker = &supervisor->workers[i];
		uv_timer_stop(&worker->backoff);
		if (worker->state == WORKER_ABSENT)
			worker->state = WORKER_ENDED;
		struct message_writer empty;
		message_writer_init(&empty);
		worker_send(worker, MESSAGE_SHUTDOWN, &empty, NULL, 0);
	}
	uv_timer_start(&supervisor->grace, on_grace_over, grace_ms, 0);
	end_if_all_gone(supervisor);
}

void supervisor_free(struct supervisor *supervisor)
{
	if (supervisor == NULL)
		return;
	for (unsigned i = 0; i < supervisor->count; i++)
		slots_free(supervisor->workers[i].slots);
	free(supervisor->workers);
	free(supervisor);
}
