/* What the control plane is made of: for service.c, which makes and runs it, and service_read.c, which answers questions about it. */
#ifndef WARREN_SERVICE_SERVICE_PARTS_H
#define WARREN_SERVICE_SERVICE_PARTS_H

#include <stdatomic.h>

#include <uv.h>

#include "service/change/policy.h"
#include "service/service.h"
#include "service/socket/socket_path.h"
#include "service/store/state_dir.h"
#include "service/worker/access_log.h"
#include "service/worker/balancer.h"
#include "service/worker/gatherer.h"
#include "service/worker/peer_lookup.h"
#include "service/worker/report.h"

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
	struct mover *mover;
	struct gatherer *gatherer;
	struct balancer *balancer;
	struct replacer *replacer;
	struct broker *broker;
	struct connection_lister *lister;
	struct session_store *sessions;
	struct membership *membership;
	struct restorer *restorer;
	struct folder *folder; /* or NULL */
	struct fleet *fleet;   /* or NULL */
	struct reloader *reloader;
	struct expirer *expirer;
	struct recorder *recorder;
	struct upgrade *upgrade;
	struct mutations *mutations;
	/* Of borrowed pointers to the above. */
	struct socket_roots roots; /* the state directory's and those of the options */
	struct policy policy;
	struct peer_lookup_means lookups;
	struct line_writer *access_writer; /* or NULL */
	struct access_log access_log;
	struct report report;

	uv_async_t wake; /* for changes, results of the store, or a stop. Any thread */
	uv_timer_t tick;
	unsigned ticks;
	bool is_announced;       /* announce_ready was called */
	_Atomic int wants_drain; /* 1: drain, -1: no more, 0: nothing is wanted */
	_Atomic bool wants_stop, wants_reopen, wants_reload, wants_upgrade;
	bool is_stopping, is_quiet;
	bool has_heirs;   /* it has left the fleet, and others take what it had */
	bool is_in_fleet; /* it was started as a node */
	unsigned stop_ticks;
};

#endif
