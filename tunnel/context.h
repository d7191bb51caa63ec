/* State that all tunnels of a worker share. */
#ifndef WARREN_TUNNEL_CONTEXT_H
#define WARREN_TUNNEL_CONTEXT_H

#include "ipc/counters.h"
#include "ipc/message.h"
#include "tunnel/access_report.h"
#include "tunnel/connection_table.h"
#include "tunnel/io/loop.h"
#include "tunnel/io/block_pool.h"
#include "tunnel/io/udp.h"
#include "tunnel/wireguard/device.h"

struct descriptor_request;
struct carrier;
struct pools;
struct tunnel;

struct context {
	struct loop *loop;
	struct udp_batch *batch;
	struct block_pool *blocks;
	struct counters *counters;
	struct wireguard_load_queue initiations; /* of all tunnels' devices together */
	/* Set by the worker; `writer` is cleared. */
	void (*send)(struct context *context, enum message_type type, struct message_writer *writer);
	/* The tunnel that runs here with this id, no pool; or NULL. Set by the worker. */
	struct tunnel *(*find)(struct context *context, const char *id);
	struct carrier *carriers;            /* of all tunnels */
	struct connection_table connections; /* of all tunnels */
	struct access_report access_report;
	struct pools *pools; /* tunnel/pool/pool.h */
	struct descriptor_request *wants;
	uint64_t next_want;
};

#endif
