/* The composition of the control plane, its loop and its end. */
#include "service/service.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/wall_clock.h"
#include "service/change/mutations.h"
#include "service/restorer.h"
#include "service/spec/json_reader.h"
#include "service/store/checkpointer.h"
#include "service/store/state_dir.h"
#include "service/worker/broker.h"
#include "service/worker/peer_lookup.h"
#include "service/worker/placement.h"
#include "service/worker/protection.h"
#include "service/worker/report.h"

#define EVENTS_KEPT 16384
#define CHECKPOINT_TICKS 100 /* every 10 s */
#define LOOKUP_TICKS 50      /* every 5 s */
#define TICK_MS 100
#define STOP_TICKS 15      /* 1.5 s for what is under way */
#define STOP_GRACE_MS 1500 /* for the workers */

struct service {
	struct service_options options;
	uv_loop_t loop;
	struct state_dir state_dir;
	struct events *events;
	struct lock_queue *locks;
	struct registry *registry;
	struct slot_table *slots;
	struct token_table *tokens;
	struct store *store;
	struct checkpointer *checkpointer;
	struct supervisor *supervisor;
	struct endpoint_resolver *resolver;
	struct protection *protection;
	struct provisioner *provisioner;
	struct broker *broker;
	struct restorer *restorer;
	struct mutations *mutations;
	/* Of borrowed pointers to the above. */
	struct socket_roots roots; /* the state directory's and those of the options */
	struct policy policy;
	struct peer_lookup_means lookups;
	struct report report;

	uv_async_t wake; /* for changes, results of the store, or a stop. Any thread */
	uv_timer_t tick;
	unsigned ticks;
	bool is_announced; /* announce_ready was called */
	_Atomic bool wants_stop;
	bool is_stopping;
	unsigned stop_ticks;
};

static void on_worker_ready(void *owner, struct worker *worker)
{
	struct service *service = owner;
	for (uint32_t slot = 0; slot < COUNTERS_TUNNELS; slot++) {
		struct entry *entry = slot_table_at(service->slots, worker_index(worker), slot);
		if (entry != NULL)
			provisioner_start(service->provisioner, entry);
	}
	log_line(LOG_INFO, NULL, "worker %u is ready", worker_index(worker));
	mutations_check_workers(service->mutations);
}

static void on_worker_died(void *owner, struct worker *worker)
{
	struct service *service = owner;
	const struct placement_means placement = { .supervisor = service->supervisor,
		                                   .registry = service->registry,
		                                   .locks = service->locks,
		                                   .slots = service->slots,
		                                   .provisioner = service->provisioner };
	broker_forget(service->broker, worker);
	report_worker_died(&service->report, worker);
	if (!service->is_stopping)
		placement_move_surplus(&placement, worker);
}

static bool on_worker_message(void *owner, struct worker *worker, enum message_type type, struct message_reader *body)
{
	struct service *service = owner;
	return report_take(&service->report, worker, type, body);
}

static void on_told(void *owner, const struct entry *entry)
{
	struct service *service = owner;
	mutations_check_suspended_of(service->mutations, entry->id);
}

static void on_workers_gone(void *owner)
{
	struct service *service = owner;
	uv_timer_stop(&service->tick);
	uv_stop(&service->loop);
}

static void end_workers(struct service *service)
{
	supervisor_stop(service->supervisor, STOP_GRACE_MS, on_workers_gone, service);
}

static void begin_stop(struct service *service)
{
	service->is_stopping = true;
	log_line(LOG_INFO, NULL, "ending");
	mutations_stop(service->mutations);
}

static void on_wake(uv_async_t *wake)
{
	struct service *service = wake->data;
	if (service->wants_stop && !service->is_stopping)
		begin_stop(service);
	store_collect(service->store);
	mutations_run(service->mutations);
}

