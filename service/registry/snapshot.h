/* The current state of one tunnel: immutable and reference-counted, so that readers hold no lock while they write a reply from it. */
#ifndef WARREN_SERVICE_REGISTRY_SNAPSHOT_H
#define WARREN_SERVICE_REGISTRY_SNAPSHOT_H

#include <stdint.h>

#include "ipc/counters.h"
#include "ipc/spec.h"
#include "service/spec/labels.h"

struct snapshot {
	_Atomic unsigned references;
	char id[64];
	struct label *labels; /* sorted by key */
	size_t label_count;
	struct spec spec;  /* with secrets: written out only by spec_json, when secrets are requested */
	char *labels_json; /* compact JSON object, made once */
	char *spec_json;   /* compact JSON without secrets, made once */
	uint64_t revision; /* the ETag is "\"%llu\"" of it; never used twice for an id */
	uint64_t generation;
	int64_t created_at; /* UNIX time in ms */
	int64_t updated_at;
	char **listen; /* bound addresses, "127.0.0.1:40123" or "unix:/path", in the order of spec.listen */
	size_t listen_count;
	char **forwards;   /* the bound addresses of outbound forwards, spec.forward_count entries, NULL for the others; or NULL */
	uint16_t udp_port; /* 0 when disabled or failed */
	int worker;        /* -1 when on none */
	struct wireguard_key public_key;
	char *failure; /* why it could not be started (state failed), else NULL */
	/* Live counters in shared memory; valid while the snapshot is referenced. NULL when on no worker. */
	const struct counters_tunnel *counters;
	const struct counters_peer **peer_counters; /* spec.peer_count entries */
	struct runtime_status *status;              /* reason and observed generation; read by snapshot_status */
	struct slot **slots;                        /* the owners of those counters: the tunnel's slot, then one per peer; or NULL */
};

/* A copy of the live status. */
struct snapshot_status {
	enum tunnel_state state;
	char reason[160];
	int64_t since; /* UNIX time in ms */
	uint64_t observed_generation;
	int64_t started_at; /* UNIX time in ms, 0: never */
};

struct snapshot *snapshot_reference(struct snapshot *snapshot);
void snapshot_release(struct snapshot *snapshot);
/* Before anyone sees it: no listening addresses. */
void snapshot_drop_sockets(struct snapshot *snapshot);
void snapshot_status(const struct snapshot *snapshot, struct snapshot_status *status);
/* All of them. */
bool snapshot_has_labels(const struct snapshot *snapshot, const struct label *labels, size_t count);

#endif
