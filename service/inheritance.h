/* The tunnels and pools that run, as one control process hands them to the next. What is on the disk is read from there; this is the rest: places,
 * sockets and status. Main thread only. */
#ifndef WARREN_SERVICE_INHERITANCE_H
#define WARREN_SERVICE_INHERITANCE_H

#include "ipc/handover.h"
#include "service/registry/slot_table.h"
#include "service/worker/supervisor.h"

/* Borrowed. */
struct inheritance_means {
	struct registry *registry;
	struct supervisor *supervisor;
	struct slot_table *slots;
};

/* Those that run on a worker. Nothing is half-way. */
void inheritance_save(const struct inheritance_means *means, struct handover *handover);
/* After the store was read and the workers were taken over; what is not among them is left to the restorer. False: it cannot be read, does not
 * agree with the disk, or memory ran out. */
bool inheritance_load(const struct inheritance_means *means, struct handover *handover);

#endif
