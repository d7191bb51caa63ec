/* State that all tunnels of a worker share. */
#ifndef WARREN_TUNNEL_CONTEXT_H
#define WARREN_TUNNEL_CONTEXT_H

#include "ipc/counters.h"
#include "ipc/message.h"
#include "tunnel/io/loop.h"
#include "tunnel/io/pool.h"
#include "tunnel/io/udp.h"
#include "tunnel/wireguard/device.h"

struct descriptor_request;

struct context {
	struct loop *loop;
	struct udp_batch *batch;
	struct pool *pool;
	struct counters *counters;
	struct wireguard_load_queue initiations; /* of all tunnels' devices together */
	/* Set by the worker; `writer` is cleared. */
	void (*send)(struct context *context, enum message_type type, struct message_writer *writer);
	struct descriptor_request *wants;
	uint64_t next_want;
};

#endif
