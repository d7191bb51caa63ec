/* Peers, merged from the spec's JSON and the counters. */
#include "api/peer_json.h"

#include <stdlib.h>

#include "api/tunnel_json.h"
#include "ipc/wall_clock.h"
#include "service/service.h"
#include "service/spec/json_writer.h"

const char *const api_peer_live_members[] = {
	"last_handshake_at", "last_handshake_age", "bytes_sent", "bytes_received", "preshared_key_set", "applied", "warnings", NULL,
};

bool api_peer_find(const struct snapshot *snapshot, const struct wireguard_key *key, size_t *index)
{
	/* Public keys are not secret. */
	const struct spec_peer *peer = spec_peer_find(&snapshot->spec, key);
	*index = peer != NULL ? (size_t)(peer - snapshot->spec.peers) : 0;
	return peer != NULL;
}

static void write_one(struct text *text, const struct snapshot *snapshot, json_t *peers, size_t index, const char *members)
{
	char *written = json_writer_text(json_array_get(peers, index));
	if (written == NULL) {
		text->failed = true;
		return;
	}
	/* It is always an object, whose closing brace is replaced by the live members. */
	text_put_n(text, written, strlen(written) - 1);
	free(written);
	api_tunnel_write_peer_live(text, api_tunnel_peer_counters(snapshot, index), wall_clock_ms());
	if (members != NULL)
		text_put(text, members);
	text_put_char(text, '}');
}

void api_peer_write(struct text *text, const struct snapshot *snapshot, size_t index, const char *members)
{
	json_t *spec = spec_to_json(&snapshot->spec, false);
	write_one(text, snapshot, json_object_get(spec, "peers"), index, members);
	json_decref(spec);
}

void api_peer_write_all(struct text *text, const struct snapshot *snapshot)
{
	json_t *spec = spec_to_json(&snapshot->spec, false), *peers = json_object_get(spec, "peers");
	text->failed |= peers == NULL;
	text_put_char(text, '[');
	for (size_t i = 0; i < json_array_size(peers); i++) {
		if (i > 0)
			text_put_char(text, ',');
		write_one(text, snapshot, peers, i, NULL);
	}
	text_put_char(text, ']');
	json_decref(spec);
}
