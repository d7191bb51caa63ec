/* What the files of the service share. All of it belongs to the service's thread, but for what says otherwise. */
#ifndef WARREN_SERVICE_SERVICE_PRIVATE_H
#define WARREN_SERVICE_SERVICE_PRIVATE_H

#include <pthread.h>
#include <uv.h>

#include "service/change/job.h"
#include "service/change/transaction.h"
#include "service/registry/lock_queue.h"
#include "service/registry/registry.h"
#include "service/service.h"
#include "service/store/state_dir.h"
#include "service/store/store.h"
#include "service/store/token_table.h"
#include "service/worker/endpoint_resolver.h"
#include "service/worker/supervisor.h"

struct job;
struct dial;
struct late_want;
struct waiter;

/* Addresses and files that nothing may be pointed at. */
struct protection {
	union wireguard_endpoint *addresses;
	size_t address_count;
	char **paths;
	size_t path_count;
};

/* A tunnel on its way to a worker holds duplicates of its sockets until it is sent, so that thousands at once would run out of
 * descriptors: they go in a window. */
struct provisioning {
	unsigned under_way; /* sent, not answered */
	uint32_t next;      /* the slot from which to look for those that wait */
	bool is_starved;    /* one waits that no answer will bring forward: looked for at the next tick */
};

struct service {
	struct service_options options;
	uv_loop_t loop;
	struct state_dir state_dir;
	struct registry *registry;
	struct events *events; /* any thread */
	struct store *store;
	struct token_table *tokens; /* any thread */
	struct supervisor *supervisor;
	struct endpoint_resolver *resolver;
	struct lock_queue *locks;
	struct provisioning *provisioning; /* [worker] */
	struct entry ***seated;            /* [worker][slot of the tunnel]: whom a worker's message is about */
	struct protection protection;
	struct socket_roots socket_roots; /* the state directory's and those of the options */
	uint64_t next_revision;

	uv_async_t wake; /* there are changes, results of the store, or it is to stop. Any thread */
	uv_timer_t tick;
	unsigned ticks;
	bool is_announced;          /* announce_ready was called */
	pthread_mutex_t inbox_lock; /* of the two below */
	struct job *inbox, **inbox_end;
	bool is_closed; /* nothing is taken any more */
	_Atomic bool wants_stop;
	_Atomic bool is_restored;

	struct transaction *waiting;        /* for a worker that is being replaced */
	struct waiter *waiters;             /* for the first handshake of their tunnel */
	struct job *jobs;                   /* all that are under way */
	uint8_t **unanswered;               /* [worker][slot]: sockets that are asked for */
	struct late_want *late, **late_end; /* those over the rate (grant.c) */
	size_t late_count;
	uv_timer_t later;
	struct dial *dials; /* connections that are being made for inbound forwards */
	size_t dial_count;
	size_t unbound;        /* tunnels found at the start whose sockets could not be opened yet */
	uint64_t started_at;   /* uv_now */
	bool checkpoint_soon;  /* there is something that cannot wait for the next checkpoint */
	bool is_checkpointing; /* a checkpoint is on its way to the disk */
	bool is_stopping;
	unsigned stop_ticks;
};

#define SERVICE_TICK_MS 100

struct entry *service_seated(struct service *service, struct worker *worker, uint32_t slot); /* or NULL */
void service_seat(struct service *service, struct entry *entry);
void service_unseat(struct service *service, struct entry *entry);

/* provision.c: a tunnel whose runtime is to be built from what it is, at the start or on a worker that was replaced. One that memory or
 * descriptors are missing for waits (entry->is_waiting) and is tried again. Nothing that is prepared for it may wait for its commit in the
 * worker's process: the one would take the other's place. */
void provision(struct service *service, struct entry *entry);
/* One that waits goes now, because something that builds on it follows. The caller has the tunnel's turn. */
void provision_hurry(struct service *service, struct entry *entry);
/* The worker does not hold a tunnel that it should. The caller has the tunnel's turn. */
void provision_anew(struct service *service, struct entry *entry);
void provision_tick(struct service *service);
bool placement_choose(struct service *service, struct entry *entry); /* the one with the fewest tunnels; false when none has room */
/* `addresses` as in the entry. */
bool runtime_send_prepare(const struct entry *entry, const struct snapshot *snapshot, const struct socket_list *sockets,
                          const struct message_addresses *addresses, bool all_fresh, uint64_t request);
void runtime_send(struct worker *worker, enum message_type type, uint64_t request, uint32_t slot, uint64_t generation);
/* restore.c: what was found in the store. */
bool restore_take(void *owner, struct database_tunnel *row);
void restore_bind_all(struct service *service);
void restore_tick(struct service *service);
/* Its state is failed from now on. `turn` as in registry_swap. False when out of memory: it is as it was, and the caller tries again. */
bool restore_fail(struct service *service, struct entry *entry, const struct lock_claim *turn, const char *reason);
/* report.c: news and wants of the workers. */
bool report_take(void *owner, struct worker *worker, enum message_type type, struct message_reader *body);
void report_worker_died(struct service *service, struct worker *worker);
/* placement.c */
void placement_move_surplus(struct service *service, struct worker *dead);
/* checkpoint.c: what is stored without being asked for. */
void checkpoint_write(struct service *service);
/* action.c */
void action_start(struct service *service, struct edit *edit, void (*done)(void *owner), void *owner);
/* protection.c */
bool protection_has_address(const struct service *service, const union wireguard_endpoint *address);
bool protection_has_path(const struct service *service, const char *path);          /* the API's */
bool protection_has_listener_path(const struct service *service, const char *path); /* a tunnel's */
bool protection_has_file(const struct service *service, int file);                  /* either, by what socket_path_open has found */
/* broker.c: false when more is asked for at once than an honest worker does. */
bool broker_take(struct service *service, struct worker *worker, enum message_type type, const struct message_want *want);
/* The worker has died, or the service ends: nobody waits for its sockets any more. */
void broker_forget(struct service *service, const struct worker *worker);

#endif
