/* A tunnel or a pool as a client wrote it: parsed and checked independently of the existing one. Omitted secrets are marked, and
 * taken over from the tunnel that has them by candidate_complete. */
#ifndef WARREN_SERVICE_SPEC_CANDIDATE_H
#define WARREN_SERVICE_SPEC_CANDIDATE_H

#include <jansson.h>

#include "ipc/message.h"
#include "ipc/spec.h"
#include "service/spec/json_reader.h"
#include "service/spec/labels.h"
#include "service/spec/problem.h"

enum candidate_secret { CANDIDATE_SECRET_ABSENT, CANDIDATE_SECRET_REMOVED, CANDIDATE_SECRET_SET };

struct candidate {
	char id[64];               /* empty when the document has none */
	struct spec_label *labels; /* sorted by key */
	size_t label_count;
	struct spec spec;           /* not to be used while there are faults */
	char *spec_json;            /* its JSON without secrets, if candidate_write has made it; or NULL */
	struct message_writer wire; /* its wire form, if candidate_compare has made it; or empty */
	bool generate_private_key;
	enum candidate_secret private_key;
	enum candidate_secret header_key;      /* of spec.obfuscation */
	enum candidate_secret *preshared_keys; /* spec.peer_count entries */
	enum candidate_secret *passwords;      /* spec.user_count entries */
	char pointer[64];                      /* of the document within the request */
	struct problem problem;                /* the faults found so far */
	bool is_prepared;                      /* by candidate_compare, with … */
	const struct spec *base;               /* … this as the existing spec (or NULL); only its address is used */
	bool is_equal;                         /* to `base` */
};

void candidate_init(struct candidate *candidate, enum spec_kind kind);
void candidate_clear(struct candidate *candidate);
/* Reads a document {"id", "labels", "spec", …}; `pointer` is its place in the request. Everything wrong goes to candidate->problem. Any thread. */
void candidate_read(struct candidate *candidate, const json_t *document, const char *pointer);
/* Makes spec_json, which takes long with many peers; not for the service's thread. When out of memory it stays NULL. */
void candidate_write(struct candidate *candidate);
/* Fills the secrets that were left out from `previous` (or NULL), makes the key that is to be generated, and adds what is still
 * missing to candidate->problem. */
void candidate_complete(struct candidate *candidate, const struct spec *previous);
/* candidate_complete and candidate_compare. */
void candidate_prepare(struct candidate *candidate, const struct spec *base);
/* candidate_write, the wire form and the comparison with what is there, ahead of time: not on the service's thread. It holds as long as `base`,
 * which the caller keeps, is still what is there. */
void candidate_compare(struct candidate *candidate, const struct spec *base);

/* One peer, where the reader is. The peer is cleared by the caller, with spec_clear of the spec it is in, whatever comes back. */
void candidate_read_peer(struct json_reader *reader, const json_t *value, struct spec_peer *peer, enum candidate_secret *preshared_key);
/* Parts of candidate_read that are in other files. */
void candidate_read_proxy(struct candidate *candidate, struct json_reader *reader, const json_t *spec);
void candidate_read_pool(struct candidate *candidate, struct json_reader *reader, const json_t *spec);
void candidate_read_forwards(struct candidate *candidate, struct json_reader *reader, const json_t *spec);
void candidate_read_limits(struct candidate *candidate, struct json_reader *reader, const json_t *spec);
#define CANDIDATE_PROBE_TIMEOUT_MAX 30 /* seconds */
void candidate_read_placement(struct candidate *candidate, struct json_reader *reader, const json_t *spec);
void candidate_read_probe(struct json_reader *reader, const json_t *value, struct spec_probe *probe);
/* candidate_obfuscation.c */
#define CANDIDATE_RESERVED_CONFLICT "Reserved bytes need datagrams of plain WireGuard: no lwo, s1 to s4 of 0, default h1 to h4, no key, no trailers."
void candidate_read_obfuscation(struct candidate *candidate, struct json_reader *reader, const json_t *interface);
void candidate_read_reserved(struct json_reader *reader, const json_t *value, uint8_t reserved[3]);
void candidate_read_keepalive(struct json_reader *reader, const json_t *value, struct spec_peer *peer);
bool candidate_can_reserve(const struct spec *spec); /* whether its peers may have reserved bytes */
/* Part of candidate_complete; true: a key was taken over that the JSON does not tell of yet. */
bool candidate_complete_obfuscation(struct candidate *candidate, const struct spec *previous);
/* A place where the reader is: HOST:PORT or unix:/path; a fault and a place of kind none when it is not. */
void candidate_read_place(struct json_reader *reader, const char *text, bool is_endpoint, struct spec_place *place);
/* A member that must be there, or NULL with a fault. */
const char *candidate_required_string(struct json_reader *reader, const json_t *value, const char *member);
#define CANDIDATE_INVALID_ID "An id must be 1 to 63 characters of a-z, 0-9, dot, underscore and hyphen, and start with a letter or digit."

#endif
