/* The SQLite file of the desired state: tunnels and pools, tokens and the next revision. Not thread-safe. */
#ifndef WARREN_SERVICE_STORE_DATABASE_H
#define WARREN_SERVICE_STORE_DATABASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/pool_message.h"
#include "service/registry/object_key.h"

struct database;

/* A stored tunnel or pool. The column «id» has the key. */
struct database_tunnel {
	char key[OBJECT_KEY_SIZE];
	char *document; /* JSON {"labels", "spec"} with secrets, and "origin" unless it is the API; owned */
	uint64_t revision, generation;
	int64_t created_at, updated_at;
	char *ports;                 /* JSON of the ports that the system chose, owned */
	uint8_t timestamp_floor[12]; /* of the last handshake initiation (TAI64N) */
	uint64_t total_bytes;        /* used of limits.total_bytes */
};
void database_tunnel_clear(struct database_tunnel *tunnel); /* wipes */

struct database_token {
	char id[32];
	char *name;   /* owned */
	char *labels; /* JSON of those that a tunnel must have for the token to see it, "{}": none; owned */
	unsigned scopes;
	uint8_t hash[32];
	int64_t created_at;
	int64_t expires_at;   /* milliseconds since 1970, 0: never */
	int64_t last_used_at; /* as last stored, 0: never */
};
void database_token_clear(struct database_token *token);

/* A sticky session of a pool. `born` is when the pool was created: one that is made again has none of the sessions of the first. */
struct database_session {
	char pool[64];
	int64_t born;
	char key[POOL_KEY_SIZE]; /* any bytes */
	char tunnel[64];
	uint64_t expires_at; /* UNIX time in seconds */
};

/* Opens DIRECTORY/state.db, or makes it when there is none. What is not ours, newer than we are, or damaged is refused, with a line for
 * the user. `vfs` names SQLite's file layer, NULL is the usual one. */
struct database *database_open(const char *directory, const char *vfs, char failure[512]);
/* Whether DIRECTORY/state.db is missing, or ours and of a version that we know. Reads it without any lock, and changes nothing. */
bool database_check(const char *directory, char failure[512]);
void database_close(struct database *database);
/* Everything that is there, to the callback, which takes what the struct owns and says false when memory ran out: then nothing more is
 * read, since a part must not pass for the whole. False, with a line, for that, and when a row is damaged. */
bool database_load_tunnels(struct database *database, bool (*take)(void *owner, struct database_tunnel *tunnel), void *owner, char failure[512]);
bool database_load_tokens(struct database *database, bool (*take)(void *owner, struct database_token *token), void *owner, char failure[512]);
bool database_load_sessions(struct database *database, void (*take)(void *owner, const struct database_session *session), void *owner,
                            char failure[512]);
uint64_t database_next_revision(struct database *database);

/* Each returns SQLite's result code, 0 (SQLITE_OK) on success. */
int database_begin(struct database *database);
int database_commit(struct database *database);
void database_rollback(struct database *database);
int database_put_tunnel(struct database *database, const struct database_tunnel *tunnel);
int database_checkpoint_tunnel(struct database *database, const struct database_tunnel *tunnel); /* timestamp_floor and total_bytes alone */
int database_delete_tunnel(struct database *database, const char *key);
int database_put_token(struct database *database, const struct database_token *token);
int database_checkpoint_token(struct database *database, const struct database_token *token); /* last_used_at alone */
int database_delete_token(struct database *database, const char *id);
int database_put_session(struct database *database, const struct database_session *session);
int database_delete_session(struct database *database, const struct database_session *session); /* pool, born and key alone */
int database_purge_sessions(struct database *database, const struct database_session *session); /* some of that pool and birth */
int database_put_next_revision(struct database *database, uint64_t revision);                   /* never lowers it */
/* Gives back or overwrites the memory in which SQLite keeps what it read and wrote, secrets among it. Outside of a transaction; what
 * fails is SQLite's result code, and does no harm to the file. */
int database_forget(struct database *database);
/* Empties the write-ahead log, which would otherwise keep deleted keys. */
int database_truncate_log(struct database *database);
/* A full disk can be emptied: the reserve (reserve.h) always has the room that deleting any one tunnel or token takes, and a commit that adds
 * something is refused as SQLITE_FULL where it could not have it afterwards. */
bool database_wants_reserve(const struct database *database, int result); /* a failed transaction could succeed with its space */
void database_lend_reserve(struct database *database);                    /* the transaction is then tried again */
bool database_take_reserve(struct database *database);                    /* after database_truncate_log; false: other programs used the space */
bool database_is_full(const struct database *database, int result);       /* what failed last did so because the disk is full */
bool database_has_room(struct database *database);                        /* makes the reserve whole; whether there is room beyond it */
const char *database_error(int result);

#endif
