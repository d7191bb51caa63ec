/* Decides which node each shard belongs on. Pure: no clock, no I/O, the same answer for the same question.
 *
 * Theory of operation. A shard prefers nodes in an order of its own, that of a hash of both (rendezvous hashing), so that a node's loss or join
 * concerns no shard that is elsewhere. The hash alone spreads shards unevenly, so a node's load is bounded. Per class,
 *
 *     share(n) = weight of the class × capacity(n) / capacity of all its nodes      room(n):  load(n) + weight ≤ 1.1 × share(n)
 *
 * A node is also full when all its classes together reach its capacity. A shard without an owner goes to the node that it prefers among those with
 * room; if there is none, to the one that is least full, because a tunnel that is served slowly is better than one that is not served. A shard that
 * has an owner moves only if it must:
 *
 * - its owner is dead, is being left, or is no longer of the class;
 * - all is calm, its owner is over the bound, and a node with room exists;
 * - all is calm, and a node with less than share / 1.1, one that has just joined, is preferred by the shard, and does not exceed its share with it.
 *
 * A move of the second kind lowers a load over the bound, one of the third gives a shard a node that it prefers and puts none over the bound: so
 * there is an end. */
#ifndef WARREN_FLEET_FLEET_PLACEMENT_H
#define WARREN_FLEET_FLEET_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_PLACEMENT_NOBODY (-1)
/* With at most 65,536 shards and 1,024 nodes no product of the plan exceeds 64 bits. */
#define FLEET_CAPACITY_MAX 100000U
#define FLEET_WEIGHT_MAX 100000U

struct fleet_placement_node {
	uint64_t hash;     /* fleet_hash of its name */
	uint32_t capacity; /* tunnels: 1 to FLEET_CAPACITY_MAX */
	bool is_taker;     /* may be given shards */
	bool is_left;      /* alive, but to be emptied */
	bool is_dead;
};

struct fleet_placement_shard {
	uint64_t hash; /* fleet_placement_hash */
	uint32_t class;
	uint32_t weight; /* tunnels: 0 to FLEET_WEIGHT_MAX */
	int owner;       /* a node, or FLEET_PLACEMENT_NOBODY */
	int to;          /* the answer: where it belongs; FLEET_PLACEMENT_NOBODY when no node of its class is a taker and it has no living owner */
};

struct fleet_placement {
	const struct fleet_placement_node *nodes;
	size_t node_count;
	struct fleet_placement_shard *shards;
	size_t shard_count;
	const bool *admits; /* [class × node_count + node]: the node is of the class */
	size_t class_count;
	bool is_calm; /* shards may move for balance: no node is silent that may come back, and whose share others would take over meanwhile */
};

/* Fills in every shard's `to`. False when out of memory: then no answer is valid. Time: shards × nodes. */
bool fleet_placement_plan(const struct fleet_placement *placement) __attribute__((warn_unused_result));
uint64_t fleet_placement_hash(const char *class, uint32_t number);
/* How much a shard prefers a node. */
uint64_t fleet_placement_score(uint64_t shard_hash, uint64_t node_hash);

#endif
