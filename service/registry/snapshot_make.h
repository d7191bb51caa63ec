/* Creates snapshots, on the service's thread. */
#ifndef WARREN_SERVICE_REGISTRY_SNAPSHOT_MAKE_H
#define WARREN_SERVICE_REGISTRY_SNAPSHOT_MAKE_H

#include "service/registry/registry.h"

/* Takes the labels and the spec over (they are left empty). The generation follows the previous one's; revision, sockets and slots
 * are still missing. `spec_json` and `wire` are the spec as JSON without secrets and in wire form when they were made already (taken); NULL, or
 * NULL or nothing in it: it is made here. NULL when out of memory (then labels and spec are cleared). */
struct snapshot *snapshot_make(const char *id, struct spec_label **labels, size_t label_count, struct spec *spec, const struct snapshot *previous,
                               char **spec_json, struct message_writer *wire, int64_t now_ms);
/* A copy of the same tunnel, to be changed before anyone sees it. */
struct snapshot *snapshot_copy(const struct snapshot *from);
/* Assigns slots in the worker's memory; those of `previous` (or NULL) are kept. False if none are left. */
bool snapshot_take_slots(struct snapshot *snapshot, const struct entry *entry, const struct snapshot *previous);
/* As snapshot_take_slots, with the numbers that its peers have already. */
bool snapshot_resume_slots(struct snapshot *snapshot, const struct entry *entry, const uint32_t *peers);
/* Assigns slots on the entry's worker instead of those that the snapshot has on another. False if none are left. */
bool snapshot_move_slots(struct snapshot *snapshot, const struct entry *entry);
/* Between two snapshots of a tunnel with the same peers; the counters of neither must have a writer. */
void snapshot_copy_counters(const struct snapshot *to, const struct snapshot *from);
/* Sets the bound addresses. False when out of memory. */
bool snapshot_take_sockets(struct snapshot *snapshot, const struct socket_list *sockets);

#endif
