/* A class is the set of tunnels that may run on the same nodes: they ask for the same node (a pin), or for the same labels of a node. Its text
 * names it in etcd's keys and says everything about it, so that no record of a class can be missing or differ:
 *
 *     any                 every node
 *     @ams-1              that node
 *     region=eu,tier=2    nodes with these labels, sorted by key; bytes other than letters, digits, dot, underscore and hyphen are %XX
 *     @ams-1,region=eu    that node, if it has the label
 *
 * What is placed is a shard, a part of a class: its tunnels are those whose ids have the same hash modulo the number of shards. */
#ifndef WARREN_FLEET_CLASS_H
#define WARREN_FLEET_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/pool_spec.h"

#define FLEET_CLASS_TEXT 256         /* bytes of a text, with its end */
#define FLEET_CLASS_LABELS 16        /* labels at most */
#define FLEET_CLASS_SHARDS 4096      /* of a class */
#define FLEET_CLASS_PINNED_SHARDS 64 /* of a class with a pin: all are on one node, and an owner reads a whole shard when a tunnel of it changes */
#define FLEET_NAME 64                /* bytes of a node's name, with its end */

enum fleet_class_error { FLEET_CLASS_OK = 0, FLEET_CLASS_INVALID = -1, FLEET_CLASS_NO_MEMORY = -2 };

/* All zeros: any node. */
struct fleet_class {
	char node[FLEET_NAME];     /* "": no pin */
	struct spec_label *labels; /* owned, sorted by key */
	size_t label_count;
};

/* Reads a text into `class`, which fleet_class_clear frees. Only the one text that fleet_class_write makes is valid. Returns a fleet_class_error, and
 * then `class` is all zeros. */
int fleet_class_read(struct fleet_class *class, const char *text);
/* False: it does not fit. */
bool fleet_class_write(const struct fleet_class *class, char text[FLEET_CLASS_TEXT]);
void fleet_class_clear(struct fleet_class *class);

/* Whether its tunnels may run on the node. */
bool fleet_class_admits(const struct fleet_class *class, const char *node, const struct spec_label *labels, size_t label_count);
uint32_t fleet_class_shard_count(const struct fleet_class *class);
/* The shard of a tunnel or pool. All nodes, of all versions, compute the same. */
uint32_t fleet_class_shard_of(const struct fleet_class *class, const char *id);
/* A hash of a text, the same everywhere and for ever. */
uint64_t fleet_hash(const char *text);
uint64_t fleet_hash_mix(uint64_t value); /* every bit of the result depends on every bit of `value` */

#endif
