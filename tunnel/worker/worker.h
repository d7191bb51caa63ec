/* A worker: one sandboxed process with one thread and one event loop, which runs tunnels for the control process. */
#ifndef WARREN_TUNNEL_WORKER_WORKER_H
#define WARREN_TUNNEL_WORKER_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/aead_backend.h"

struct worker_options {
	unsigned index;
	int control_pid; /* the parent: the worker exits when it is gone */
	enum aead_backend aead;
	bool gso;             /* trains of datagrams (UDP_SEGMENT, UDP_GRO) */
	bool require_lock;    /* fail when the memory of keys cannot be locked */
	bool access_log;      /* tell of connections that have ended */
	size_t memory_budget; /* bytes of stream buffers; 0: the default */
	size_t session_slots; /* of the guarded arena; 0: the default */
};

/* Takes both descriptors. Returns the process's exit code. */
int worker_main(int channel_descriptor, int counters_descriptor, const struct worker_options *options);

#endif
