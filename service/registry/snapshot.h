/* The current state of one tunnel or pool: immutable and reference-counted, so that readers hold no lock while they write a reply from it. */
#ifndef WARREN_SERVICE_REGISTRY_SNAPSHOT_H
#define WARREN_SERVICE_REGISTRY_SNAPSHOT_H

#include <stdint.h>

#include "ipc/counters.h"
#include "ipc/message.h"
#include "ipc/spec.h"
#include "service/registry/status.h"
#include "service/spec/labels.h"

/* Who writes it: clients of the API, a file of --tunnels-dir, or the fleet, whose record in etcd it follows. */
enum snapshot_origin { SNAPSHOT_OF_API, SNAPSHOT_OF_FILE, SNAPSHOT_OF_FLEET, SNAPSHOT_ORIGINS };

static inline const char *snapshot_origin_name(enum snapshot_origin origin)
{
	return origin == SNAPSHOT_OF_FILE ? "file" : origin == SNAPSHOT_OF_FLEET ? "fleet" : "api";
}
/* By its name; NULL and what is none are of the API. */
enum snapshot_origin snapshot_origin_of(const char *name);

struct snapshot_elsewhere;

struct snapshot {
	_Atomic unsigned references;
	char id[64];
	struct spec_label *labels; /* sorted by key */
	size_t label_count;
	struct spec spec;           /* with secrets: written out only by spec_json, when secrets are requested */
	char *labels_json;          /* compact JSON object, made once */
	char *spec_json;            /* compact JSON without secrets, made once */
	struct message_writer wire; /* the spec as workers get it, with secrets, made once, if it is large; else empty */
	enum snapshot_origin origin;
	uint64_t revision; /* the ETag is "\"%llu\"" of it; never used twice for an id. Of the fleet: that of its record */
	uint64_t generation;
	int64_t created_at; /* UNIX time in ms */
	int64_t updated_at;
	char **listen; /* bound addresses, "127.0.0.1:40123" or "unix:/path", in the order of spec.listen */
	size_t listen_count;
	char **forwards;   /* the bound addresses of outbound forwards, spec.forward_count entries, NULL for the others; or NULL */
	uint16_t udp_port; /* 0 when disabled or failed */
	int worker;        /* -1 when on none */
	struct wireguard_key public_key;
	struct snapshot_elsewhere *elsewhere; /* of a fleet: another node runs it, or none; owned; NULL: it is here */
	char *former;  /* of a fleet: the classes that it was in before and that may still have it, with a blank between; owned, or NULL */
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

/* What status.health shows. */
struct snapshot_health {
	enum tunnel_health health;
	int64_t since; /* UNIX time in ms */
	bool has_probe;
	struct status_probe probe; /* if there was a result */
	uint32_t round_trip_us;    /* of the last handshake, 0: not known */
};

/* What is known of what another node runs. */
struct snapshot_elsewhere {
	char node[64]; /* its name; "": no node runs it now */
	bool is_told;  /* the node has told of it */
	uint64_t age;  /* of what it has told: ms at most, when this was made; UINT64_MAX: not known */
	struct snapshot_status status;
	enum tunnel_health health;
	int64_t health_since;
	char fault[160]; /* why that node does not run it as it is to be; "": it does */
	int64_t fault_at;
};

struct snapshot *snapshot_reference(struct snapshot *snapshot);
void snapshot_release(struct snapshot *snapshot);
/* Before anyone sees it: no listening addresses. */
void snapshot_drop_sockets(struct snapshot *snapshot);
void snapshot_status(const struct snapshot *snapshot, struct snapshot_status *status);
/* What is wrong with the file or the record that it comes from; false: nothing is. */
bool snapshot_source_fault(const struct snapshot *snapshot, char detail[STATUS_SOURCE_FAULT_SIZE], int64_t *at_ms);
/* A copy of what it carried in the last hour; false: nothing is kept of it. */
bool snapshot_history(const struct snapshot *snapshot, struct history *history);
void snapshot_health(const struct snapshot *snapshot, struct snapshot_health *health);

#endif
