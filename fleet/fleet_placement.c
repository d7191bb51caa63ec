#include "fleet/fleet_placement.h"

#include <assert.h>
#include <stdlib.h>

#include "fleet/class.h"

#define BOUND_NUMERATOR 11U /* 1.1 times the share */
#define BOUND_DENOMINATOR 10U
#define NOBODY FLEET_PLACEMENT_NOBODY

struct plan {
	const struct fleet_placement *in;
	uint64_t *load;     /* [class × nodes + node] */
	uint64_t *all;      /* [node]: of all classes */
	uint64_t *weight;   /* [class] */
	uint64_t *capacity; /* [class]: of its nodes that stay */
};

uint64_t fleet_placement_hash(const char *class, uint32_t number)
{
	return fleet_hash_mix(fleet_hash(class) + number);
}

uint64_t fleet_placement_score(uint64_t shard_hash, uint64_t node_hash)
{
	return fleet_hash_mix(shard_hash ^ node_hash);
}

static bool admits(const struct plan *plan, uint32_t class, size_t node)
{
	return plan->in->admits[class * plan->in->node_count + node];
}

static uint64_t *load_of(const struct plan *plan, uint32_t class, int node)
{
	return &plan->load[class * plan->in->node_count + (size_t)node];
}

/* The class's weight × the node's capacity, to be compared with loads × the class's capacity: nothing is rounded. */
static uint64_t share(const struct plan *plan, uint32_t class, int node)
{
	return plan->weight[class] * plan->in->nodes[node].capacity;
}

static bool is_over(const struct plan *plan, uint32_t class, int node, uint64_t load)
{
	/* A load is a whole number: the bound is rounded up. */
	uint64_t capacity = plan->capacity[class] * BOUND_DENOMINATOR;
	return load > (share(plan, class, node) * BOUND_NUMERATOR + capacity - 1) / (capacity == 0 ? 1 : capacity);
}

static bool has_room(const struct plan *plan, const struct fleet_placement_shard *shard, int node)
{
	return !is_over(plan, shard->class, node, *load_of(plan, shard->class, node) + shard->weight) &&
	       plan->all[node] + shard->weight <= plan->in->nodes[node].capacity;
}

static bool is_fuller(const struct plan *plan, int a, int b)
{
	return plan->all[a] * plan->in->nodes[b].capacity > plan->all[b] * plan->in->nodes[a].capacity;
}

static bool is_candidate(const struct plan *plan, const struct fleet_placement_shard *shard, int node)
{
	return plan->in->nodes[node].is_taker && admits(plan, shard->class, (size_t)node) && node != shard->owner;
}

/* The node that the shard prefers among those with room. */
static int prefer(const struct plan *plan, const struct fleet_placement_shard *shard)
{
	int best = NOBODY;
	uint64_t top = 0;
	for (int node = 0; node < (int)plan->in->node_count; node++) {
		if (!is_candidate(plan, shard, node))
			continue;
		uint64_t score = fleet_placement_score(shard->hash, plan->in->nodes[node].hash);
		if ((best == NOBODY || score > top) && has_room(plan, shard, node)) {
			best = node;
			top = score;
		}
	}
	return best;
}

static int find_least_full(const struct plan *plan, const struct fleet_placement_shard *shard)
{
	int best = NOBODY;
	for (int node = 0; node < (int)plan->in->node_count; node++)
		if (is_candidate(plan, shard, node) && (best == NOBODY || is_fuller(plan, best, node)))
			best = node;
	return best;
}

static void move(const struct plan *plan, struct fleet_placement_shard *shard, int to)
{
	if (shard->to != NOBODY) {
		*load_of(plan, shard->class, shard->to) -= shard->weight;
		plan->all[shard->to] -= shard->weight;
	}
	shard->to = to;
	if (to != NOBODY) {
		*load_of(plan, shard->class, to) += shard->weight;
		plan->all[to] += shard->weight;
	}
}

/* ---- The reasons to move, in their order ---- */

static bool must_leave(const struct plan *plan, const struct fleet_placement_shard *shard)
{
	return plan->in->nodes[shard->to].is_left || !admits(plan, shard->class, (size_t)shard->to);
}

/* Those without a living owner first, so that the rest sees the loads as they will be. */
static void place_homeless(const struct plan *plan)
{
	for (size_t i = 0; i < plan->in->shard_count; i++) {
		struct fleet_placement_shard *shard = &plan->in->shards[i];
		if (shard->to != NOBODY)
			continue;
		int to = prefer(plan, shard);
		move(plan, shard, to != NOBODY ? to : find_least_full(plan, shard));
	}
}

