/* One worker's process and its channel: start, messages in and out, end. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/wall_clock.h"
#include "service/worker/worker_process.h"

static void on_handle_closed(uv_handle_t *handle)
{
	free(handle);
}

static void close_channel(struct worker *worker)
{
	if (worker->poll != NULL)
		uv_close((uv_handle_t *)worker->poll, on_handle_closed);
	worker->poll = NULL;
	channel_free(worker->channel);
	worker->channel = NULL;
}

static void end_process(struct worker *worker)
{
	if (worker->process != NULL) {
		uv_process_kill(worker->process, SIGKILL);
		return;
	}
	/* 0 and less are whole groups of processes. */
	assert(worker->pid > 0);
	(void)kill(worker->pid, SIGKILL);
}

void worker_kill(struct worker *worker, const char *why)
{
	if (worker->state != WORKER_STARTING && worker->state != WORKER_READY)
		return;
	log_line(LOG_WARN, NULL, "ending worker %u: %s", worker->index, why);
	if (worker->state == WORKER_READY && worker->duty == WORKER_SERVING)
		worker->supervisor->ready_count--;
	worker->state = WORKER_DYING;
	close_channel(worker);
	end_process(worker);
}

static bool is_expected_to_end(const struct worker *worker)
{
	return worker->supervisor->stops || worker->is_dismissed;
}

static bool take_prepared(struct worker *worker, struct message_reader *body)
{
	struct worker_reply reply = { .type = MESSAGE_PREPARED };
	if (!message_decode_prepared(body, &reply.prepared))
		return false;
	const struct message_ack *ack = &reply.prepared.ack;
	return worker_answer(worker, &reply, ack->request, ack->slot, ack->generation);
}

static bool take_done(struct worker *worker, struct message_reader *body)
{
	struct worker_reply reply = { .type = MESSAGE_DONE };
	if (!message_decode_ack(body, &reply.ack))
		return false;
	return worker_answer(worker, &reply, reply.ack.request, reply.ack.slot, reply.ack.generation);
}

/* A probe's result is an answer when it has a request's number, else news. */
static bool take_probed(struct worker *worker, struct message_reader *body)
{
	struct message_reader again = *body;
	struct worker_reply reply = { .type = MESSAGE_PROBED };
	if (!message_decode_probed(body, &reply.probed))
		return false;
	if (!worker->supervisor->events.message(worker->supervisor->events.owner, worker, MESSAGE_PROBED, &again))
		return false;
	return reply.probed.request == 0 || worker_answer(worker, &reply, reply.probed.request, reply.probed.slot, reply.probed.generation);
}

static bool take_queried(struct worker *worker, struct message_reader *body)
{
	struct worker_reply reply = { .type = MESSAGE_QUERIED };
	return query_decode_answer(body, &reply.queried) && worker_answer(worker, &reply, reply.queried.request, 0, 0);
}

static bool take_forgotten(struct worker *worker, struct message_reader *body)
{
	struct worker_reply reply = { .type = MESSAGE_POOL_FORGOTTEN };
	const struct message_ack *ack = &reply.forgotten.ack;
	return pool_forgotten_decode(body, &reply.forgotten) && worker_answer(worker, &reply, ack->request, ack->slot, ack->generation);
}

static bool take_counted(struct worker *worker, struct message_reader *body)
{
	struct worker_reply reply = { .type = MESSAGE_POOL_COUNTED };
	const struct message_ack *ack = &reply.counted.ack;
	return pool_counted_decode(body, &reply.counted) && worker_answer(worker, &reply, ack->request, ack->slot, ack->generation);
}

