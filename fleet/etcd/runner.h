/* A node of the fleet at work: joins its rules (fleet/node.h), its placer and the client of etcd on a loop. It reads the clocks, asks what the rules
 * ask, and tells its owner which shards are its own and until when. The loop's thread only. */
#ifndef WARREN_FLEET_ETCD_RUNNER_H
#define WARREN_FLEET_ETCD_RUNNER_H

#include "fleet/etcd/etcd_client.h"
#include "fleet/placer.h"

/* Told from the loop, and from within the functions of this header too, which may be called again from there but for etcd_runner_free. */
struct etcd_runner_listener {
	void *owner;
	void (*change)(void *owner, const struct fleet_change *change);
	/* Every change up to a revision has been told. To be answered with etcd_runner_silent and etcd_runner_running. */
	void (*applied)(void *owner, int64_t revision);
	/* Workers may send until then: CLOCK_BOOTTIME in ms; 0: not at all. */
	void (*deadline)(void *owner, uint64_t deadline);
	/* A request of a kind failed at a member. For the log; what to do about it is done. */
	void (*failed)(void *owner, enum fleet_request_kind kind, enum etcd_error error, const char *member);
	void (*left)(void *owner); /* after etcd_runner_leave: nothing more is asked */
};

struct etcd_runner;

/* Copies both configurations. NULL when out of memory, or when the labels do not fit into a heartbeat. */
struct etcd_runner *etcd_runner_create(uv_loop_t *loop, const struct fleet_node_config *node, const struct etcd_client_config *etcd,
                                       const struct etcd_runner_listener *listener);
/* Says nothing to etcd. The loop must run once more. NULL is allowed. */
void etcd_runner_free(struct etcd_runner *runner);
/* Begins. Listeners are called from now on. */
void etcd_runner_start(struct etcd_runner *runner);

/* What the workers have carried out (fleet_node_silent, fleet_node_running). */
void etcd_runner_silent(struct etcd_runner *runner, int64_t revision);
void etcd_runner_running(struct etcd_runner *runner, int64_t revision);
/* This node's shards are as their records were at that revision (fleet_node_settled). */
void etcd_runner_settled(struct etcd_runner *runner, int64_t revision);
/* How this node's tunnels were at that time is written (fleet_node_told). */
void etcd_runner_told(struct etcd_runner *runner, uint64_t at);
void etcd_runner_drain(struct etcd_runner *runner, bool is_draining);
/* The workers' deadline is 0 at once. Once they are silent, etcd_runner_say_bye. */
void etcd_runner_leave(struct etcd_runner *runner);
void etcd_runner_say_bye(struct etcd_runner *runner);

const struct fleet_node *etcd_runner_node(const struct etcd_runner *runner);
uint64_t etcd_runner_now(void); /* the clock of deadlines */

#endif
