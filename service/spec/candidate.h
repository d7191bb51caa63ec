/* A tunnel as a client wrote it: read and checked without knowing what is there already. Secrets that were left out are marked, and
 * taken over from the tunnel that has them by draft_complete. */
#ifndef WARREN_SERVICE_SPEC_CANDIDATE_H
#define WARREN_SERVICE_SPEC_CANDIDATE_H

#include <jansson.h>

#include "ipc/spec.h"
#include "service/spec/json_reader.h"
#include "service/spec/labels.h"
#include "service/spec/problem.h"

enum draft_secret { DRAFT_SECRET_ABSENT, DRAFT_SECRET_REMOVED, DRAFT_SECRET_SET };

struct draft {
	char id[64];          /* empty when the document has none */
	struct label *labels; /* sorted by key */
	size_t label_count;
	struct spec spec; /* not for use while there are faults */
	char *spec_json;  /* of it, without secrets, when draft_write has made it; or NULL */
	bool generate_private_key;
	enum draft_secret private_key;
	enum draft_secret *preshared_keys; /* spec.peer_count entries */
	enum draft_secret *passwords;      /* spec.user_count entries */
	char pointer[64];                  /* of the document within the request */
	struct problem problem;            /* the faults found so far */
};

void draft_init(struct draft *draft);
void draft_clear(struct draft *draft);
/* Reads a document {"id", "labels", "spec", …}; `pointer` is its place in the request. Everything wrong goes to draft->problem. Any thread. */
void draft_read(struct draft *draft, const json_t *document, const char *pointer);
/* Makes spec_json, which takes long when there are many peers: not on the service's thread. Without memory there is none. */
void draft_write(struct draft *draft);
/* Fills the secrets that were left out from `previous` (or NULL), makes the key that is to be generated, and adds what is still
 * missing to draft->problem. */
void draft_complete(struct draft *draft, const struct spec *previous);

/* One peer, where the reader is. The peer is cleared by the caller, with spec_clear of the spec it is in, whatever comes back. */
void draft_read_peer(struct json_reader *reader, const json_t *value, struct spec_peer *peer, enum draft_secret *preshared_key);
/* The parts of a spec that draft_read reads, in files of their own. */
void draft_read_proxy(struct draft *draft, struct json_reader *reader, const json_t *spec);
void draft_read_forwards(struct draft *draft, struct json_reader *reader, const json_t *spec);
void draft_read_limits(struct draft *draft, struct json_reader *reader, const json_t *spec);
void draft_read_probe(struct json_reader *reader, const json_t *value, struct spec_probe *probe);
/* A place where the reader is: HOST:PORT or unix:/path; a fault and a place of kind none when it is not. */
void draft_read_place(struct json_reader *reader, const char *text, struct spec_place *place);
bool draft_id_is_valid(const char *id);

#endif
