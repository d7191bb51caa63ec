#include "service/change/delta_peer.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/key.h"
#include "ipc/place.h"
#include "service/spec/candidate.h"
#include "service/spec/json_writer.h"
#include "service/spec/key_pair.h"
#include "service/spec/spec_json.h"

static struct spec_peer *find(struct spec *spec, const struct wireguard_key *key)
{
	const struct spec_peer *found = spec_peer_find(spec, key);
	return found == NULL ? NULL : &spec->peers[found - spec->peers];
}

static void clear_peer(struct spec_peer *peer)
{
	place_clear(&peer->endpoint);
	free(peer->allowed_ips);
	sodium_memzero(peer, sizeof(*peer));
}

static void remove_peer(struct spec *spec, struct spec_peer *peer)
{
	clear_peer(peer);
	spec->peer_count--;
	memmove(peer, peer + 1, (size_t)(&spec->peers[spec->peer_count] - peer) * sizeof(*peer));
}

/* The document, with the key from the path if it has none. */
static json_t *with_key(const json_t *document, const struct wireguard_key *key)
{
	char text[KEY_TEXT_SIZE];
	struct json_writer writer = { .failed = false };
	json_t *copy = json_writer_copy(&writer, document);
	if (json_object_get(copy, "public_key") == NULL) {
		key_format(key, text);
		json_writer_set(&writer, copy, "public_key", json_string(text));
	}
	return json_writer_end(&writer, copy);
}

static json_t *patched(const struct spec_peer *peer, const json_t *patch)
{
	struct json_writer writer = { .failed = false };
	json_t *document = spec_peer_to_json(peer, true);
	json_t *walked = (json_t *)(uintptr_t)patch;
	const char *name;
	json_t *value;
	/* No member of a peer is an object, so that a merge (RFC 7396) is one level deep. Null stays, because for a secret it means more
	 * than being absent. */
	json_object_foreach (walked, name, value)
		json_writer_set(&writer, document, name, json_incref(value));
	return json_writer_end(&writer, document);
}

static void read_peer(const struct operation *operation, const json_t *document, const struct spec_peer *known, struct spec_peer *peer,
                      struct problem *problem)
{
	struct json_reader reader;
	enum candidate_secret secret = CANDIDATE_SECRET_ABSENT;
	json_reader_init(&reader, "", problem);
	candidate_read_peer(&reader, document, peer, &secret);
	if (memcmp(&peer->public_key, &operation->peer, sizeof(operation->peer)) != 0 && !key_is_zero(&peer->public_key))
		json_reader_fault_at(&reader, "public_key", "mismatch", "This key is another one than the address says.");
	if (secret == CANDIDATE_SECRET_ABSENT && known != NULL) {
		peer->has_preshared_key = known->has_preshared_key;
		peer->preshared_key = known->preshared_key;
	}
}

static void refuse_impossible(const struct operation *operation, const struct spec *spec, const struct spec_peer *known, const struct spec_peer *peer,
                              struct problem *problem)
{
	struct wireguard_key own;
	if (key_pair_public(&own, &spec->private_key) && memcmp(&own, &operation->peer, sizeof(own)) == 0)
		problem_add(problem, "/public_key", "own_key", "This is the tunnel's own public key.");
	if (spec_peer_has_reserved(peer) && !candidate_can_reserve(spec))
		problem_add(problem, "/reserved", "conflict", CANDIDATE_RESERVED_CONFLICT);
	if (known == NULL && spec->peer_count >= SPEC_PEER_MAX)
		problem_add(problem, "", "too_many", "A tunnel can have at most 4096 peers.");
}

static void put_peer(struct spec *spec, const struct operation *operation, struct spec_peer *known, const json_t *document, struct problem *problem)
{
	struct spec_peer peer = { .has_preshared_key = false };
	read_peer(operation, document, known, &peer, problem);
	refuse_impossible(operation, spec, known, &peer, problem);
	if (problem->code != PROBLEM_NONE) {
		clear_peer(&peer);
		return;
	}
	if (known != NULL) {
		clear_peer(known);
		*known = peer;
		return;
	}
	struct spec_peer *grown = calloc(spec->peer_count + 1, sizeof(*grown));
	if (grown == NULL) {
		clear_peer(&peer);
		problem_out_of_memory(problem);
		return;
	}
	if (spec->peers != NULL) {
		memcpy(grown, spec->peers, spec->peer_count * sizeof(*grown));
		sodium_memzero(spec->peers, spec->peer_count * sizeof(*grown));
	}
	free(spec->peers);
	spec->peers = grown;
	spec->peers[spec->peer_count++] = peer;
}

static void change_peers(struct spec *spec, const struct operation *operation, struct problem *problem)
{
	struct spec_peer *known = find(spec, &operation->peer);
	if (known == NULL && operation->kind != OPERATION_PEER_PUT) {
		problem_set(problem, PROBLEM_NOT_FOUND, "The tunnel has no peer with this key.");
		return;
	}
	if (operation->kind == OPERATION_PEER_DELETE) {
		remove_peer(spec, known);
		return;
	}
	if (!json_is_object(operation->document)) {
		problem_add(problem, "", "wrong_type", "A peer must be an object.");
		return;
	}
	json_t *document =
	    operation->kind == OPERATION_PEER_PATCH ? patched(known, operation->document) : with_key(operation->document, &operation->peer);
	if (document == NULL)
		problem_out_of_memory(problem);
	else
		put_peer(spec, operation, known, document, problem);
	json_decref(document);
}

void delta_peer_apply(struct spec *spec, const struct operation *operation, struct problem *problem)
{
	change_peers(spec, operation, problem);
	if (!spec_index_peers(spec))
		problem_out_of_memory(problem);
}
