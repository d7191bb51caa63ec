/* How the tunnels and pools of a shard are, as their node tells the others in s/CLASS/S:
 *
 *     {"node": NAME, "objects": {KEY: {"state", "reason", "since", "generation", "healthy", "health_since", "listen",
 *         "fault", "fault_at"}}}
 *
 * KEY is an object's key (object_key.h). Whatever is read may be anybody's: it is bounded, or ignored. No I/O, no clock. */
#ifndef WARREN_SERVICE_FLEET_PUBLISHED_H
#define WARREN_SERVICE_FLEET_PUBLISHED_H

#include <jansson.h>

#include "service/registry/snapshot.h"
#include "service/spec/json_writer.h"

/* Differs, but by chance, when what is told of it differs. */
uint64_t published_fingerprint(const struct snapshot *snapshot);
/* A new reference, to be given to json_writer_end; objects are added to it. */
json_t *published_begin(struct json_writer *writer, const char *node);
void published_add(struct json_writer *writer, json_t *value, const char *key, const struct snapshot *snapshot);

/* One that the node cannot run: it is failed. */
void published_add_fault(struct json_writer *writer, json_t *value, const char *key, const char *reason);

/* The objects that the node tells of, borrowed; NULL: the value is none of this node's. */
json_t *published_objects(const json_t *value, const char *node);
/* Takes what is told of an object into a snapshot that nobody else has yet and that has its node. What is malformed is not taken. */
void published_take(struct snapshot *snapshot, const json_t *told);

#endif
