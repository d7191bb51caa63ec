/* All workers: made, watched, replaced, stopped. */
#include "service/worker/supervisor.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/worker/worker_process.h"

unsigned supervisor_count(const struct supervisor *supervisor)
{
	return supervisor->count;
}

unsigned supervisor_serving(const struct supervisor *supervisor)
{
	return supervisor->options.workers;
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

enum worker_duty worker_duty(const struct worker *worker)
{
	return worker->duty;
}

bool worker_has_process(const struct worker *worker)
{
	return worker->pid != 0 || worker->process != NULL;
}

bool worker_is_ready(const struct worker *worker)
{
	return worker->state == WORKER_READY;
}

bool worker_is_dying(const struct worker *worker)
{
	return worker->state == WORKER_DYING;
}

pid_t worker_pid(const struct worker *worker)
{
	return worker->pid;
}

unsigned worker_restarts(const struct worker *worker)
{
	unsigned now = worker->incarnation, first = worker->first_incarnation;
	return now > first ? now - first : 0;
}

const char *worker_version(const struct worker *worker)
{
	return worker->is_taken_over ? worker->taken_version : program_version.text;
}

bool worker_is_of_other_version(const struct worker *worker)
{
	return strcmp(worker_version(worker), program_version.text) != 0;
}

unsigned worker_incarnation(const struct worker *worker)
{
	return worker->incarnation;
}

uint32_t worker_protocol(const struct worker *worker)
{
	return worker->protocol;
}

uint64_t worker_term(const struct worker *worker)
{
	return worker->term;
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

static bool is_never_gone(struct worker *worker)
{
	worker->ending_ticks = worker->is_dismissed ? worker->ending_ticks + 1 : 0;
	return worker->ending_ticks > WORKER_OWING_TICKS;
}

/* Counted in ticks of our own and not by a clock: a machine or a control process that was stopped for a while has hung nobody. */
static void on_tick(uv_timer_t *timer)
{
	struct supervisor *supervisor = timer->data;
	for (unsigned i = 0; i < supervisor->count; i++) {
		struct worker *worker = &supervisor->workers[i];
		worker_reap(worker);
		if (is_hung(worker))
			worker_kill(worker, "its heartbeat is missing");
		if (worker_owes(worker) || is_never_ready(worker))
			worker_kill(worker, "it does not answer");
		if (is_deaf(worker))
			worker_kill(worker, "it does not read");
		if (is_never_gone(worker))
			worker_kill(worker, "it does not end");
	}
}

static void tell_log_level(struct worker *worker)
{
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_log_level(&writer, log_level_now());
	worker_send(worker, MESSAGE_LOG_LEVEL, &writer, NULL, 0);
}

void supervisor_tell_log_level(struct supervisor *supervisor)
{
	for (unsigned i = 0; i < supervisor->count; i++)
		tell_log_level(&supervisor->workers[i]);
}

void supervisor_set_deadline(struct supervisor *supervisor, uint64_t deadline_ms)
{
	for (unsigned i = 0; i < supervisor->count; i++)
		counter_set(&slots_counters(supervisor->workers[i].slots)->deadline, deadline_ms * 1000000);
}

static int take_counters(struct handover *handover, struct counters **counters)
{
	int descriptor = handover_get_descriptor(handover);
	*counters = descriptor < 0 ? NULL : counters_map(descriptor);
	return *counters == NULL ? -1 : descriptor;
}

static bool resume_worker(struct worker *worker, struct handover *handover)
{
	if (!slots_load(worker->slots, &handover->reader))
		return false;
	uint8_t duty = message_get_u8(&handover->reader);
	bool has_process = message_get_u8(&handover->reader) != 0;
	if (duty > WORKER_RETIRING || duty == WORKER_JOINING)
		return false;
	worker->duty = (enum worker_duty)duty;
	return !has_process || worker_resume(worker, handover);
}

static bool init_worker(struct supervisor *supervisor, unsigned index)
{
	struct worker *worker = &supervisor->workers[index];
	struct handover *handover = supervisor->options.handover;
	struct counters *counters = NULL;
	int descriptor = handover == NULL ? counters_create(&counters) : take_counters(handover, &counters);
	if (descriptor < 0)
		return false;
	*worker = (struct worker){ .supervisor = supervisor,
		                   .index = index,
		                   .first_incarnation = 1,
		                   .slots = slots_create(counters, descriptor, index),
		                   .duty = index < supervisor->options.workers ? WORKER_SERVING : WORKER_SPARE };
	if (worker->slots == NULL)
		return false;
	if (!supervisor->options.is_in_fleet)
		counter_set(&counters->deadline, UINT64_MAX);
	worker->last = &worker->first;
	uv_timer_init(supervisor->loop, &worker->backoff);
	worker->backoff.data = worker;
	return handover == NULL || resume_worker(worker, handover);
}

static void on_child(uv_signal_t *children, int number)
{
	struct supervisor *supervisor = children->data;
	(void)number;
	for (unsigned i = 0; i < supervisor->count; i++)
		worker_reap(&supervisor->workers[i]);
}

static void kill_foreign(struct worker *worker)
{
	char why[160];
	snprintf(why, sizeof(why), "its version %s speaks protocol %u, and this one %u to %u: its connections end", worker_version(worker),
	         worker->protocol, program_version.messages_oldest, program_version.messages);
	worker_kill(worker, why);
}

/* Those of the program before run already. One with which this program cannot talk is replaced at once. */
static void start_all(struct supervisor *supervisor)
{
	bool is_resumed = supervisor->options.handover != NULL;
	supervisor->options.handover = NULL;
	if (is_resumed)
		uv_signal_start(&supervisor->children, on_child, SIGCHLD);
	for (unsigned i = 0; i < supervisor->count; i++) {
		struct worker *worker = &supervisor->workers[i];
		bool must_start = !is_resumed && worker->duty == WORKER_SERVING;
		if (must_start)
			worker_start(worker);
		else if (is_resumed && worker->pid != 0 &&
		         (worker->protocol < program_version.messages_oldest || worker->protocol > program_version.messages))
			kill_foreign(worker);
		else
			tell_log_level(worker);
	}
}

/* Whether it can be written down. A place may be without a process, but none where one is to come or to go. */
static bool is_at_rest(const struct worker *worker)
{
	if (worker->duty == WORKER_SPARE || (worker->duty == WORKER_RETIRING && worker->state == WORKER_ABSENT))
		return true;
	return worker->state == WORKER_READY && !worker->is_dismissed && worker->first == NULL && worker->fault == NULL &&
	       channel_is_quiet(worker->channel);
}

bool supervisor_is_quiet(const struct supervisor *supervisor)
{
	for (unsigned i = 0; i < supervisor->count; i++) {
		const struct worker *worker = &supervisor->workers[i];
		if (!is_at_rest(worker))
			return false;
	}
	return true;
}

void supervisor_pause(struct supervisor *supervisor, bool on)
{
	supervisor->is_paused = on;
	for (unsigned i = 0; i < supervisor->count; i++)
		if (supervisor->workers[i].channel != NULL)
			worker_watch(&supervisor->workers[i]);
}

void supervisor_save(const struct supervisor *supervisor, struct handover *handover)
{
	message_put_u64(&handover->writer, supervisor->restarts);
	for (unsigned i = 0; i < supervisor->count; i++) {
		handover_put_descriptor(handover, slots_descriptor(supervisor->workers[i].slots));
		slots_save(supervisor->workers[i].slots, &handover->writer);
		message_put_u8(&handover->writer, supervisor->workers[i].duty);
		message_put_u8(&handover->writer, worker_has_process(&supervisor->workers[i]));
		if (worker_has_process(&supervisor->workers[i]))
			worker_save(&supervisor->workers[i], handover);
	}
}

struct supervisor *supervisor_create(uv_loop_t *loop, const struct supervisor_options *options, const struct supervisor_events *events,
                                     char failure[512])
{
	assert(events->ready != NULL && events->died != NULL && events->message != NULL);
	struct supervisor *supervisor = calloc(1, sizeof(*supervisor));
	if (supervisor != NULL)
		supervisor->workers = calloc(options->workers + 1, sizeof(*supervisor->workers));
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
	uv_signal_init(loop, &supervisor->children);
	supervisor->tick.data = supervisor->grace.data = supervisor->children.data = supervisor;
	if (options->handover != NULL)
		supervisor->restarts = message_get_u64(&options->handover->reader);
	while (supervisor->count <= options->workers && init_worker(supervisor, supervisor->count))
		supervisor->count++;
	if (supervisor->count <= options->workers)
		snprintf(failure, 512, "cannot create the memory shared with the workers");
	if (supervisor->count > options->workers) {
		start_all(supervisor);
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
	if (worker->duty == WORKER_JOINING)
		worker->duty = WORKER_SERVING;
	supervisor->events.ready(supervisor->events.owner, worker);
	/* Whoever waits for it finds what came with it done, and no descriptor on its way. */
	supervisor->ready_count += worker->duty == WORKER_SERVING;
}

/* Successors. */

struct worker *supervisor_call_successor(struct supervisor *supervisor)
{
	for (unsigned i = 0; i < supervisor->count && !supervisor->stops; i++) {
		struct worker *worker = &supervisor->workers[i];
		if (worker->duty != WORKER_SPARE)
			continue;
		worker->duty = WORKER_JOINING;
		worker->first_incarnation = worker->incarnation + 1;
		worker_start(worker);
		if (worker->state == WORKER_STARTING)
			return worker;
		uv_timer_stop(&worker->backoff);
		worker->duty = WORKER_SPARE;
		return NULL;
	}
	return NULL;
}

void worker_retire(struct worker *worker)
{
	assert(worker->duty == WORKER_SERVING);
	worker->duty = WORKER_RETIRING;
	if (worker->state == WORKER_READY)
		worker->supervisor->ready_count--;
	uv_timer_stop(&worker->backoff);
}

static void tell_to_end(struct worker *worker)
{
	struct message_writer empty;
	message_writer_init(&empty);
	worker_send(worker, MESSAGE_SHUTDOWN, &empty, NULL, 0);
}

void worker_dismiss(struct worker *worker)
{
	assert(worker->duty == WORKER_RETIRING);
	worker->is_dismissed = true;
	tell_to_end(worker);
}

void worker_vacate(struct worker *worker)
{
	assert(worker->duty == WORKER_RETIRING && !worker_has_process(worker));
	struct counters_worker *counters = &slots_counters(worker->slots)->worker;
	counter_set(&counters->resident_bytes, 0);
	counter_set(&counters->memory_used, 0);
	worker->is_dismissed = false;
	worker->duty = WORKER_SPARE;
}

/* Another process is due, unless a successor has come or did not come up. */
static bool is_started_again(struct worker *worker)
{
	bool is_again = worker->duty == WORKER_SERVING;
	if (worker->duty == WORKER_JOINING)
		worker->duty = WORKER_SPARE;
	return is_again;
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
	uv_close((uv_handle_t *)&supervisor->children, NULL);
	if (supervisor->stopped != NULL)
		supervisor->stopped(supervisor->stopped_owner);
}

void supervisor_worker_exited(struct worker *worker)
{
	struct supervisor *supervisor = worker->supervisor;
	worker->state = supervisor->stops ? WORKER_ENDED : WORKER_ABSENT;
	supervisor->restarts += !supervisor->stops && !worker->is_dismissed;
	worker_answer_gone(worker);
	if (supervisor->stops) {
		end_if_all_gone(supervisor);
		return;
	}
	bool is_again = is_started_again(worker);
	if (!worker->is_dismissed)
		supervisor->events.died(supervisor->events.owner, worker);
	if (!is_again)
		return;
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
		tell_to_end(worker);
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