static void on_tick(uv_timer_t *timer)
{
	struct service *service = timer->data;
	service->ticks++;
	if (!service->is_announced && service_is_ready(service)) {
		service->is_announced = true;
		if (service->options.announce_ready != NULL)
			service->options.announce_ready();
	}
	if (service->options.announce_alive != NULL)
		service->options.announce_alive();
	restorer_tick(service->restorer);
	provisioner_tick(service->provisioner, service->supervisor);
	mutations_check_workers(service->mutations);
	mutations_check_suspended(service->mutations);
	if (service->ticks % LOOKUP_TICKS == 0)
		peer_lookup_retry(&service->lookups);
	if (service->ticks % CHECKPOINT_TICKS == 0 || checkpointer_is_urgent(service->checkpointer))
		checkpointer_write(service->checkpointer);
	if (!service->is_stopping || service->stop_ticks > STOP_TICKS)
		return;
	/* Changes in progress are given a moment to finish. */
	service->stop_ticks++;
	if (!mutations_are_under_way(service->mutations) || service->stop_ticks == STOP_TICKS) {
		service->stop_ticks = STOP_TICKS + 1;
		end_workers(service);
	}
}

static void wake_up(void *owner)
{
	struct service *service = owner;
	uv_async_send(&service->wake);
}

static bool take_token(void *owner, struct database_token *token)
{
	return token_table_load(owner, token);
}

static bool copy_options(struct service *service, const struct service_options *options)
{
	service->options = *options;
	if (options->workers == 0) {
		long count = sysconf(_SC_NPROCESSORS_ONLN);
		service->options.workers = count < 1 ? 1 : (unsigned)count;
	}
	/* One more: the state directory's own. */
	service->options.allow_socket = calloc(options->allow_socket_count + 1, sizeof(char *));
	service->options.allow_socket_count = 0;
	for (size_t i = 0; service->options.allow_socket != NULL && i < options->allow_socket_count; i++) {
		char *copy = strdup(options->allow_socket[i]);
		if (copy == NULL)
			return false;
		service->options.allow_socket[service->options.allow_socket_count++] = copy;
	}
	char **list = service->options.allow_socket;
	if (list == NULL || asprintf(&list[service->options.allow_socket_count], "%s/sockets", options->state_dir) < 0)
		return false;
	service->roots = (struct socket_roots){ .list = list, .count = ++service->options.allow_socket_count };
	return true;
}

/* What needs neither the disk nor a worker. */
static bool make_parts(struct service *service)
{
	/* Microseconds, so that ids after a restart are greater and cannot be mistaken for earlier ones. */
	service->events = events_create(EVENTS_KEPT, (uint64_t)wall_clock_ms() * 1000);
	service->tokens = token_table_create();
	service->locks = lock_queue_create();
	service->registry = registry_create(service->locks);
	service->slots = slot_table_create(service->options.workers);
	service->protection = protection_create(service->registry);
	service->mutations = mutations_create();
	return service->events != NULL && service->tokens != NULL && service->locks != NULL && service->registry != NULL && service->slots != NULL &&
	       service->protection != NULL && service->mutations != NULL;
}

static bool make_worker_parts(struct service *service)
{
	const struct provisioner_means provisioning = {
		.registry = service->registry, .locks = service->locks, .slots = service->slots, .events = service->events
	};
	service->resolver = endpoint_resolver_create(&service->loop);
	service->provisioner = provisioner_create(&provisioning, service->options.workers);
	service->policy =
	    (struct policy){ .protection = service->protection, .roots = &service->roots, .allow_remote = service->options.allow_remote };
	service->lookups = (struct peer_lookup_means){
		.loop = &service->loop, .resolver = service->resolver, .registry = service->registry, .locks = service->locks
	};
	const struct restorer_means restoring = { .loop = &service->loop,
		                                  .registry = service->registry,
		                                  .locks = service->locks,
		                                  .slots = service->slots,
		                                  .events = service->events,
		                                  .provisioner = service->provisioner,
		                                  .lookups = &service->lookups,
		                                  .policy = &service->policy,
		                                  .roots = &service->roots };
	const struct broker_means brokering = { .loop = &service->loop,
		                                .registry = service->registry,
		                                .locks = service->locks,
		                                .slots = service->slots,
		                                .resolver = service->resolver,
		                                .protection = service->protection,
		                                .roots = &service->roots };
	service->restorer = restorer_create(&restoring);
	service->broker = broker_create(&brokering, service->options.workers);
	return service->resolver != NULL && service->provisioner != NULL && service->restorer != NULL && service->broker != NULL;
}