static bool take_message(struct worker *worker, enum message_type type, struct message_reader *body)
{
	struct supervisor *supervisor = worker->supervisor;
	if (type == MESSAGE_PREPARED)
		return take_prepared(worker, body);
	if (type == MESSAGE_DONE)
		return take_done(worker, body);
	if (type == MESSAGE_PROBED)
		return take_probed(worker, body);
	if (type == MESSAGE_QUERIED)
		return take_queried(worker, body);
	if (type == MESSAGE_POOL_FORGOTTEN)
		return take_forgotten(worker, body);
	if (type == MESSAGE_POOL_COUNTED)
		return take_counted(worker, body);
	if (type != MESSAGE_READY)
		return supervisor->events.message(supervisor->events.owner, worker, type, body);
	if (worker->state != WORKER_STARTING || body->left != 0)
		return false;
	supervisor_worker_ready(worker);
	return true;
}

static bool on_message(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	struct worker *worker = owner;
	(void)descriptors;
	(void)count;
	if (!allowance_take(&worker->messages, WORKER_MESSAGES_PER_SECOND, WORKER_MESSAGES_BURST, uv_now(worker->supervisor->loop)))
		worker->fault = "it sends too many messages";
	else if (!take_message(worker, type, body))
		worker->fault = "it sent a message that breaks the protocol";
	return worker->fault == NULL;
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
	struct worker *worker = poll->data;
	int result = status < 0 ? CHANNEL_CLOSED : CHANNEL_OK;
	if (result == CHANNEL_OK && (events & UV_WRITABLE))
		result = channel_flush(worker->channel);
	if (result == CHANNEL_OK && (events & UV_READABLE))
		result = channel_read(worker->channel, on_message, worker);
	if (worker->channel == NULL)
		return;
	if (worker->fault != NULL)
		worker_kill(worker, worker->fault);
	else if (result == CHANNEL_PROTOCOL)
		worker_kill(worker, "it sent bytes that are not a message");
	else if (result != CHANNEL_OK && is_expected_to_end(worker))
		close_channel(worker); /* as it was told; its exit is still to come */
	else if (result != CHANNEL_OK)
		worker_kill(worker, "its channel is closed");
	else
		worker_watch(worker);
}

void worker_watch(struct worker *worker)
{
	int events = (worker->supervisor->is_paused ? 0 : UV_READABLE) | (channel_wants_write(worker->channel) ? UV_WRITABLE : 0);
	if (events != 0)
		uv_poll_start(worker->poll, events, on_channel);
	else
		uv_poll_stop(worker->poll);
}

void worker_send(struct worker *worker, enum message_type type, struct message_writer *writer, const int *descriptors, size_t count)
{
	if (worker->channel == NULL) {
		for (size_t i = 0; i < count; i++)
			close(descriptors[i]);
		message_writer_clear(writer);
		return;
	}
	int result = channel_send(worker->channel, type, writer, descriptors, count);
	/* A worker that missed a message is in a state that nobody knows: it is replaced. Not here, where a caller is in the middle of
	 * something, but in the next turn, by closing its end of the channel. */
	if (result != CHANNEL_OK)
		shutdown(channel_descriptor(worker->channel), SHUT_RDWR);
	if (result == CHANNEL_FULL)
		worker->fault = "it does not read";
	worker_watch(worker);
}

size_t worker_queued_bytes(const struct worker *worker)
{
	return worker->channel == NULL ? 0 : channel_queued_bytes(worker->channel);
}

size_t worker_queued_descriptors(const struct worker *worker)
{
	return worker->channel == NULL ? 0 : channel_queued_descriptors(worker->channel);
}

/* What it told last. Nobody holds the other end any more, so that this ends. */
static void read_rest(struct worker *worker)
{
	while (worker->channel != NULL && worker->fault == NULL && channel_read(worker->channel, on_message, worker) == CHANNEL_OK)
		continue;
}

