/* The composition of the control plane, its loop and its end. */
#include "service/service.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/endpoint.h"
#include "ipc/log.h"
#include "service/registry/wall_clock.h"
#include "service/service_private.h"
#include "service/worker/peer_lookup.h"

#define EVENTS_KEPT 16384
#define CHECKPOINT_TICKS 100 /* every 10 s */
#define STOP_TICKS 15        /* 1.5 s for what is under way */
#define STOP_GRACE_MS 1500   /* for the workers */

struct entry *service_seated(struct service *service, struct worker *worker, uint32_t slot)
{
	return slot < COUNTERS_TUNNELS ? service->seated[worker_index(worker)][slot] : NULL;
}

void service_seat(struct service *service, struct entry *entry)
{
	service->seated[worker_index(entry->worker)][slot_index(entry->slot)] = entry;
}

void service_unseat(struct service *service, struct entry *entry)
{
	if (entry->worker != NULL)
		service->seated[worker_index(entry->worker)][slot_index(entry->slot)] = NULL;
}

static void on_worker_ready(void *owner, struct worker *worker)
{
	struct service *service = owner;
	for (uint32_t slot = 0; slot < COUNTERS_TUNNELS; slot++)
		if (service->seated[worker_index(worker)][slot] != NULL)
			provision(service, service->seated[worker_index(worker)][slot]);
	log_line(LOG_INFO, NULL, "worker %u is ready", worker_index(worker));
	transaction_check_waiting(service);
}

