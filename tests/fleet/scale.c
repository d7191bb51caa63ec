/* fleet_scale [TUNNELS [NODES]]: a fleet of 1,000,000 tunnels on 100 nodes, as it is placed and as it lies in etcd. Placement and records are those
 * of fleet/; what etcd needs for an event is measured elsewhere and only multiplied (docs/fleet.md). */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fleet/node.h"
#include "fleet/fleet_placement.h"
#include "fleet/view.h"

#define NODES_MAX 1000
#define SHARDS FLEET_CLASS_SHARDS
#define MOVES_A_TRANSACTION (FLEET_TXN_ENTRIES - 2) /* the placer's key and one dead node are compared, too */
#define ETCD_EVENT_US 52.0                          /* CPU of etcd 3.4 for one event to one watcher */

static struct fleet_placement_node nodes[NODES_MAX];
static struct fleet_placement_shard shards[SHARDS];
static bool admits[NODES_MAX];
static struct fleet_placement world = {
	.nodes = nodes, .shards = shards, .shard_count = SHARDS, .admits = admits, .class_count = 1, .is_calm = true
};
static uint64_t tunnels = 1000000;

/* CPU time. */
static double now_ms(void)
{
	struct timespec time;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1000 + (double)time.tv_nsec / 1e6;
}

static void add_node(uint32_t capacity)
{
	char name[FLEET_NAME];
	assert(world.node_count < NODES_MAX);
	snprintf(name, sizeof(name), "node-%zu", world.node_count);
	admits[world.node_count] = true;
	nodes[world.node_count++] = (struct fleet_placement_node){ .hash = fleet_hash(name), .capacity = capacity, .is_taker = true };
}

static void lose_node(size_t node)
{
	nodes[node].is_taker = false;
	nodes[node].is_dead = true;
}

/* Plans, carries out, and prints a row. */
static void show_step(const char *what)
{
	uint64_t moved_shards = 0, moved = 0, load[NODES_MAX] = { 0 }, most = 0, least = UINT64_MAX, capacity = 0;
	double begin = now_ms();
	if (!fleet_placement_plan(&world))
		abort();
	double took = now_ms() - begin;
	for (size_t i = 0; i < SHARDS; i++) {
		moved_shards += shards[i].to != shards[i].owner;
		moved += shards[i].to != shards[i].owner ? shards[i].weight : 0;
		shards[i].owner = shards[i].to;
		load[shards[i].to] += shards[i].weight;
	}
	for (size_t i = 0; i < world.node_count; i++)
		capacity += nodes[i].is_taker ? nodes[i].capacity : 0;
	for (size_t i = 0; i < world.node_count; i++) {
		uint64_t percent = nodes[i].is_taker ? load[i] * capacity * 100 / nodes[i].capacity / tunnels : 0;
		most = percent > most ? percent : most;
		least = nodes[i].is_taker && percent < least ? percent : least;
	}
	printf("%-34s %6.1f ms %6" PRIu64 " shards %8" PRIu64 " tunnels (%5.2f %%) %4" PRIu64 " transactions   loads %3" PRIu64 " to %3" PRIu64
	       " %%\n",
	       what, took, moved_shards, moved, 100.0 * (double)moved / (double)tunnels,
	       (moved_shards + MOVES_A_TRANSACTION - 1) / MOVES_A_TRANSACTION, least, most);
}

static void make_shards(void)
{
	static const struct fleet_class any = { .label_count = 0 };
	for (uint32_t i = 0; i < SHARDS; i++)
		shards[i] = (struct fleet_placement_shard){ .hash = fleet_placement_hash("any", i), .owner = FLEET_PLACEMENT_NOBODY };
	for (uint64_t i = 0; i < tunnels; i++) {
		char id[32];
		snprintf(id, sizeof(id), "t-%07" PRIu64, i);
		shards[fleet_class_shard_of(&any, id)].weight++;
	}
}

static void show_placement(size_t count)
{
	uint32_t capacity = (uint32_t)(2 * tunnels / count);
	if (capacity > FLEET_CAPACITY_MAX)
		capacity = FLEET_CAPACITY_MAX;
	for (size_t i = 0; i < count; i++)
		add_node(capacity);
	show_step("placed from nothing");
	lose_node(7 % count);
	show_step("one node is lost");
	nodes[7 % count].is_dead = false;
	nodes[7 % count].is_taker = true;
	show_step("it is back");
	add_node(capacity);
	show_step("one more joins");
	for (size_t i = 0; i < count / 10; i++)
		lose_node(count / 2 + i);
	show_step("a tenth of them is lost at once");
	nodes[1].is_taker = false;
	nodes[1].is_left = true;
	show_step("one is drained");
}

