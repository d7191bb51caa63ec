/* A token of the fleet as a record in etcd, at k/ID. The value is one sealed text (fleet/seal.h), so that who reads etcd learns nothing of it; in it:
 *
 *     {"name", "scopes", "labels", "created_at", "expires_at", "hash"}
 *
 * It is bound to its id and to the create_revision of its key. That is why a token is written twice: a reservation, which etcd numbers, and then the
 * record that names this number. So nobody who can write to etcd can make a token, change one, or put a revoked one back: its key would have
 * another number. No I/O, no clock, no thread. */
#ifndef WARREN_SERVICE_FLEET_TOKEN_RECORD_H
#define WARREN_SERVICE_FLEET_TOKEN_RECORD_H

#include "fleet/record.h"
#include "fleet/seal.h"
#include "fleet/view.h"
#include "service/store/database.h"

#define TOKEN_RECORD_RESERVED "reserved"

enum token_record_error {
	TOKEN_RECORD_OK = 0,
	TOKEN_RECORD_RESERVATION = -1, /* no token yet */
	TOKEN_RECORD_SEALED = -2,      /* with a key that this node does not have */
	TOKEN_RECORD_FORGED = -3,      /* not as a node of the fleet wrote it for this key */
	TOKEN_RECORD_INVALID = -4,     /* of another version */
	TOKEN_RECORD_TOO_LARGE = -5,
	TOKEN_RECORD_NO_MEMORY = -6,
};
const char *token_record_explain(enum token_record_error error); /* a part of a sentence */

/* The key of a token. False: the id is none that a token of the fleet has. */
bool token_record_key(const char *id, char key[FLEET_KEY_TEXT]);
/* A token, for database_token_clear; all zeros after an error. */
int token_record_read(struct database_token *token, const struct fleet_keyring *ring, const struct fleet_kv *kv);
int token_record_write(char text[FLEET_SEALED_TEXT], const struct fleet_keyring *ring, const struct database_token *token, int64_t created);

#endif