static bool open_store(struct service *service, char failure[512])
{
	const struct store_loader loader = {
		.take_tunnel = restorer_take, .tunnels = service->restorer, .take_token = take_token, .tokens = service->tokens
	};
	service->store = store_open(service->state_dir.path, NULL, &loader, wake_up, service, failure);
	if (service->store == NULL)
		return false;
	service->checkpointer = checkpointer_create(service->registry, service->store);
	if (service->checkpointer == NULL)
		snprintf(failure, 512, "out of memory");
	return service->checkpointer != NULL;
}

static bool start_workers(struct service *service, char failure[512])
{
	const struct supervisor_events events = { .ready = on_worker_ready, .died = on_worker_died, .message = on_worker_message, .owner = service };
	const struct service_options *options = &service->options;
	const struct supervisor_options workers = { .workers = options->workers,
		                                    .gso = options->gso,
		                                    .require_lock = options->require_lock,
		                                    .log_json = options->log_json,
		                                    .memory_budget = options->memory_budget };
	service->supervisor = supervisor_create(&service->loop, &workers, &events, failure);
	return service->supervisor != NULL;
}

static void connect_parts(struct service *service)
{
	service->report = (struct report){ .slots = service->slots,
		                           .events = service->events,
		                           .checkpointer = service->checkpointer,
		                           .broker = service->broker,
		                           .lookups = &service->lookups,
		                           .told = on_told,
		                           .owner = service };
	const struct mutation_means means = { .loop = &service->loop,
		                              .registry = service->registry,
		                              .locks = service->locks,
		                              .slots = service->slots,
		                              .events = service->events,
		                              .store = service->store,
		                              .tokens = service->tokens,
		                              .supervisor = service->supervisor,
		                              .provisioner = service->provisioner,
		                              .lookups = &service->lookups,
		                              .policy = &service->policy,
		                              .roots = &service->roots };
	mutations_start(service->mutations, &means);
}

static bool start_parts(struct service *service, char failure[512])
{
	if (!make_worker_parts(service)) {
		snprintf(failure, 512, "out of memory");
		return false;
	}
	if (!open_store(service, failure) || !start_workers(service, failure))
		return false;
	connect_parts(service);
	uv_timer_start(&service->tick, on_tick, TICK_MS, TICK_MS);
	restorer_start(service->restorer, service->supervisor);
	return true;
}

struct service *service_create(const struct service_options *options, char failure[512])
{
	struct service *service = sodium_init() < 0 ? NULL : calloc(1, sizeof(*service));
	if (service == NULL) {
		snprintf(failure, 512, "the service cannot be started: no memory or no random numbers");
		return NULL;
	}
	service->state_dir.lock = -1;
	json_reader_start();
	if (uv_loop_init(&service->loop) != 0) {
		snprintf(failure, 512, "cannot create the event loop");
		free(service);
		return NULL;
	}
	uv_async_init(&service->loop, &service->wake, on_wake);
	uv_timer_init(&service->loop, &service->tick);
	service->wake.data = service->tick.data = service;
	if (!copy_options(service, options) || !make_parts(service))
		snprintf(failure, 512, "out of memory");
	else if (state_dir_open(&service->state_dir, options->state_dir, failure)) {
		if (options->confine != NULL)
			options->confine(options->confine_owner);
		if (start_parts(service, failure))
			return service;
	}
	service_free(service);
	return NULL;
}

void service_run(struct service *service)
{
	uv_run(&service->loop, UV_RUN_DEFAULT);
	mutations_run(service->mutations);
	/* What was under way when the workers went: it fails now, or is on the disk already and done. */
	do {
		mutations_check_workers(service->mutations);
		store_drain(service->store);
	} while (mutations_are_under_way(service->mutations));
	checkpointer_write(service->checkpointer);
	store_drain(service->store);
}

void service_stop(struct service *service)
{
	service->wants_stop = true;
	uv_async_send(&service->wake);
}

