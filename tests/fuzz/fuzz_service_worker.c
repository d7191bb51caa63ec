/* What a worker that was broken into writes, against a whole service: its supervisor, registry, store, grants and events. No process is started;
 * this one holds the worker's end of the channel. It answers what is asked like an honest worker, besides the messages of the input.
 *
 * An input is a row of frames: type, form, length and that many bytes. The form says what is put before the bytes, so that messages meet the
 * tunnel that is there: nothing, its slot and generation, or a request's number and these; or that the frame is cut short. */
#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/log.h"
#include "service/service.h"
#include "service/worker/worker_process.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_uv_spawn(uv_loop_t *loop, uv_process_t *process, const uv_process_options_t *options);
int __wrap_uv_process_kill(uv_process_t *process, int signal);

#define DESCRIPTORS_MOST 400

enum form { FORM_RAW, FORM_TUNNEL, FORM_REQUEST, FORM_CUT, FORM_COUNT };

static struct service *service;
static uv_loop_t *service_loop;
static struct worker *worker; /* as the service has it */
static struct channel *end;   /* the worker's */
static uv_process_t *process;
static uv_exit_cb exited;
static bool is_killed, is_done;
static uint32_t slot;
static uint64_t generation;

/* The handle is one that can be closed; a check of libuv is smaller than a process of it. */
int __wrap_uv_spawn(uv_loop_t *loop, uv_process_t *handle, const uv_process_options_t *options)
{
	static_assert(sizeof(uv_check_t) <= sizeof(uv_process_t), "the one fits in the other's memory");
	uv_check_init(loop, (uv_check_t *)(void *)handle);
	end = channel_create(fcntl(options->stdio[3].data.fd, F_DUPFD_CLOEXEC, 3), true);
	process = handle;
	service_loop = loop;
	worker = handle->data;
	exited = options->exit_cb;
	is_killed = false;
	return end == NULL ? UV_ENOMEM : 0;
}

int __wrap_uv_process_kill(uv_process_t *handle, int signal)
{
	(void)handle;
	(void)signal;
	is_killed = true;
	return 0;
}

static void say(enum message_type type, struct message_writer *writer)
{
	if (is_killed)
		message_writer_clear(writer);
	else if (channel_send(end, type, writer, NULL, 0) != CHANNEL_OK)
		is_killed = true;
}

static void answer_prepare(struct message_reader *body)
{
	struct message_prepare message;
	struct message_writer writer;
	if (!message_decode_prepare(body, &message))
		abort();
	struct message_prepared reply = { .ack = { message.request, message.slot, message.generation, MESSAGE_STATUS_OK } };
	slot = message.slot;
	generation = message.generation;
	message_prepare_clear(&message);
	message_writer_init(&writer);
	message_encode_prepared(&writer, &reply);
	say(MESSAGE_PREPARED, &writer);
}

static bool on_message(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	struct message_ack ack;
	struct message_writer writer;
	(void)owner;
	(void)descriptors;
	(void)count;
	message_writer_init(&writer);
	if (type == MESSAGE_PREPARE) {
		answer_prepare(body);
	} else if (type != MESSAGE_GRANTED && message_decode_ack(body, &ack)) {
		message_encode_ack(&writer, &ack);
		say(MESSAGE_DONE, &writer);
	}
	return true;
}

static void turn(void)
{
	counter_add(&slots_counters(worker_slots(worker))->worker.heartbeat, 1);
	uv_run(service_loop, UV_RUN_NOWAIT);
	if (!is_killed && (channel_flush(end) != CHANNEL_OK || channel_read(end, on_message, NULL) != CHANNEL_OK))
		is_killed = true;
}

static void be_ready(void)
{
	struct message_writer writer;
	message_writer_init(&writer);
	say(MESSAGE_READY, &writer);
}

