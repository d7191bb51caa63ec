/* What this process uses of the machine, for the shared counters. */
#ifndef WARREN_TUNNEL_WORKER_USAGE_H
#define WARREN_TUNNEL_WORKER_USAGE_H

#include <stdint.h>

#include "ipc/counters.h"

struct usage {
	int memory; /* /proc/self/statm; -1 where there is none */
	uint64_t cpu_us;
};

/* Opens a file, so it must be called before the sandbox is entered. */
void usage_init(struct usage *usage);
void usage_clear(struct usage *usage);
/* Adds the CPU time since the last call, and sets the resident memory. */
void usage_publish(struct usage *usage, struct counters_worker *counters);

#endif