bool service_is_ready(const struct service *service)
{
	return restorer_is_done(service->restorer) && supervisor_ready_count(service->supervisor) == service->options.workers && !service->wants_stop;
}

static void on_any_handle(uv_handle_t *handle, void *owner)
{
	(void)owner;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void free_options(struct service *service)
{
	for (size_t i = 0; i < service->options.allow_socket_count; i++)
		free(service->options.allow_socket[i]);
	free(service->options.allow_socket);
}

/* A start that failed half-way has workers to end. */
static void end_started(struct service *service)
{
	if (service->supervisor == NULL || service->is_stopping)
		return;
	begin_stop(service);
	end_workers(service);
	uv_run(&service->loop, UV_RUN_DEFAULT);
}

/* Once the loop has run out. */
static void free_parts(struct service *service)
{
	supervisor_free(service->supervisor);
	broker_free(service->broker);
	restorer_free(service->restorer);
	provisioner_free(service->provisioner);
	protection_free(service->protection);
	checkpointer_free(service->checkpointer);
	slot_table_free(service->slots);
	mutations_free(service->mutations);
	events_free(service->events);
	token_table_free(service->tokens);
	lock_queue_free(service->locks);
	state_dir_close(&service->state_dir);
	free_options(service);
}

void service_free(struct service *service)
{
	if (service == NULL)
		return;
	end_started(service);
	store_close(service->store);
	for (unsigned i = 0; service->supervisor != NULL && i < supervisor_count(service->supervisor); i++)
		broker_forget(service->broker, supervisor_worker(service->supervisor, i));
	for (size_t i = 0; service->registry != NULL && i < registry_count(service->registry); i++)
		peer_lookup_end_all(registry_at(service->registry, i));
	registry_free(service->registry);
	endpoint_resolver_free(service->resolver);
	uv_walk(&service->loop, on_any_handle, NULL);
	uv_run(&service->loop, UV_RUN_DEFAULT);
	uv_loop_close(&service->loop);
	free_parts(service);
	free(service);
}

void service_submit(struct service *service, struct mutation *mutation)
{
	mutations_submit(service->mutations, mutation);
	uv_async_send(&service->wake);
}

bool service_protect(struct service *service, const struct sockaddr *address)
{
	return protection_add_address(service->protection, address);
}

bool service_protect_path(struct service *service, const char *path)
{
	return protection_add_path(service->protection, path);
}

bool service_has_process(const struct service *service, pid_t pid)
{
	return pid == getpid() || supervisor_has_process(service->supervisor, pid);
}

unsigned service_token_scope(struct service *service, const char *token)
{
	return token_table_scope(service->tokens, token);
}

json_t *service_token_list(struct service *service)
{
	return token_table_list(service->tokens);
}

struct snapshot *service_find(struct service *service, const char *id)
{
	return registry_find(service->registry, id);
}

bool service_find_twin(struct service *service, const struct snapshot *snapshot, char id[64])
{
	return tunnel_list_find_twin(service->registry, snapshot, id);
}

size_t service_list(struct service *service, const struct tunnel_list_filter *filter, struct snapshot ***snapshots, bool *more)
{
	return tunnel_list_read(service->registry, filter, snapshots, more);
}

void service_worker_stats(struct service *service, struct service_worker_stats *stats)
{
	struct supervisor *supervisor = service->supervisor;
	*stats = (struct service_worker_stats){ .restarts = supervisor_restarts(supervisor),
		                                .workers = supervisor_count(supervisor),
		                                .workers_ready = supervisor_ready_count(supervisor) };
	for (unsigned i = 0; i < stats->workers; i++) {
		const struct counters_worker *counters = &slots_counters(worker_slots(supervisor_worker(supervisor, i)))->worker;
		for (size_t k = 0; k < COUNTERS_BUCKETS; k++)
			stats->connect_buckets[k] += counter_read(&counters->connect_buckets[k]);
		stats->connect_count += counter_read(&counters->connect_count);
		stats->connect_sum += (double)counter_read(&counters->connect_sum_us) / 1e6;
	}
}

struct events *service_events(struct service *service)
{
	return service->events;
}
