/* The name of a tunnel or a pool among both, since one of each may have the same id: entries, locks and rows of the store go by it. A tunnel's key is
 * its id. A pool's is a slash, which no id has and which sorts before all their first characters, and its id. */
#ifndef WARREN_SERVICE_REGISTRY_OBJECT_KEY_H
#define WARREN_SERVICE_REGISTRY_OBJECT_KEY_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ipc/spec.h"

#define OBJECT_KEY_SIZE 65 /* the slash, an id and NUL */
#define OBJECT_KEY_POOLS "/"
#define OBJECT_KEY_TUNNELS "0" /* the first that can be a tunnel's */

/* Of any text that a client sends: one that is too long, or begins as a pool's key does, is as an empty id, which nothing has. */
static inline void object_key_make(char key[OBJECT_KEY_SIZE], enum spec_kind kind, const char *id)
{
	bool may_be_id = id[0] != OBJECT_KEY_POOLS[0] && strlen(id) < OBJECT_KEY_SIZE - 1;
	snprintf(key, OBJECT_KEY_SIZE, "%s%.63s", kind == SPEC_POOL ? OBJECT_KEY_POOLS : "", may_be_id ? id : "");
}

static inline enum spec_kind object_key_kind(const char *key)
{
	return key[0] == '/' ? SPEC_POOL : SPEC_TUNNEL;
}

static inline const char *object_key_id(const char *key)
{
	return key + (object_key_kind(key) == SPEC_POOL);
}

#endif