/* The process ends, and the next one starts without the pause of a second. */
static void replace(void)
{
	channel_free(end);
	exited(process, 0, SIGKILL);
	uv_timer_stop(&worker->backoff);
	if (worker->state == WORKER_ABSENT)
		worker_start(worker);
	be_ready();
	for (int i = 0; i < 4; i++)
		turn();
}

static void on_done(struct mutation *mutation, void *owner)
{
	(void)owner;
	assert(mutation->problem.code == PROBLEM_NONE && mutation->operations[0].problem.code == PROBLEM_NONE);
	is_done = true;
}

static void create_tunnel(unsigned port)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	assert(mutation != NULL);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->operations[0].kind = OPERATION_CREATE;
	snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "a");
	mutation->operations[0].document =
	    json_pack("{s:{s:{s:b,s:[s]},s:[{s:s,s:s,s:[s]}],s:{s:[s]},s:[{s:s,s:s,s:s,s:o}]}}", "spec", "interface", "generate_private_key", 1,
	              "addresses", "10.0.0.2", "peers", "public_key", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "endpoint", "192.0.2.1:1",
	              "allowed_ips", "0.0.0.0/0", "proxy", "listen", "127.0.0.1:0", "forwards", "name", "w", "direction", "inbound", "listen",
	              "10.0.0.2:80", "target", json_sprintf("127.0.0.1:%u", port));
	mutation->done = on_done;
	service_submit(service, access_whole(), mutation);
	while (!is_done)
		turn();
	mutation_free(mutation);
}

static unsigned listen_on_loopback(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 1) == 0);
	assert(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
	return ntohs(address.sin_port);
}

static char directory[] = "/tmp/warren-fuzz-XXXXXX";

static void remove_directory(void)
{
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	if (system(command) != 0)
		perror(directory);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct service_options options = { .workers = 1, .access_log = "/dev/null" };
	char failure[512];
	(void)argc;
	(void)argv;
	log_start(LOG_ERROR, false, "control");
	assert(mkdtemp(directory) != NULL && atexit(remove_directory) == 0);
	snprintf(options.state_dir, sizeof(options.state_dir), "%s", directory);
	service = service_create(&options, failure);
	assert(service != NULL);
	be_ready();
	while (!service_is_ready(service))
		turn();
	create_tunnel(listen_on_loopback());
	return 0;
}

static void put_frame(enum message_type type, enum form form, const uint8_t *bytes, size_t length)
{
	struct {
		uint32_t length;
		uint16_t type, descriptors;
	} head = { .type = (uint16_t)type };
	uint8_t frame[sizeof(head) + 20 + 255];
	size_t at = sizeof(head);
	static uint64_t request;
	if (form == FORM_REQUEST) {
		request++;
		memcpy(frame + at, &request, sizeof(request));
		at += sizeof(request);
	}
	if (form == FORM_REQUEST || form == FORM_TUNNEL) {
		memcpy(frame + at, &slot, sizeof(slot));
		memcpy(frame + at + sizeof(slot), &generation, sizeof(generation));
		at += sizeof(slot) + sizeof(generation);
	}
	memcpy(frame + at, bytes, length);
	at += length;
	head.length = (uint32_t)(at - sizeof(head)) + (form == FORM_CUT ? 100000u : 0);
	memcpy(frame, &head, sizeof(head));
	/* What does not go is lost, as it is for a worker whose socket is full. */
	(void)!send(channel_descriptor(end), frame, at, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool has_few_descriptors(void)
{
	int next = dup(STDERR_FILENO);
	close(next);
	return next >= 0 && next < DESCRIPTORS_MOST;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t at = 0; size - at >= 3 && !is_killed;) {
		size_t length = data[at + 2] < size - at - 3 ? data[at + 2] : size - at - 3;
		put_frame((enum message_type)data[at], (enum form)(data[at + 1] % FORM_COUNT), data + at + 3, length);
		at += 3 + length;
		turn();
	}
	for (int i = 0; i < 3; i++)
		turn();
	if (is_killed)
		replace();
	assert(has_few_descriptors());
	return 0;
}
