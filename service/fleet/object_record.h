/* A tunnel or a pool as a record in etcd, at t/CLASS/S/ID:
 *
 *     {"seal": TEXT, "labels": …, "spec": …, "sealed": {POINTER: TEXT …}, "generation": N, "created_at": MS, "updated_at": MS,
 *      "former": CLASSES}
 *
 * The seal covers all that follows it (fleet/seal.h), so that nobody but a node can move an endpoint or a label. The spec is as the API shows it,
 * without a secret. Each secret is sealed, bound to the object, to its place in the spec, a JSON pointer, and to `updated_at`, which differs with
 * each change. `former` names, with blanks between, the classes that it was in before and whose nodes may not have let it go. What is secret is what
 * spec_to_json leaves out unless it is asked for, so none can be forgotten here. No I/O, no clock, no thread. */
#ifndef WARREN_SERVICE_FLEET_OBJECT_RECORD_H
#define WARREN_SERVICE_FLEET_OBJECT_RECORD_H

#include <jansson.h>

#include "fleet/record.h"
#include "fleet/seal.h"
#include "fleet/view.h"
#include "service/change/mutation.h"

#define OBJECT_RECORD_MOST 1000000 /* bytes of a value: in base64 they fit into the 1.5 MiB that etcd takes */

enum object_record_error {
	OBJECT_RECORD_OK = 0,
	OBJECT_RECORD_INVALID = -1, /* not a record, or one that belongs to another key */
	OBJECT_RECORD_SEALED = -2,  /* sealed with a key that this node does not have */
	OBJECT_RECORD_FORGED = -3,  /* not as a node of the fleet wrote it */
	OBJECT_RECORD_TOO_LARGE = -4,
	OBJECT_RECORD_NO_MEMORY = -5,
};
const char *object_record_explain(enum object_record_error error); /* a sentence */

struct object_record {
	json_t *document; /* {"labels", "spec"}, secrets included, for a PUT; owned */
	struct operation_stamp stamp;
	char *former; /* classes, as in a snapshot; owned, or NULL */
};

/* Where an object belongs. False: what it asks of a node is too long for a key. */
bool object_record_place(struct fleet_key *key, enum spec_kind kind, const char *id, const struct placement_spec *placement);
/* After an error the record is all zeros. */
int object_record_read(struct object_record *record, const struct fleet_keyring *ring, const struct fleet_kv *kv);
void object_record_clear(struct object_record *record);
/* The value, malloc'ed. */
int object_record_write(char **text, const struct fleet_keyring *ring, const struct snapshot *snapshot);

#endif
