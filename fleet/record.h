/* The fleet's records in etcd, as texts and as structs. Keys are given without the fleet's prefix:
 *
 *     p/leader                 {"n": NODE}, on the placer's lease
 *     p/node/NODE              a heartbeat, on the node's lease
 *     p/shard/CLASS/S          {"n": NODE, "f": NODE, "ts_floor": MS}; its revision is the shard's epoch
 *     p/changed/CLASS/S        {"count": N}, written in the transaction that writes a tunnel of the shard
 *     p/tokens                 {"id": ID}: of the token that was written or deleted last, in the same transaction
 *     k/ID                     a token, sealed
 *     t/CLASS/S/ID             a tunnel; a pool's id has a plus before it, since a tunnel may have the same
 *     s/CLASS/S                how a shard's tunnels and pools are, as its node tells it
 *     id/ID                    {"class": CLASS}, which makes ids unique
 *
 * Whatever is read may be anybody's: it is valid and bounded, or refused. Unknown members are ignored, for nodes of another version. */
#ifndef WARREN_FLEET_RECORD_H
#define WARREN_FLEET_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleet/class.h"

#define FLEET_KEY_TEXT 384    /* bytes of a key, with its end */
#define FLEET_VALUE_TEXT 8192 /* bytes of a value, with its end */
#define FLEET_ADDRESS 256
#define FLEET_VERSION 32 /* bytes of a version, with its end */
#define FLEET_TIME_MAX (UINT64_C(1) << 53)

enum fleet_record_error { FLEET_RECORD_OK = 0, FLEET_RECORD_INVALID = -1, FLEET_RECORD_NO_MEMORY = -2 };

enum fleet_key_kind {
	FLEET_KEY_OTHER, /* none of ours, or malformed */
	FLEET_KEY_LEADER,
	FLEET_KEY_NODE,    /* `name` */
	FLEET_KEY_SHARD,   /* `class`, `shard` */
	FLEET_KEY_CHANGED, /* `class`, `shard` */
	FLEET_KEY_STATUS,  /* `class`, `shard` */
	FLEET_KEY_OBJECT,  /* `class`, `shard`, `name`: its id, `is_pool` */
	FLEET_KEY_ID,      /* `name`: the id, `is_pool` */
	FLEET_KEY_TOKENS,
	FLEET_KEY_TOKEN, /* `name`: its id */
};

struct fleet_key {
	enum fleet_key_kind kind;
	char name[FLEET_NAME];
	char class[FLEET_CLASS_TEXT]; /* not yet read: any text without a slash */
	uint32_t shard;               /* below FLEET_CLASS_SHARDS */
	bool is_pool;
};

void fleet_key_read(struct fleet_key *key, const char *text);
void fleet_key_write(const struct fleet_key *key, char text[FLEET_KEY_TEXT]);

/* What a node says of itself. All zeros but for strings is valid to clear. */
struct fleet_heartbeat {
	uint64_t t;      /* its CLOCK_BOOTTIME when it sent this, in ms */
	int64_t applied; /* "a": it has applied and carried out every assignment up to this revision; 0: none yet */
	int64_t settled; /* "c": its shards are as their records were at that revision, and what left them runs there no more; 0: not yet */
	uint64_t wall;   /* its time of day, in ms */
	uint64_t told;   /* when it looked last at how its tunnels are, and had written it, by the clock of `t`; 0: never */
	char boot[FLEET_NAME];
	bool drain, bye;
	uint32_t capacity;         /* tunnels */
	struct spec_label *labels; /* owned, sorted by key */
	size_t label_count;
	char address[FLEET_ADDRESS]; /* of its API */
	char version[FLEET_VERSION]; /* of its program */
};

struct fleet_owner {
	char node[FLEET_NAME]; /* "n"; "": nobody */
	char from[FLEET_NAME]; /* "f": who must let go first; "": nobody */
	uint64_t ts_floor;     /* ms: no handshake's timestamp of the next owner may be before */
};

/* Each reads `length` bytes of a value and returns a fleet_record_error; after an error the struct is all zeros. */
int fleet_heartbeat_read(struct fleet_heartbeat *heartbeat, const char *text, size_t length);
void fleet_heartbeat_clear(struct fleet_heartbeat *heartbeat);
int fleet_owner_read(struct fleet_owner *owner, const char *text, size_t length);
int fleet_leader_read(char name[FLEET_NAME], const char *text, size_t length);
int fleet_count_read(uint32_t *count, const char *text, size_t length);
int fleet_id_read(char class[FLEET_CLASS_TEXT], const char *text, size_t length);

/* Each writes a value. FLEET_RECORD_INVALID: it does not fit. */
int fleet_heartbeat_write(const struct fleet_heartbeat *heartbeat, char text[FLEET_VALUE_TEXT]);
int fleet_owner_write(const struct fleet_owner *owner, char text[FLEET_VALUE_TEXT]);
int fleet_leader_write(const char *name, char text[FLEET_VALUE_TEXT]);
int fleet_count_write(uint32_t count, char text[FLEET_VALUE_TEXT]);
int fleet_id_write(const char *class, char text[FLEET_VALUE_TEXT]);

#endif
