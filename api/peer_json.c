/* Peers, merged from the spec's JSON and the counters. */
#include "api/peer_json.h"

#include <stdlib.h>

#include "api/tunnel_json.h"
#include "ipc/wall_clock.h"
#include "service/service.h"
#include "service/spec/json_writer.h"
#include "service/spec/spec_json.h"

const char *const api_peer_live_members[] = {
	"last_handshake_at",   "last_handshake_age", "bytes_sent", "bytes_received", "wire_bytes_sent",
	"wire_bytes_received", "preshared_key_set",  "applied",    "warnings",       NULL,
};

bool api_peer_find(const struct snapshot *snapshot, const struct wireguard_key *key, size_t *index)
{
	/* Public keys are not secret. */
	const struct spec_peer *peer = spec_peer_find(&snapshot->spec, key);
	*index = peer != NULL ? (size_t)(peer - snapshot->spec.peers) : 0;
	return peer != NULL;
}

void api_peer_write(struct text *text, const struct snapshot *snapshot, size_t index, const char *members)
{
	json_t *peer = spec_peer_to_json(&snapshot->spec.peers[index], false);
	char *written = json_writer_text(peer);
	json_decref(peer);
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

void api_peer_write_all(struct text *text, const struct snapshot *snapshot)
{
	text_put_char(text, '[');
	for (size_t i = 0; i < snapshot->spec.peer_count; i++) {
		if (i > 0)
			text_put_char(text, ',');
		api_peer_write(text, snapshot, i, NULL);
	}
	text_put_char(text, ']');
}
