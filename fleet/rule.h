/* The times of the rule that keeps two nodes from serving one tunnel. All are milliseconds of a node's own CLOCK_BOOTTIME: no clock is compared with
 * another node's, and etcd's clocks decide nothing.
 *
 * Let h be a heartbeat, t the time of its sending, r its revision, by its node's clock. A node that has read h back through its own watch has
 * applied every assignment before r. It is valid, and may serve what it owns, until t + ttl - margin. The placer moves the node's shards only
 * ttl + margin after it received h, and only if the node's key still has revision r: so h was the newest. Receipt is after sending; between the
 * end of the node's validity and the move are 2 × margin, for clocks that run unevenly, stalls, and packets in queues. */
#ifndef WARREN_FLEET_RULE_H
#define WARREN_FLEET_RULE_H

#include <stdint.h>

#define FLEET_NEVER UINT64_MAX
/* How far the times of day of two machines are assumed to be apart at most, in ms, where nothing is known of the one that had a shard before. */
#define FLEET_CLOCKS_APART 3600000

struct fleet_rule {
	uint64_t ttl, margin;
};

#define FLEET_RULE_DEFAULT ((struct fleet_rule){ .ttl = 12000, .margin = 1500 })

/* How long a heartbeat that was read back keeps its node valid, from its sending. */
static inline uint64_t fleet_rule_valid(const struct fleet_rule *rule)
{
	return rule->ttl - rule->margin;
}

/* How long a node must be silent before its shards move, from the receipt of its newest heartbeat. */
static inline uint64_t fleet_rule_silence(const struct fleet_rule *rule)
{
	return rule->ttl + rule->margin;
}

/* Between two heartbeats: three tries before the node's validity ends. Also the longest back-off. */
static inline uint64_t fleet_rule_heartbeat(const struct fleet_rule *rule)
{
	return rule->ttl / 4;
}

/* Silent for that long, a node gets no shards and is replaced as the placer; one that has not heard itself was blind: it
 * judges nobody, and writes no heartbeat without need (node.h). */
static inline uint64_t fleet_rule_blind(const struct fleet_rule *rule)
{
	return 2 * fleet_rule_heartbeat(rule) + 1000;
}

/* The leases' time to live. They only clean up, and what they keep is of use until then: a restarted node finds its own key and need not wait, a lost
 * one is still listed. */
static inline uint64_t fleet_rule_lease(const struct fleet_rule *rule)
{
	return 5 * rule->ttl;
}

#endif
