/* The composition of the control plane, its loop and its end. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/program_version.h"
#include "ipc/wall_clock.h"
#include "service/change/mutation_step.h"
#include "service/expirer.h"
#include "service/files/folder.h"
#include "service/fleet/fleet.h"
#include "service/inheritance.h"
#include "service/pool/membership.h"
#include "service/recorder.h"
#include "service/reloader.h"
#include "service/restorer.h"
#include "service/service_parts.h"
#include "service/spec/json_writer.h"
#include "service/store/checkpointer.h"
#include "service/upgrade.h"
#include "service/worker/broker.h"
#include "service/worker/connection_listing.h"
#include "service/worker/peer_links.h"
#include "service/worker/placement.h"
#include "service/worker/protection.h"
#include "service/worker/replacer.h"

#define EVENTS_KEPT 16384
#define CHECKPOINT_TICKS 100 /* every 10 s */
#define SESSION_TICKS 10     /* every second */
#define EXPIRY_TICKS 10      /* every second */
#define FLEET_TICKS 10       /* every second */
#define RECORD_TICKS (HISTORY_STEP_MS / TICK_MS)
#define LOOKUP_TICKS 50 /* every 5 s */
#define TICK_MS 100
#define WORKERS_MOST 4096  /* of a program that is taken over */
#define STOP_TICKS 15      /* 1.5 s for what is under way */
#define STOP_GRACE_MS 1500 /* for the workers */

static void on_worker_ready(void *owner, struct worker *worker)
{
	struct service *service = owner;
	replacer_worker_ready(service->replacer, worker);
	for (uint32_t slot = 0; slot < COUNTERS_TUNNELS; slot++) {
		struct entry *entry = slot_table_at(service->slots, worker_index(worker), slot);
		if (entry != NULL)
			provisioner_start(service->provisioner, entry);
	}
	peer_links_join(service->supervisor, worker);
	membership_worker_changed(service->membership);
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
		                                   .mover = service->mover };
	broker_forget(service->broker, worker);
	/* A successor that did not come up had nothing. */
	if (worker_duty(worker) == WORKER_SPARE) {
		replacer_worker_died(service->replacer, worker);
		return;
	}
	report_worker_died(&service->report, worker);
	if (!service->is_stopping && worker_duty(worker) == WORKER_SERVING)
		placement_move_surplus(&placement, worker);
	membership_worker_changed(service->membership);
}

static bool on_worker_message(void *owner, struct worker *worker, enum message_type type, struct message_reader *body)
{
	struct service *service = owner;
	if (type == MESSAGE_TRANSFER)
		return mover_take_transfer(service->mover, worker, body);
	if (type == MESSAGE_LINK_BROKEN)
		return peer_links_take_broken(service->supervisor, worker, body);
	if (type == MESSAGE_POOL_OPEN)
		return membership_take_open(service->membership, worker, body);
	if (type == MESSAGE_POOL_SESSIONS)
		return membership_take_sessions(service->membership, worker, body);
	return report_take(&service->report, worker, type, body);
}

static void on_told(void *owner, const struct entry *entry)
{
	struct service *service = owner;
	mutations_check_suspended_of(service->mutations, entry->key);
	membership_tell(service->membership, entry);
}

static void on_pool_told(void *owner, const struct entry *pool)
{
	struct service *service = owner;
	mutations_check_suspended_of(service->mutations, pool->key);
}

static void on_fleet_left(void *owner, bool has_heirs)
{
	struct service *service = owner;
	service->has_heirs = has_heirs;
	uv_stop(&service->loop);
}

static void on_workers_gone(void *owner)
{
	struct service *service = owner;
	uv_timer_stop(&service->tick);
	if (service->is_in_fleet)
		fleet_say_bye(service->fleet);
	else
		uv_stop(&service->loop);
}

static void on_deadline(void *owner, uint64_t deadline)
{
	const struct service *service = owner;
	supervisor_set_deadline(service->supervisor, deadline);
}

/* What is stored is there first: it goes on, whatever becomes of the fleet. */
static void join_fleet(struct service *service)
{
	const struct fleet_means means = { .loop = &service->loop,
		                           .registry = service->registry,
		                           .mutations = service->mutations,
		                           .state_dir = &service->state_dir,
		                           .deadline = on_deadline,
		                           .left = on_fleet_left,
		                           .owner = service };
	if (service->fleet != NULL && !service->is_in_fleet && restorer_is_done(service->restorer) && !service->is_stopping)
		service->is_in_fleet = fleet_start(service->fleet, &means);
}