/* ---- etcd ---- */

static struct fleet_heartbeat make_heartbeat(void)
{
	static char region[] = "region", eu[] = "eu-west";
	static struct spec_label label = { region, eu };
	return (struct fleet_heartbeat){ .t = 123456789,
		                         .applied = 987654321,
		                         .wall = 1790000000000,
		                         .boot = "0b1c2d3e-1111-2222-3333-444455556666",
		                         .capacity = 20000,
		                         .labels = &label,
		                         .label_count = 1,
		                         .address = "https://node-17.example.net:8443" };
}

static size_t size_of_shards(void)
{
	struct fleet_owner owner = { .node = "node-17", .ts_floor = 1790000000000 };
	char key[FLEET_KEY_TEXT], value[FLEET_VALUE_TEXT];
	size_t size = 0;
	for (uint32_t i = 0; i < SHARDS; i++) {
		fleet_key_write(&(struct fleet_key){ .kind = FLEET_KEY_SHARD, .class = "any", .shard = i }, key);
		fleet_owner_write(&owner, value);
		size += strlen(key) + strlen(value);
		fleet_key_write(&(struct fleet_key){ .kind = FLEET_KEY_CHANGED, .class = "any", .shard = i }, key);
		fleet_count_write(shards[i].weight, value);
		size += strlen(key) + strlen(value);
	}
	return size;
}

/* What a node pays for a heartbeat that its watch tells, in µs. */
static double measure_heartbeat(const char *value)
{
	enum { TIMES = 20000 };
	struct fleet_view view;
	struct fleet_kv kv = { "p/node/node-17", value, strlen(value), 1, 1, false, 0 };
	if (!fleet_view_init(&view, "me", 0))
		abort();
	double begin = now_ms();
	for (int i = 0; i < TIMES; i++) {
		kv.revision++;
		fleet_view_apply(&view, &kv, (uint64_t)i);
	}
	double took = now_ms() - begin;
	fleet_view_clear(&view);
	return took * 1000 / TIMES;
}

static void show_etcd(size_t count)
{
	struct fleet_heartbeat heartbeat = make_heartbeat();
	char value[FLEET_VALUE_TEXT];
	if (fleet_heartbeat_write(&heartbeat, value) != FLEET_RECORD_OK)
		abort();
	double cost = measure_heartbeat(value), writes = (double)count * 1000 / (double)fleet_rule_heartbeat(&FLEET_RULE_DEFAULT),
	       events = writes * (double)count;
	/* Of a tunnel: t/, with its shard and id, and id/. */
	double keys = 2 * 20 + 25;
	printf("\netcd: p/ %.2f MB, of which %zu heartbeats of %zu bytes; t/ and id/ %.2f GB with 1 KB a tunnel, %.2f GB with 2 KB\n",
	       (double)(size_of_shards() + count * strlen(value)) / 1e6, count, strlen(value), (double)tunnels * (keys + 1024) / 1e9,
	       (double)tunnels * (keys + 2048) / 1e9);
	printf("watchers: %zu, one a node. Heartbeats: %.0f writes a second, %.0f events a second: %.2f of a core of etcd's, %.2f MB/s; %.1f µs each "
	       "at a node: "
	       "%.4f of its core\n",
	       count, writes, events, events * ETCD_EVENT_US / 1e6, events * (double)strlen(value) / 1e6, cost, cost * writes / 1e6);
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
	tunnels = argc > 1 ? strtoull(argv[1], NULL, 10) : tunnels;
	if (tunnels == 0 || count < 2 || count >= NODES_MAX) {
		fprintf(stderr, "usage: fleet_scale [TUNNELS [NODES]], 2 to %d nodes\n", NODES_MAX - 1);
		return 2;
	}
	make_shards();
	printf("%" PRIu64 " tunnels in %d shards on %" PRIu64 " nodes\n", tunnels, SHARDS, count);
	show_placement(count);
	show_etcd(count);
	return 0;
}
