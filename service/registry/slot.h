/* Slots in a worker's shared memory: one per tunnel and one per peer. A slot is freed when nobody refers to
 * it any more, so that the numbers of a snapshot that is still being read never become those of another tunnel. Any thread. */
#ifndef WARREN_SERVICE_REGISTRY_SLOT_H
#define WARREN_SERVICE_REGISTRY_SLOT_H

#include "ipc/counters.h"

struct slots; /* of one worker */
struct slot;

/* Takes the mapping and its descriptor, even when out of memory (NULL); `worker` is its index. */
struct slots *slots_create(struct counters *counters, int descriptor, unsigned worker);
/* To be called once all slots are freed. */
void slots_free(struct slots *slots);
struct counters *slots_counters(struct slots *slots);
int slots_descriptor(const struct slots *slots);
size_t slots_tunnels_placed(struct slots *slots); /* slots in use by tunnels, not those that only a reader still refers to */

/* A tunnel or a peer could get no slot for this reason, and not because memory was missing. */
bool slots_are_used_up(struct slots *slots);

/* Takes a slot, with cleared counters and one reference; NULL if none is left, or out of memory. */
struct slot *slot_take_tunnel(struct slots *slots);
struct slot *slot_take_peer(const struct slot *tunnel); /* on the tunnel's worker */
struct slot *slot_reference(struct slot *slot);
void slot_release(struct slot *slot); /* NULL is allowed */
/* The tunnel gives the slot up, so it no longer counts as placed. Releases the reference, too; NULL is allowed. */
void slot_leave(struct slot *slot);
/* For the program that takes this one's place: which numbers are free. The slots themselves are taken again by number, each once, after
 * slots_load. NULL: there is no such slot, or out of memory. */
void slots_save(struct slots *slots, struct message_writer *writer);
bool slots_load(struct slots *slots, struct message_reader *reader);
struct slot *slot_resume_tunnel(struct slots *slots, uint32_t index);
struct slot *slot_resume_peer(const struct slot *tunnel, uint32_t index);
uint32_t slot_index(const struct slot *slot);
unsigned slot_worker(const struct slot *slot); /* its index */
struct counters_tunnel *slot_tunnel(const struct slot *slot);
struct counters_peer *slot_peer(const struct slot *slot);

#endif