static void end_workers(struct service *service)
{
	supervisor_stop(service->supervisor, STOP_GRACE_MS, on_workers_gone, service);
}

static void begin_stop(struct service *service)
{
	service->is_stopping = true;
	log_line(LOG_INFO, NULL, "ending");
	if (service->folder != NULL)
		folder_stop(service->folder);
	if (service->is_in_fleet)
		fleet_leave(service->fleet);
	if (service->upgrade != NULL)
		upgrade_stop(service->upgrade);
	mutations_stop(service->mutations);
}

static void on_quiet(void *owner)
{
	struct service *service = owner;
	if (service->is_in_fleet)
		fleet_end_writes(service->fleet);
	service->is_quiet = true;
	uv_stop(&service->loop);
}

static void begin_upgrade(struct service *service)
{
	if (service->is_stopping)
		return;
	if (service_is_ready(service))
		upgrade_start(service->upgrade);
	else
		upgrade_fail(service->upgrade, "the daemon is not ready: tunnels are being restored, or a worker is being replaced");
}

static void on_reloaded(struct mutation *mutation, void *owner)
{
	const struct problem *problem = &mutation->problem;
	(void)owner;
	for (size_t i = 0; i < problem->fault_count; i++)
		log_line(LOG_ERROR, NULL, "reload: %s: %s", problem->faults[i].pointer, problem->faults[i].detail);
	if (problem->fault_count == 0 && problem->code != PROBLEM_NONE)
		log_line(LOG_ERROR, NULL, "reload: %s", problem->detail);
	char *text = json_writer_text(mutation->reloaded);
	log_line(LOG_INFO, NULL, "reload is done%s: %s", problem->code == PROBLEM_NONE ? "" : ", with faults that leave what was there",
	         text == NULL ? "" : text);
	free(text);
	mutation_free(mutation);
}

static void reload(struct service *service)
{
	struct mutation *mutation = mutation_create(MUTATION_RELOAD, 0);
	if (mutation == NULL) {
		log_line(LOG_ERROR, NULL, "reload: out of memory");
		return;
	}
	mutation->done = on_reloaded;
	mutations_submit(service->mutations, mutation);
}

