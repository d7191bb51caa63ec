/* New snapshots, on the service's thread. */
#ifndef WARREN_SERVICE_REGISTRY_SNAPSHOT_MAKE_H
#define WARREN_SERVICE_REGISTRY_SNAPSHOT_MAKE_H

#include "service/registry/registry.h"

/* Takes the labels and the spec over (they are left empty). The generation follows the previous one's; revision, sockets and slots
 * are still missing. `spec_json` is the spec as JSON without secrets when it was made already (taken); NULL, or NULL in it: it is made here.
 * NULL when out of memory (then labels and spec are cleared). */
struct snapshot *snapshot_make(const char *id, struct label **labels, size_t label_count, struct spec *spec, const struct snapshot *previous,
                               char **spec_json, int64_t now_ms);
/* The same tunnel again, to be changed before anyone sees it. */
struct snapshot *snapshot_copy(const struct snapshot *from);
/* Places in the worker's memory: those that `previous` (or NULL) had stay. False when none are left. */
bool snapshot_take_slots(struct snapshot *snapshot, const struct entry *entry, const struct snapshot *previous);
/* Places on the worker that the entry has now, with what the old ones counted; nobody writes to those any more. False when none are left. */
bool snapshot_move_slots(struct snapshot *snapshot, const struct entry *entry);
/* It listens nowhere. */
void snapshot_drop_sockets(struct snapshot *snapshot);
/* Bound addresses. False when out of memory. */
bool snapshot_take_sockets(struct snapshot *snapshot, const struct socket_list *sockets);

#endif
