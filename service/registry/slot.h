/* Places in the memory that a worker shares: one for a tunnel, one for each of its peers. A seat is given back when nobody refers to
 * it any more, so that the numbers of a snapshot that is still being read never become those of another tunnel. Any thread. */
#ifndef WARREN_SERVICE_REGISTRY_SLOT_H
#define WARREN_SERVICE_REGISTRY_SLOT_H

#include "ipc/counters.h"

struct seats; /* of one worker */
struct seat;

/* Takes the mapping and its descriptor; `worker` is its index. */
struct seats *seats_create(struct counters *counters, int descriptor, unsigned worker);
/* Once all seats are given back. */
void seats_free(struct seats *seats);
struct counters *seats_counters(struct seats *seats);
int seats_descriptor(const struct seats *seats);
size_t seats_tunnels_placed(struct seats *seats); /* seats that a tunnel has, without those that only a reader still refers to */

/* With cleared counters and one reference; NULL when none is left, or no memory. */
struct seat *seat_take_tunnel(struct seats *seats);
struct seat *seat_take_peer(const struct seat *tunnel); /* on the tunnel's worker */
struct seat *seat_reference(struct seat *seat);
void seat_release(struct seat *seat); /* NULL is allowed */
/* The tunnel that took the seat gives it up: it does not count any more. Releases the reference too; NULL is allowed. */
void seat_leave(struct seat *seat);
uint32_t seat_index(const struct seat *seat);
unsigned seat_worker(const struct seat *seat); /* its index */
struct counters_tunnel *seat_tunnel(const struct seat *seat);
struct counters_peer *seat_peer(const struct seat *seat);

#endif
