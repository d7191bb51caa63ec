/* What the fleet asks of etcd, and what comes back. At most one request of a kind is under way; each gets one reply. */
#ifndef WARREN_FLEET_FLEET_REQUEST_H
#define WARREN_FLEET_FLEET_REQUEST_H

#include "fleet/txn.h"
#include "fleet/view.h"

enum fleet_request_kind {
	FLEET_GRANT,     /* a lease of `ttl` seconds */
	FLEET_JOIN,      /* `txn`: puts the node's key; reads it when a comparison fails */
	FLEET_HEARTBEAT, /* `txn` */
	FLEET_KEEPALIVE, /* of `lease` */
	FLEET_LIST, /* every key of `p/` at one revision, linearizable: fleet_node_listed for each, then its reply. An error of a page is the reply */
	FLEET_WATCH, /* `p/` from `revision` on, in place of any stream that is open; no reply, but fleet_node_watch_… */
	FLEET_LEAD,  /* `txn`: takes the placer's key */
	FLEET_PLACE, /* `txn`: gives and releases shards */
	FLEET_REQUEST_KINDS
};

struct fleet_request {
	enum fleet_request_kind kind;
	int64_t lease;
	uint64_t ttl;
	int64_t revision;
	bool is_elsewhere;           /* at another member than the last one, which answers but does not tell */
	const struct fleet_txn *txn; /* borrowed until the next call of what made it */
};

enum fleet_result {
	FLEET_DONE,
	FLEET_REFUSED,  /* a comparison failed; nothing was written */
	FLEET_NO_LEASE, /* the lease is unknown: 404, or a keepalive's answer without a TTL */
	FLEET_UNKNOWN,  /* an error, or no answer in time: it may have been done, or be done later */
};

struct fleet_reply {
	enum fleet_request_kind kind;
	enum fleet_result result;
	int64_t lease;         /* GRANT: the new one; KEEPALIVE: the one that was asked about */
	int64_t revision;      /* of the header; 0: there was none */
	uint64_t cluster;      /* cluster_id of the header; 0: there was none */
	struct fleet_kv found; /* REFUSED with `read`: the key; key NULL: it does not exist */
};

#endif