static void empty_those_left(const struct plan *plan)
{
	for (size_t i = 0; i < plan->in->shard_count; i++) {
		struct fleet_placement_shard *shard = &plan->in->shards[i];
		if (shard->to == NOBODY || !must_leave(plan, shard))
			continue;
		int to = prefer(plan, shard);
		if (to == NOBODY)
			to = find_least_full(plan, shard);
		/* With nowhere to go it stays where it is served. */
		if (to != NOBODY)
			move(plan, shard, to);
	}
}

static bool would_pull(const struct plan *plan, const struct fleet_placement_shard *shard, int node)
{
	uint64_t wanted = share(plan, shard->class, node), load = *load_of(plan, shard->class, node), capacity = plan->capacity[shard->class];
	uint64_t owners = *load_of(plan, shard->class, shard->owner), after = load + shard->weight;
	return load * capacity * BOUND_NUMERATOR < wanted * BOUND_DENOMINATOR && after * capacity <= wanted &&
	       after * plan->in->nodes[shard->owner].capacity <= owners * plan->in->nodes[node].capacity && has_room(plan, shard, node);
}

static void fill_those_under(const struct plan *plan)
{
	for (size_t i = 0; i < plan->in->shard_count; i++) {
		struct fleet_placement_shard *shard = &plan->in->shards[i];
		if (shard->to == NOBODY || shard->to != shard->owner || !plan->in->nodes[shard->owner].is_taker || shard->weight == 0)
			continue;
		uint64_t top = fleet_placement_score(shard->hash, plan->in->nodes[shard->owner].hash);
		int best = NOBODY;
		for (int node = 0; node < (int)plan->in->node_count; node++) {
			uint64_t score = fleet_placement_score(shard->hash, plan->in->nodes[node].hash);
			if (score > top && is_candidate(plan, shard, node) && would_pull(plan, shard, node)) {
				best = node;
				top = score;
			}
		}
		if (best != NOBODY)
			move(plan, shard, best);
	}
}

static void relieve_those_over(const struct plan *plan)
{
	for (size_t i = 0; i < plan->in->shard_count; i++) {
		struct fleet_placement_shard *shard = &plan->in->shards[i];
		if (shard->to == NOBODY || shard->to != shard->owner ||
		    !is_over(plan, shard->class, shard->to, *load_of(plan, shard->class, shard->to)))
			continue;
		int to = prefer(plan, shard);
		if (to != NOBODY)
			move(plan, shard, to);
	}
}

/* ---- The whole ---- */

static void count_capacity(const struct plan *plan)
{
	for (uint32_t class = 0; class < plan->in->class_count; class ++)
		for (size_t node = 0; node < plan->in->node_count; node++)
			if (admits(plan, class, node) && !plan->in->nodes[node].is_dead && !plan->in->nodes[node].is_left)
				plan->capacity[class] += plan->in->nodes[node].capacity;
}

static void count_loads(const struct plan *plan)
{
	for (size_t i = 0; i < plan->in->shard_count; i++) {
		struct fleet_placement_shard *shard = &plan->in->shards[i];
		assert(shard->weight <= FLEET_WEIGHT_MAX && shard->class < plan->in->class_count);
		bool is_homeless = shard->owner == NOBODY || plan->in->nodes[shard->owner].is_dead;
		plan->weight[shard->class] += shard->weight;
		shard->to = NOBODY;
		if (!is_homeless)
			move(plan, shard, shard->owner);
	}
}

bool fleet_placement_plan(const struct fleet_placement *placement)
{
	size_t nodes = placement->node_count, classes = placement->class_count;
	uint64_t *numbers = calloc(classes * nodes + nodes + 2 * classes + 1, sizeof(*numbers));
	if (numbers == NULL)
		return false;
	struct plan plan = { .in = placement, .load = numbers, .all = numbers + classes * nodes };
	plan.weight = plan.all + nodes;
	plan.capacity = plan.weight + classes;
	count_capacity(&plan);
	count_loads(&plan);
	place_homeless(&plan);
	empty_those_left(&plan);
	if (placement->is_calm) {
		fill_those_under(&plan);
		relieve_those_over(&plan);
	}
	free(numbers);
	return true;
}