static void on_worker_died(void *owner, struct worker *worker)
{
	broker_forget(owner, worker);
	report_worker_died(owner, worker);
	placement_move_surplus(owner, worker);
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

static struct job *take_inbox(struct service *service)
{
	pthread_mutex_lock(&service->inbox_lock);
	struct job *first = service->inbox;
	service->inbox = NULL;
	service->inbox_end = &service->inbox;
	pthread_mutex_unlock(&service->inbox_lock);
	return first;
}

static void run_inbox(struct service *service)
{
	for (struct job *job = take_inbox(service); job != NULL;) {
		struct job *next = job->next;
		job->next = NULL;
		if (service->is_stopping)
			job_refuse(job);
		else
			job_run(job);
		job = next;
	}
}

static void begin_stop(struct service *service)
{
	pthread_mutex_lock(&service->inbox_lock);
	service->is_closed = true;
	pthread_mutex_unlock(&service->inbox_lock);
	service->is_stopping = true;
	log_line(LOG_INFO, NULL, "ending");
	waiter_refuse_all(service);
}

static void on_wake(uv_async_t *wake)
{
	struct service *service = wake->data;
	if (service->wants_stop && !service->is_stopping)
		begin_stop(service);
	store_collect(service->store);
	run_inbox(service);
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
	restore_tick(service);
	provision_tick(service);
	if (service->waiting != NULL)
		transaction_check_waiting(service);
	if (service->waiters != NULL)
		waiter_check_all(service);
	if (service->ticks % CHECKPOINT_TICKS == 0 || service->checkpoint_soon)
		checkpoint_write(service);
	if (!service->is_stopping || service->stop_ticks > STOP_TICKS)
		return;
	/* What is under way is given a moment to come to its end. */
	service->stop_ticks++;
	if (service->jobs == NULL || service->stop_ticks == STOP_TICKS) {
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
	struct service *service = owner;
	return token_table_load(service->tokens, token);
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
	service->socket_roots = (struct socket_roots){ .list = list, .count = ++service->options.allow_socket_count };
	return true;
}

static bool make_parts(struct service *service, const struct service_options *options)
{
	/* Microseconds, so that the ids of a later life are greater: nobody mistakes them for those of an earlier one. */
	service->events = events_create(EVENTS_KEPT, (uint64_t)wall_clock_ms() * 1000);
	service->tokens = token_table_create();
	service->locks = lock_queue_create();
	service->registry = registry_create(service->locks);
	service->inbox_end = &service->inbox;
	service->late_end = &service->late;
	bool is_made = copy_options(service, options) && service->registry != NULL && service->events != NULL && service->tokens != NULL &&
	               service->locks != NULL;
	service->provisioning = calloc(service->options.workers, sizeof(*service->provisioning));
	is_made = is_made && service->provisioning != NULL;
	service->seated = calloc(service->options.workers, sizeof(struct entry **));
	for (unsigned i = 0; service->seated != NULL && i < service->options.workers; i++) {
		service->seated[i] = calloc(COUNTERS_TUNNELS, sizeof(struct entry *));
		is_made = is_made && service->seated[i] != NULL;
	}
	service->unanswered = calloc(service->options.workers, sizeof(uint8_t *));
	for (unsigned i = 0; service->unanswered != NULL && i < service->options.workers; i++) {
		service->unanswered[i] = calloc(COUNTERS_TUNNELS, sizeof(uint8_t));
		is_made = is_made && service->unanswered[i] != NULL;
	}
	return is_made && service->seated != NULL && service->unanswered != NULL;
}

static bool start_parts(struct service *service, char failure[512])
{
	const struct store_loader loader = { .take_tunnel = restore_take, .take_token = take_token, .owner = service };
	const struct supervisor_events events = { .ready = on_worker_ready, .died = on_worker_died, .message = report_take, .owner = service };
	const struct service_options *options = &service->options;
	const struct supervisor_options workers = { .workers = options->workers,
		                                    .gso = options->gso,
		                                    .require_lock = options->require_lock,
		                                    .log_json = options->log_json,
		                                    .memory_budget = options->memory_budget };
	service->resolver = endpoint_resolver_create(&service->loop);
	if (service->resolver == NULL) {
		snprintf(failure, 512, "the resolver cannot be started: out of memory");
		return false;
	}
	service->store = store_open(service->state_dir.path, NULL, &loader, wake_up, service, failure);
	if (service->store == NULL)
		return false;
	service->next_revision = store_next_revision(service->store);
	service->supervisor = supervisor_create(&service->loop, &workers, &events, failure);
	if (service->supervisor == NULL)
		return false;
	service->started_at = uv_now(&service->loop);
	uv_timer_start(&service->tick, on_tick, SERVICE_TICK_MS, SERVICE_TICK_MS);
	restore_bind_all(service);
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
	pthread_mutex_init(&service->inbox_lock, NULL);
	if (uv_loop_init(&service->loop) != 0) {
		snprintf(failure, 512, "cannot create the event loop");
		free(service);
		return NULL;
	}
	uv_async_init(&service->loop, &service->wake, on_wake);
	uv_timer_init(&service->loop, &service->tick);
	uv_timer_init(&service->loop, &service->later);
	service->wake.data = service->tick.data = service->later.data = service;
	if (!make_parts(service, options))
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
	/* What was under way when the workers went: it fails now, or is on the disk already and done. */
	do {
		transaction_check_waiting(service);
		store_drain(service->store);
	} while (service->waiting != NULL);
	run_inbox(service);
	checkpoint_write(service);
	store_drain(service->store);
}

void service_stop(struct service *service)
{
	service->wants_stop = true;
	uv_async_send(&service->wake);
}

bool service_is_ready(const struct service *service)
{
	return service->is_restored && supervisor_ready_count(service->supervisor) == service->options.workers && !service->wants_stop;
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
	for (size_t i = 0; i < service->protection.path_count; i++)
		free(service->protection.paths[i]);
	free(service->protection.paths);
	free(service->protection.addresses);
	for (unsigned i = 0; service->seated != NULL && i < service->options.workers; i++)
		free(service->seated[i]);
	free(service->seated);
	for (unsigned i = 0; service->unanswered != NULL && i < service->options.workers; i++)
		free(service->unanswered[i]);
	free(service->unanswered);
	free(service->provisioning);
}

/* A start that failed half way has workers to end. */
static void end_started(struct service *service)
{
	if (service->supervisor == NULL || service->is_stopping)
		return;
	begin_stop(service);
	end_workers(service);
	uv_run(&service->loop, UV_RUN_DEFAULT);
}

void service_free(struct service *service)
{
	if (service == NULL)
		return;
	end_started(service);
	store_close(service->store);
	for (unsigned i = 0; service->supervisor != NULL && i < supervisor_count(service->supervisor); i++)
		broker_forget(service, supervisor_worker(service->supervisor, i));
	for (size_t i = 0; service->registry != NULL && i < registry_count(service->registry); i++)
		peer_lookup_end_all(registry_at(service->registry, i));
	registry_free(service->registry);
	endpoint_resolver_free(service->resolver);
	uv_walk(&service->loop, on_any_handle, NULL);
	uv_run(&service->loop, UV_RUN_DEFAULT);
	uv_loop_close(&service->loop);
	supervisor_free(service->supervisor);
	events_free(service->events);
	token_table_free(service->tokens);
	lock_queue_free(service->locks);
	state_dir_close(&service->state_dir);
	free_options(service);
	pthread_mutex_destroy(&service->inbox_lock);
	free(service);
}

void service_submit(struct service *service, struct change *change)
{
	assert(change->done != NULL);
	struct job *job = job_create(service, change);
	if (job == NULL) {
		problem_set(&change->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		change->done(change, change->owner);
		return;
	}
	pthread_mutex_lock(&service->inbox_lock);
	bool is_closed = service->is_closed;
	if (!is_closed) {
		*service->inbox_end = job;
		service->inbox_end = &job->next;
	}
	pthread_mutex_unlock(&service->inbox_lock);
	if (is_closed)
		job_refuse(job);
	else
		uv_async_send(&service->wake);
}

void service_protect(struct service *service, const struct sockaddr *address)
{
	struct protection *protection = &service->protection;
	union wireguard_endpoint *grown = realloc(protection->addresses, (protection->address_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return;
	protection->addresses = grown;
	if (endpoint_from(address, &grown[protection->address_count]))
		protection->address_count++;
}

void service_protect_path(struct service *service, const char *path)
{
	struct protection *protection = &service->protection;
	char **grown = realloc(protection->paths, (protection->path_count + 1) * sizeof(char *));
	char *copy = strdup(path);
	if (grown != NULL)
		protection->paths = grown;
	if (grown == NULL || copy == NULL) {
		free(copy);
		return;
	}
	grown[protection->path_count++] = copy;
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