static void take_exit(struct worker *worker, int status, int signal)
{
	worker->pid = 0;
	if (!is_expected_to_end(worker))
		log_line(LOG_ERROR, NULL, "worker %u %s (%s %d); a new one takes its tunnels", worker->index, signal != 0 ? "was killed" : "ended",
		         signal != 0 ? "signal" : "status", signal != 0 ? signal : status);
	if (worker->state == WORKER_READY && worker->duty == WORKER_SERVING)
		worker->supervisor->ready_count--;
	if (is_expected_to_end(worker))
		read_rest(worker);
	close_channel(worker);
	supervisor_worker_exited(worker);
}

static void on_process_exit(uv_process_t *process, int64_t status, int signal)
{
	struct worker *worker = process->data;
	uv_close((uv_handle_t *)process, on_handle_closed);
	worker->process = NULL;
	take_exit(worker, (int)status, signal);
}

void worker_reap(struct worker *worker)
{
	int status = 0;
	if (worker->process != NULL || worker->pid == 0 || waitpid(worker->pid, &status, WNOHANG) != worker->pid)
		return;
	take_exit(worker, WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

struct arguments {
	char text[8][32];
	char *list[18];
};

static void write_arguments(const struct worker *worker, struct arguments *arguments)
{
	const struct supervisor_options *options = &worker->supervisor->options;
	static const char *const levels[] = { [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug" };
	static char program[] = "warrend", kind[] = "worker", index[] = "--index", parent[] = "--control-pid", level[] = "--log-level",
		    format[] = "--log-format", budget[] = "--memory-budget", gso[] = "--gso", log[] = "--access-log", lock[] = "--require-lock",
		    aead[] = "--aead", json[] = "json", text[] = "text";
	size_t n = 0;
	snprintf(arguments->text[0], 32, "%u", worker->index);
	snprintf(arguments->text[1], 32, "%d", (int)getpid());
	snprintf(arguments->text[2], 32, "%s", levels[log_level_now()]);
	snprintf(arguments->text[3], 32, "%zu", options->memory_budget);
	snprintf(arguments->text[4], 32, "%s", aead_backend_name(options->aead));
	char *const list[] = { program, kind,
		               index,   arguments->text[0],
		               parent,  arguments->text[1],
		               level,   arguments->text[2],
		               format,  options->log_json ? json : text,
		               budget,  arguments->text[3],
		               aead,    arguments->text[4] };
	for (; n < sizeof(list) / sizeof(list[0]); n++)
		arguments->list[n] = list[n];
	if (options->gso)
		arguments->list[n++] = gso;
	if (options->access_log)
		arguments->list[n++] = log;
	if (options->require_lock)
		arguments->list[n++] = lock;
	arguments->list[n] = NULL;
}

static int spawn(struct worker *worker, int channel_end)
{
	struct arguments arguments = { .list = { NULL } };
	write_arguments(worker, &arguments);
	static char nothing[] = "PATH=/nonexistent";
	char *environment[] = { nothing, NULL };
	uv_stdio_container_t stdio[] = {
		{ .flags = UV_IGNORE },
		{ .flags = UV_IGNORE },
		{ .flags = UV_INHERIT_FD, .data.fd = 2 },
		{ .flags = UV_INHERIT_FD, .data.fd = channel_end },
		{ .flags = UV_INHERIT_FD, .data.fd = slots_descriptor(worker->slots) },
	};
	uv_process_options_t options = {
		.exit_cb = on_process_exit, .file = "/proc/self/exe", .args = arguments.list, .env = environment, .stdio_count = 5, .stdio = stdio
	};
	worker->process->data = worker;
	return uv_spawn(worker->supervisor->loop, worker->process, &options);
}

/* Takes the descriptor. */
static bool watch_channel(struct worker *worker, int descriptor)
{
	worker->channel = channel_create(descriptor, false);
	if (worker->channel == NULL)
		return false;
	worker->poll = calloc(1, sizeof(*worker->poll));
	if (worker->poll != NULL && uv_poll_init(worker->supervisor->loop, worker->poll, channel_descriptor(worker->channel)) == 0) {
		worker->poll->data = worker;
		return true;
	}
	free(worker->poll);
	worker->poll = NULL;
	close_channel(worker);
	return false;
}

static bool open_channel(struct worker *worker, int ends[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return false;
	if (watch_channel(worker, ends[0]))
		return true;
	close(ends[1]);
	return false;
}

static void on_backoff(uv_timer_t *timer)
{
	worker_start(timer->data);
}

void worker_start_in(struct worker *worker, uint64_t delay_ms)
{
	uv_timer_start(&worker->backoff, on_backoff, delay_ms, 0);
}

static void begin_watching(struct worker *worker)
{
	uv_update_time(worker->supervisor->loop);
	worker->spawned_at = uv_now(worker->supervisor->loop);
	worker->heartbeat = counter_read(&slots_counters(worker->slots)->worker.heartbeat);
	worker->silent_ticks = worker->starting_ticks = worker->ending_ticks = worker->deaf_ticks = 0;
	worker->sent = 0;
	worker->messages = worker->renewals = worker->lines = (struct allowance){ 0 };
	worker->fault = NULL;
}

void worker_save(const struct worker *worker, struct handover *handover)
{
	handover_put_descriptor(handover, channel_descriptor(worker->channel));
	message_put_u32(&handover->writer, worker->protocol);
	message_put_u32(&handover->writer, (uint32_t)worker->pid);
	message_put_u32(&handover->writer, worker->incarnation);
	message_put_u32(&handover->writer, worker->first_incarnation);
	message_put_u64(&handover->writer, worker->term);
	message_put_u64(&handover->writer, worker->next_number);
	message_put_text(&handover->writer, worker_version(worker), PROGRAM_VERSION_SIZE);
}

bool worker_resume(struct worker *worker, struct handover *handover)
{
	int descriptor = handover_get_descriptor(handover);
	begin_watching(worker);
	worker->protocol = message_get_u32(&handover->reader);
	worker->pid = (pid_t)message_get_u32(&handover->reader);
	worker->incarnation = message_get_u32(&handover->reader);
	worker->first_incarnation = message_get_u32(&handover->reader);
	worker->term = message_get_u64(&handover->reader);
	worker->next_number = message_get_u64(&handover->reader);
	message_get_text(&handover->reader, worker->taken_version, sizeof(worker->taken_version));
	worker->is_taken_over = true;
	if (handover->reader.failed || worker->pid <= 0 || !watch_channel(worker, descriptor))
		return false;
	worker->state = WORKER_READY;
	worker->supervisor->ready_count += worker->duty == WORKER_SERVING;
	worker_watch(worker);
	return true;
}

void worker_start(struct worker *worker)
{
	int ends[2];
	begin_watching(worker);
	worker->state = WORKER_ABSENT;
	worker->protocol = program_version.messages;
	worker->is_taken_over = false;
	worker->incarnation++;
	uint64_t now_ms = (uint64_t)wall_clock_ms();
	worker->term = now_ms > worker->term ? now_ms : worker->term + 1;
	worker->process = calloc(1, sizeof(*worker->process));
	if (worker->process == NULL || !open_channel(worker, ends)) {
		log_line(LOG_ERROR, NULL, "worker %u cannot be started: %s", worker->index, strerror(errno));
		free(worker->process);
		worker->process = NULL;
		worker_start_in(worker, WORKER_BACKOFF_MS);
		return;
	}
	int result = spawn(worker, ends[1]);
	close(ends[1]);
	if (result == 0) {
		worker->state = WORKER_STARTING;
		worker->pid = uv_process_get_pid(worker->process);
		worker_watch(worker);
		return;
	}
	log_line(LOG_ERROR, NULL, "worker %u cannot be started: %s", worker->index, uv_strerror(result));
	uv_close((uv_handle_t *)worker->process, on_handle_closed);
	worker->process = NULL;
	close_channel(worker);
	worker_start_in(worker, WORKER_BACKOFF_MS);
}