static void on_wake(uv_async_t *wake)
{
	struct service *service = wake->data;
	if (service->wants_stop && !service->is_stopping)
		begin_stop(service);
	if (service->wants_reopen && service->access_writer != NULL)
		line_writer_reopen(service->access_writer);
	service->wants_reopen = false;
	if (atomic_exchange(&service->wants_reload, false))
		reload(service);
	if (atomic_exchange(&service->wants_upgrade, false))
		begin_upgrade(service);
	int drain = atomic_exchange(&service->wants_drain, 0);
	if (drain != 0 && service->is_in_fleet)
		fleet_drain(service->fleet, drain > 0);
	store_collect(service->store);
	if (service->fleet != NULL)
		fleet_run(service->fleet);
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
	membership_tick(service->membership);
	/* What is stored is there first: a file's tunnel then keeps the ports that it had. */
	if (service->folder != NULL && restorer_is_done(service->restorer) && !service->is_stopping)
		folder_start(service->folder);
	join_fleet(service);
	if (service->is_in_fleet && service->ticks % FLEET_TICKS == 0)
		fleet_tick(service->fleet);
	provisioner_tick(service->provisioner, service->supervisor);
	if (!mutations_are_stopping(service->mutations)) {
		mover_tick(service->mover);
		gatherer_tick(service->gatherer);
		balancer_tick(service->balancer, service->supervisor, uv_now(&service->loop));
		replacer_tick(service->replacer);
	}
	mutations_check_workers(service->mutations);
	mutations_check_suspended(service->mutations);
	if (service->ticks % EXPIRY_TICKS == 0 && restorer_is_done(service->restorer) && !service->is_stopping)
		expirer_tick(service->expirer, wall_clock_ms());
	if (service->ticks % RECORD_TICKS == 0)
		recorder_tick(service->recorder, wall_clock_ms());
	if (service->ticks % LOOKUP_TICKS == 0)
		peer_lookup_retry(&service->lookups);
	if (service->ticks % CHECKPOINT_TICKS == 0 || checkpointer_is_urgent(service->checkpointer))
		checkpointer_write(service->checkpointer);
	if (service->ticks % SESSION_TICKS == 0)
		session_store_write(service->sessions, service->store);
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

/* Without its fleet nobody says whether a token of it was revoked. */
static bool take_token(void *owner, struct database_token *token)
{
	struct service *service = owner;
	if (service->options.fleet != NULL || token->id[0] != TOKEN_OF_FLEET)
		return token_table_load(service->tokens, token);
	database_token_clear(token);
	return true;
}

/* The pools have been read. */
static void take_session(void *owner, const struct database_session *session)
{
	struct service *service = owner;
	struct snapshot *pool = service_find_pool(service, access_whole(), session->pool);
	session_store_load(service->sessions, session, pool != NULL && pool->created_at == session->born);
	snapshot_release(pool);
}

static bool copy_options(struct service *service, const struct service_options *options)
{
	service->options = *options;
	if (options->handover != NULL) {
		/* As many as there are: those that run. */
		service->options.workers = message_get_u32(&options->handover->reader);
		if (options->handover->reader.failed || service->options.workers == 0 || service->options.workers > WORKERS_MOST)
			return false;
	} else if (options->workers == 0) {
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

/* As supervisor_count will say: one is spare. */
static unsigned places_of(const struct service *service)
{
	return service->options.workers + 1;
}

/* What needs neither the disk nor a worker. */
static bool make_parts(struct service *service)
{
	/* Microseconds, so that ids after a restart are greater and cannot be mistaken for earlier ones. */
	service->events = events_create(EVENTS_KEPT, (uint64_t)wall_clock_ms() * 1000);
	service->tokens = token_table_create();
	service->locks = lock_queue_create();
	service->registry = registry_create(service->locks);
	service->slots = slot_table_create(places_of(service));
	service->protection = protection_create(service->registry);
	service->mutations = mutations_create(&mutation_machine);
	service->sessions = session_store_create();
	return service->events != NULL && service->tokens != NULL && service->locks != NULL && service->registry != NULL && service->slots != NULL &&
	       service->protection != NULL && service->mutations != NULL && service->sessions != NULL;
}

static size_t open_through(void *owner, const struct entry *pool)
{
	const struct service *service = owner;
	return membership_open_count(service->membership, pool);
}

static bool make_movers(struct service *service)
{
	const struct mover_means moving = {
		.registry = service->registry, .locks = service->locks, .slots = service->slots, .provisioner = service->provisioner
	};
	service->mover = mover_create(&moving);
	service->gatherer = gatherer_create(service->registry, service->mover);
	const struct balancer_means balancing = { .registry = service->registry, .locks = service->locks, .mover = service->mover };
	service->balancer = balancer_create(&balancing);
	const struct replacer_means replacing = { .loop = &service->loop,
		                                  .registry = service->registry,
		                                  .locks = service->locks,
		                                  .slots = service->slots,
		                                  .events = service->events,
		                                  .mover = service->mover,
		                                  .open_through = open_through,
		                                  .owner = service,
		                                  .drain_seconds = service->options.drain_seconds };
	service->replacer = replacer_create(&replacing);
	return service->mover != NULL && service->gatherer != NULL && service->balancer != NULL && service->replacer != NULL;
}

static bool make_worker_parts(struct service *service)
{
	const struct provisioner_means provisioning = {
		.registry = service->registry, .locks = service->locks, .slots = service->slots, .events = service->events
	};
	service->resolver = endpoint_resolver_create(&service->loop);
	service->provisioner = provisioner_create(&provisioning, places_of(service));
	service->policy = (struct policy){ .protection = service->protection,
		                           .roots = &service->roots,
		                           .allow_remote = service->options.allow_remote,
		                           .has_files = service_has_files(service),
		                           .is_in_fleet = service->options.fleet != NULL };
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
	const struct membership_means following = { .loop = &service->loop,
		                                    .registry = service->registry,
		                                    .events = service->events,
		                                    .sessions = service->sessions,
		                                    .told = on_pool_told,
		                                    .owner = service };
	service->restorer = restorer_create(&restoring);
	service->membership = membership_create(&following, places_of(service));
	service->broker = broker_create(&brokering, places_of(service));
	return service->resolver != NULL && service->provisioner != NULL && make_movers(service) && service->restorer != NULL &&
	       service->broker != NULL && service->membership != NULL;
}

static bool open_store(struct service *service, char failure[512])
{
	const struct store_loader loader = { .take_tunnel = restorer_take,
		                             .tunnels = service->restorer,
		                             .take_token = take_token,
		                             .tokens = service,
		                             .take_session = take_session,
		                             .sessions = service };
	service->store = store_open(service->state_dir.path, NULL, &loader, wake_up, service, failure);
	if (service->store == NULL)
		return false;
	service->checkpointer = checkpointer_create(service->registry, service->store, service->tokens);
	if (service->checkpointer == NULL)
		snprintf(failure, 512, "out of memory");
	return service->checkpointer != NULL;
}

static bool start_workers(struct service *service, char failure[512])
{
	const struct supervisor_events events = { .ready = on_worker_ready, .died = on_worker_died, .message = on_worker_message, .owner = service };
	const struct service_options *options = &service->options;
	const struct supervisor_options workers = { .workers = options->workers,
		                                    .aead = options->aead,
		                                    .gso = options->gso,
		                                    .require_lock = options->require_lock,
		                                    .log_json = options->log_json,
		                                    .access_log = service->access_writer != NULL,
		                                    .memory_budget = options->memory_budget,
		                                    .is_in_fleet = options->fleet != NULL,
		                                    .handover = options->handover };
	service->supervisor = supervisor_create(&service->loop, &workers, &events, failure);
	if (service->supervisor == NULL)
		return false;
	const struct connection_lister_means listing = {
		.loop = &service->loop, .supervisor = service->supervisor, .registry = service->registry, .slots = service->slots
	};
	service->lister = connection_lister_create(&listing);
	if (service->lister == NULL)
		snprintf(failure, 512, "out of memory");
	return service->lister != NULL;
}

static void connect_parts(struct service *service)
{
	service->report = (struct report){ .slots = service->slots,
		                           .events = service->events,
		                           .checkpointer = service->checkpointer,
		                           .broker = service->broker,
		                           .access_log = &service->access_log,
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
		                              .sessions = service->sessions,
		                              .supervisor = service->supervisor,
		                              .provisioner = service->provisioner,
		                              .mover = service->mover,
		                              .replacer = service->replacer,
		                              .lister = service->lister,
		                              .lookups = &service->lookups,
		                              .policy = &service->policy,
		                              .roots = &service->roots,
		                              .reload = reloader_run,
		                              .reload_owner = service->reloader };
	mutations_start(service->mutations, &means);
}

static bool make_upgrade(struct service *service, char failure[512])
{
	const struct upgrade_means means = { .loop = &service->loop,
		                             .check = service->options.check,
		                             .mutations = service->mutations,
		                             .supervisor = service->supervisor,
		                             .broker = service->broker,
		                             .events = service->events,
		                             .quiet = on_quiet,
		                             .owner = service };
	service->upgrade = upgrade_create(&means);
	if (service->upgrade == NULL)
		snprintf(failure, 512, "out of memory");
	return service->upgrade != NULL;
}

static struct inheritance_means inheritance_of(const struct service *service)
{
	return (struct inheritance_means){ .registry = service->registry, .supervisor = service->supervisor, .slots = service->slots };
}

static void tell_upgrade(struct service *service)
{
	char members[64];
	snprintf(members, sizeof(members), "\"version\":\"%s\"", program_version.text);
	events_publish(service->events, EVENT_DAEMON_UPGRADED, NULL, members);
	log_line(LOG_INFO, NULL, "upgrade: version %s has taken over", program_version.text);
}

/* What the program before ran. */
static bool inherit(struct service *service, char failure[512])
{
	const struct inheritance_means means = inheritance_of(service);
	struct handover *handover = service->options.handover;
	service->options.handover = NULL;
	if (handover == NULL)
		return true;
	if (!inheritance_load(&means, handover) || !membership_load(service->membership, &handover->reader) ||
	    !events_load(service->events, &handover->reader) || !replacer_load(service->replacer, &handover->reader) || handover->reader.failed) {
		snprintf(failure, 512,
		         "what the program before handed over cannot be taken: it does not agree with what is stored, or memory is missing");
		return false;
	}
	for (size_t i = 0; i < registry_count(service->registry); i++)
		if (registry_at(service->registry, i)->slot != NULL)
			peer_lookup_start(&service->lookups, registry_at(service->registry, i));
	tell_upgrade(service);
	return true;
}

static bool open_access_log(struct service *service, char failure[512])
{
	const char *path = service->options.access_log;
	if (path[0] != '\0')
		service->access_writer = line_writer_create(path, failure);
	service->access_log =
	    (struct access_log){ .writer = service->access_writer, .slots = service->slots, .registry = service->registry, .loop = &service->loop };
	return path[0] == '\0' || service->access_writer != NULL;
}

static bool open_files(struct service *service, char failure[512])
{
	const struct service_options *options = &service->options;
	const struct folder_means means = { .loop = &service->loop,
		                            .registry = service->registry,
		                            .mutations = service->mutations,
		                            .path = options->tunnels_dir,
		                            .credentials = options->credentials_dir[0] == '\0' ? NULL : options->credentials_dir };
	bool has_folder = options->tunnels_dir[0] != '\0';
	service->folder = has_folder ? folder_create(&means) : NULL;
	const struct reloader_means reloading = { .supervisor = service->supervisor,
		                                  .folder = service->folder,
		                                  .access_writer = service->access_writer,
		                                  .reload = options->reload,
		                                  .owner = options->reload_owner };
	service->reloader = reloader_create(&reloading);
	service->expirer = expirer_create(service->registry, service->mutations, service->events);
	service->recorder = recorder_create(service->registry, options->handover == NULL ? wall_clock_ms() : 0);
	if ((service->folder != NULL || !has_folder) && service->reloader != NULL && service->expirer != NULL && service->recorder != NULL)
		return true;
	snprintf(failure, 512, "out of memory");
	return false;
}

static bool start_parts(struct service *service, char failure[512])
{
	if (!make_worker_parts(service)) {
		snprintf(failure, 512, "out of memory");
		return false;
	}
	if (!open_access_log(service, failure) || !open_store(service, failure) || !start_workers(service, failure))
		return false;
	replacer_begin(service->replacer, service->supervisor);
	if (!open_files(service, failure))
		return false;
	connect_parts(service);
	if (!make_upgrade(service, failure) || !inherit(service, failure))
		return false;
	uv_timer_start(&service->tick, on_tick, TICK_MS, TICK_MS);
	membership_start(service->membership, service->supervisor);
	restorer_start(service->restorer, service->supervisor);
	return true;
}

/* At the start only: a directory that is gone later leaves what runs. */
static bool folder_check(const char *path, char failure[512])
{
	int folder = path[0] == '\0' ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder >= 0)
		close(folder);
	else if (path[0] != '\0')
		snprintf(failure, 512, "--tunnels-dir '%.200s' cannot be read: %s", path, strerror(errno));
	return folder >= 0 || path[0] == '\0';
}

/* Before the sandbox closes. */
static bool prepare_fleet(struct service *service, char failure[512])
{
	if (service->options.fleet != NULL)
		service->fleet = fleet_create(service->options.fleet, service->events, failure);
	return service->options.fleet == NULL || service->fleet != NULL;
}

/* The lock is never given up between two programs, and the number of workers is that of those that run. */
static bool open_state_dir(struct service *service, char failure[512])
{
	struct service_options *options = &service->options;
	if (options->handover == NULL)
		return state_dir_open(&service->state_dir, options->state_dir, failure);
	bool is_open = state_dir_resume(&service->state_dir, options->state_dir, handover_get_descriptor(options->handover), failure);
	/* Before the store is read: what did not run gets new numbers. */
	registry_skip_numbers(service->registry, message_get_u64(&options->handover->reader));
	return is_open;
}

struct service *service_create(const struct service_options *options, char failure[512])
{
	struct service *service = sodium_init() < 0 ? NULL : calloc(1, sizeof(*service));
	if (service == NULL) {
		snprintf(failure, 512, "the service cannot be started: no memory or no random numbers");
		return NULL;
	}
	service->state_dir.lock = -1;
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
	else if (folder_check(options->tunnels_dir, failure) && open_state_dir(service, failure) && prepare_fleet(service, failure)) {
		if (options->confine != NULL)
			options->confine(options->confine_owner);
		if (start_parts(service, failure))
			return service;
	}
	if (options->handover != NULL)
		options->give_back(options->give_back_owner, failure);
	service_free(service);
	return NULL;
}

bool service_run(struct service *service)
{
	uv_run(&service->loop, UV_RUN_DEFAULT);
	if (service->is_quiet)
		return true;
	mutations_run(service->mutations);
	/* What was under way when the workers went: it fails now, or is on the disk already and done. */
	do {
		mutations_check_workers(service->mutations);
		mutations_go_on(service->mutations);
		store_drain(service->store);
	} while (mutations_are_under_way(service->mutations));
	checkpointer_write(service->checkpointer);
	session_store_flush(service->sessions, service->store);
	if (service->has_heirs)
		fleet_forget(service->registry, service->store);
	return false;
}

void service_upgrade(struct service *service)
{
	service->wants_upgrade = true;
	uv_async_send(&service->wake);
}

/* join_fleet begins anew, if this program goes on. */
static void pause_fleet(struct service *service)
{
	if (service->is_in_fleet)
		fleet_pause(service->fleet);
	service->is_in_fleet = false;
}

void service_save(struct service *service, struct handover *handover)
{
	const struct inheritance_means means = inheritance_of(service);
	checkpointer_write(service->checkpointer);
	session_store_flush(service->sessions, service->store);
	pause_fleet(service);
	/* What waits is written before the thread is gone. */
	if (service->access_writer != NULL)
		line_writer_settle(service->access_writer);
	message_put_u32(&handover->writer, service->options.workers);
	handover_put_descriptor(handover, service->state_dir.lock);
	message_put_u64(&handover->writer, registry_last_number(service->registry));
	supervisor_save(service->supervisor, handover);
	inheritance_save(&means, handover);
	membership_save(service->membership, &handover->writer);
	events_save(service->events, &handover->writer);
	replacer_save(service->replacer, &handover->writer);
}

void service_unsave(struct service *service, const char *why)
{
	service->is_quiet = false;
	pause_fleet(service);
	upgrade_fail(service->upgrade, why);
}

void service_stop(struct service *service)
{
	service->wants_stop = true;
	uv_async_send(&service->wake);
}

bool service_is_to_stop(const struct service *service)
{
	return service->wants_stop;
}

void service_reload(struct service *service)
{
	service->wants_reload = true;
	uv_async_send(&service->wake);
}

void service_reopen_logs(struct service *service)
{
	service->wants_reopen = true;
	uv_async_send(&service->wake);
}

bool service_is_ready(const struct service *service)
{
	bool has_read_files = service->folder == NULL || folder_is_done(service->folder);
	return restorer_is_done(service->restorer) && has_read_files && supervisor_ready_count(service->supervisor) == service->options.workers &&
	       !service->wants_stop;
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
	line_writer_free(service->access_writer);
	supervisor_free(service->supervisor);
	broker_free(service->broker);
	connection_lister_free(service->lister);
	membership_free(service->membership);
	restorer_free(service->restorer);
	folder_free(service->folder);
	reloader_free(service->reloader);
	expirer_free(service->expirer);
	recorder_free(service->recorder);
	upgrade_free(service->upgrade);
	replacer_free(service->replacer);
	provisioner_free(service->provisioner);
	gatherer_free(service->gatherer);
	balancer_free(service->balancer);
	protection_free(service->protection);
	checkpointer_free(service->checkpointer);
	slot_table_free(service->slots);
	mutations_free(service->mutations);
	session_store_free(service->sessions);
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
	membership_end(service->membership);
	fleet_free(service->fleet);
	mover_free(service->mover);
	registry_free(service->registry);
	endpoint_resolver_free(service->resolver);
	uv_walk(&service->loop, on_any_handle, NULL);
	uv_run(&service->loop, UV_RUN_DEFAULT);
	uv_loop_close(&service->loop);
	free_parts(service);
	free(service);
}

void service_submit(struct service *service, struct access *access, struct mutation *mutation)
{
	mutation->access = access_reference(access);
	if (service->fleet != NULL && fleet_takes(mutation))
		fleet_submit(service->fleet, mutation);
	else
		mutations_submit(service->mutations, mutation);
	uv_async_send(&service->wake);
}
