/* Secrets in etcd: sealed with a key that only the nodes of the fleet have, so that whoever reads etcd reads no secret, and whoever writes it puts
 * none in another place. XChaCha20-Poly1305 (libsodium), its nonce random. A sealed text is the base64 of
 *
 *     1 byte: 1, the format | 8 bytes: the key's id | 24 bytes: nonce | the secret, encrypted | 16 bytes: tag
 *
 * The tag covers the object's id, the object's version and the member of the object: moved to another of these, a text does not open. A whole record
 * has a seal of its own as its first member, whose tag covers every other byte of it:
 *
 *     {"seal":SEALED TEXT,"labels":… }
 *
 * so that what is not secret cannot be changed either. No I/O but for a key's file. */
#ifndef WARREN_FLEET_SEAL_H
#define WARREN_FLEET_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_SEAL_KEYS 4      /* of a ring */
#define FLEET_SECRET_MAX 4096  /* bytes */
#define FLEET_SEALED_TEXT 5530 /* bytes of a sealed text, with its end */

enum fleet_seal_error {
	FLEET_SEAL_OK = 0,
	FLEET_SEAL_UNREADABLE = -1,  /* the key's file: errno says why */
	FLEET_SEAL_OPEN_TO_ALL = -2, /* … others than its owner may use it */
	FLEET_SEAL_NO_KEY = -3,      /* … it does not have 32 bytes; or the ring is empty */
	FLEET_SEAL_TOO_MANY = -4,    /* … the ring is full */
	FLEET_SEAL_UNKNOWN_KEY = -5, /* sealed with a key that is not in the ring */
	FLEET_SEAL_MALFORMED = -6,   /* not a sealed text */
	FLEET_SEAL_FORGED = -7,      /* changed, or of another place */
	FLEET_SEAL_NO_MEMORY = -8,
};

/* Derived from a key's file: the id says nothing about it. */
struct fleet_seal_key {
	uint8_t id[8];
	uint8_t bytes[32];
};

/* All zeros: empty. The first key seals, and all of them open: a new key comes first, until everything is sealed with it. */
struct fleet_keyring {
	struct fleet_seal_key keys[FLEET_SEAL_KEYS];
	size_t count;
};

/* What a secret belongs to. */
struct fleet_seal_place {
	const char *object; /* its id */
	const char *member; /* "interface.private_key" */
	uint64_t version;   /* of the object, differs with each change of it */
	const char *rest;   /* what the tag covers besides: `rest_length` bytes; NULL: nothing */
	size_t rest_length;
};

/* Adds the key of a file of 32 random bytes. Returns a fleet_seal_error. */
int fleet_keyring_add(struct fleet_keyring *ring, const char *path);
void fleet_keyring_clear(struct fleet_keyring *ring); /* wipes it */

/* `length` is at most FLEET_SECRET_MAX. FLEET_SEAL_OK or FLEET_SEAL_NO_KEY. */
int fleet_seal(const struct fleet_keyring *ring, const struct fleet_seal_place *place, const void *secret, size_t length,
               char text[FLEET_SEALED_TEXT]);
/* The caller wipes the secret. After an error nothing of it is there. */
int fleet_seal_open(const struct fleet_keyring *ring, const struct fleet_seal_place *place, const char *text, uint8_t secret[FLEET_SECRET_MAX],
                    size_t *length);
/* Whether the ring's first key sealed it; otherwise it is to be sealed anew. */
bool fleet_seal_is_current(const struct fleet_keyring *ring, const char *text);

/* Puts the seal of a whole record before the members of `json`, a compact object that has at least one. The text is malloc'ed. FLEET_SEAL_OK,
 * _NO_KEY or _NO_MEMORY. */
int fleet_seal_record(const struct fleet_keyring *ring, const char *object, const char *json, char **text);
/* Whether the record is as a node of the fleet wrote it for this object: FLEET_SEAL_OK, _UNKNOWN_KEY, _MALFORMED (it has no seal) or _FORGED. */
int fleet_seal_check_record(const struct fleet_keyring *ring, const char *object, const char *text, size_t length);
/* Whether the ring's first key sealed the record. */
bool fleet_seal_record_is_current(const struct fleet_keyring *ring, const char *text, size_t length);

#endif
