/* Writes tunnels as JSON text. */
#include "api/tunnel_json.h"

#include "ipc/endpoint.h"
#include "ipc/key.h"
#include "ipc/wall_clock.h"

static void put_place(struct text *text, const struct spec_place *place)
{
	bool is_v6 = strchr(place->host, ':') != NULL;
	text_put(text, is_v6 ? "[" : "");
	text_put(text, place->host);
	text_put(text, is_v6 ? "]:" : ":");
	text_put_u64(text, place->port);
}

const struct counters_peer *api_tunnel_peer_counters(const struct snapshot *snapshot, size_t peer)
{
	return snapshot->peer_counters != NULL ? snapshot->peer_counters[peer] : NULL;
}

bool api_tunnel_put_endpoint(struct text *text, const struct snapshot *snapshot, size_t peer)
{
	const struct counters_peer *counters = api_tunnel_peer_counters(snapshot, peer);
	union wireguard_endpoint seen;
	if (counters != NULL && counters_endpoint(counters, &seen)) {
		char written[64];
		endpoint_format(&seen, written);
		text_put(text, written);
		return true;
	}
	const struct spec_place *configured = &snapshot->spec.peers[peer].endpoint;
	if (configured->kind != SPEC_PLACE_INET || configured->host == NULL)
		return false;
	put_place(text, configured);
	return true;
}

int64_t api_tunnel_last_handshake(const struct snapshot *snapshot)
{
	uint64_t last = 0;
	for (size_t i = 0; i < snapshot->spec.peer_count; i++) {
		const struct counters_peer *counters = api_tunnel_peer_counters(snapshot, i);
		uint64_t at = counters != NULL ? counter_read(&counters->last_handshake_at) : 0;
		last = at > last ? at : last;
	}
	return (int64_t)last;
}

void api_tunnel_put_age(struct text *text, int64_t at_ms, int64_t now_ms)
{
	if (at_ms <= 0)
		text_put(text, "null");
	else
		text_put_milli(text, now_ms > at_ms ? (uint64_t)(now_ms - at_ms) : 0);
}

void api_tunnel_write_peer_live(struct text *text, const struct counters_peer *peer, int64_t now_ms)
{
	int64_t at = peer != NULL ? (int64_t)counter_read(&peer->last_handshake_at) : 0;
	text_put(text, ",\"last_handshake_at\":");
	text_put_json_time(text, at);
	text_put(text, ",\"last_handshake_age\":");
	api_tunnel_put_age(text, at, now_ms);
	text_put(text, ",\"bytes_sent\":");
	text_put_u64(text, peer != NULL ? counter_read(&peer->bytes_sent) : 0);
	text_put(text, ",\"bytes_received\":");
	text_put_u64(text, peer != NULL ? counter_read(&peer->bytes_received) : 0);
}

void api_tunnel_write_peers(struct text *text, const struct snapshot *snapshot, int64_t now_ms)
{
	text_put_char(text, '[');
	for (size_t i = 0; i < snapshot->spec.peer_count; i++) {
		text_put(text, i > 0 ? ",{\"public_key\":\"" : "{\"public_key\":\"");
		text_put_base64(text, snapshot->spec.peers[i].public_key.bytes, 32);
		text_put(text, "\",\"endpoint\":");
		size_t before = text->length;
		text_put_char(text, '"');
		if (api_tunnel_put_endpoint(text, snapshot, i)) {
			text_put_char(text, '"');
		} else {
			text->length = text->failed ? text->length : before;
			text_put(text, "null");
		}
		api_tunnel_write_peer_live(text, api_tunnel_peer_counters(snapshot, i), now_ms);
		text_put_char(text, '}');
	}
	text_put_char(text, ']');
}

static void write_condition(struct text *text, bool is_first, const char *type, const char *detail)
{
	text_put(text, is_first ? "{\"type\":" : ",{\"type\":");
	text_put_json(text, type);
	text_put(text, ",\"detail\":");
	text_put_json(text, detail);
	text_put_char(text, '}');
}

/* The conditions. */
static void write_conditions(struct text *text, const struct snapshot *snapshot)
{
	const struct counters_tunnel *counters = snapshot->counters;
	uint64_t limit = snapshot->spec.limits.total_bytes;
	char detail[160];
	text_put_char(text, '[');
	bool is_used_up = counters != NULL && limit > 0 && counter_read(&counters->total_bytes_used) >= limit;
	if (is_used_up)
		write_condition(text, true, "limit_reached", "limits.total_bytes is used up.");
	bool is_first = !is_used_up;
	for (unsigned i = 0; counters != NULL && i < MESSAGE_CONDITIONS; i++) {
		uint64_t value = counter_read(&counters->conditions[i]);
		if (value == 0)
			continue;
		message_condition_detail((enum message_condition_type)i, value, detail);
		write_condition(text, is_first, message_condition_name((enum message_condition_type)i), detail);
		is_first = false;
	}
	text_put_char(text, ']');
}

static void write_listen(struct text *text, const struct snapshot *snapshot)
{
	text_put_char(text, '[');
	for (size_t i = 0; i < snapshot->listen_count; i++) {
		if (i > 0)
			text_put_char(text, ',');
		text_put_json(text, snapshot->listen[i]);
	}
	text_put_char(text, ']');
}

static void write_forwards(struct text *text, const struct snapshot *snapshot)
{
	bool is_first = true;
	text_put_char(text, '[');
	for (size_t i = 0; snapshot->forwards && i < snapshot->spec.forward_count; i++) {
		if (!snapshot->forwards[i])
			continue;
		text_put(text, is_first ? "{\"name\":" : ",{\"name\":");
		text_put_json(text, snapshot->spec.forwards[i].name);
		text_put(text, ",\"listen\":");
		text_put_json(text, snapshot->forwards[i]);
		text_put_char(text, '}');
		is_first = false;
	}
	text_put_char(text, ']');
}

static void write_key(struct text *text, const struct wireguard_key *key)
{
	if (key_is_zero(key)) {
		text_put(text, "null");
		return;
	}
	text_put_char(text, '"');
	text_put_base64(text, key->bytes, sizeof(key->bytes));
	text_put_char(text, '"');
}

void api_tunnel_write_status(struct text *text, const struct snapshot *snapshot)
{
	struct snapshot_status status;
	snapshot_status(snapshot, &status);
	text_put(text, "{\"observed_generation\":");
	text_put_u64(text, status.observed_generation);
	text_put(text, ",\"state\":");
	text_put_json(text, tunnel_state_name(status.state));
	text_put(text, ",\"reason\":");
	text_put_json(text, status.reason);
	text_put(text, ",\"since\":");
	text_put_json_time(text, status.since);
	text_put(text, ",\"public_key\":");
	write_key(text, &snapshot->public_key);
	text_put(text, ",\"listen\":");
	write_listen(text, snapshot);
	text_put(text, ",\"forwards\":");
	write_forwards(text, snapshot);
	text_put(text, ",\"udp_port\":");
	text_put_u64(text, snapshot->udp_port);
	text_put(text, ",\"worker\":");
	if (snapshot->worker >= 0)
		text_put_u64(text, (uint64_t)snapshot->worker);
	else
		text_put(text, "null");
	text_put(text, ",\"conditions\":");
	write_conditions(text, snapshot);
	text_put(text, ",\"peers\":");
	api_tunnel_write_peers(text, snapshot, wall_clock_ms());
	text_put_char(text, '}');
}

static void write_identity(struct text *text, const struct snapshot *snapshot)
{
	text_put(text, "{\"id\":");
	text_put_json(text, snapshot->id);
	text_put(text, ",\"labels\":");
	text_put(text, snapshot->labels_json);
}

void api_tunnel_write_state(struct text *text, const struct snapshot *snapshot, const char *spec)
{
	write_identity(text, snapshot);
	text_put(text, ",\"spec\":");
	text_put(text, spec != NULL ? spec : snapshot->spec_json);
	text_put_char(text, '}');
}

void api_tunnel_write(struct text *text, const struct snapshot *snapshot, bool is_full, const char *members)
{
	write_identity(text, snapshot);
	text_put(text, ",\"etag\":\"\\\"");
	text_put_u64(text, snapshot->revision);
	text_put(text, "\\\"\",\"generation\":");
	text_put_u64(text, snapshot->generation);
	text_put(text, ",\"created_at\":");
	text_put_json_time(text, snapshot->created_at);
	text_put(text, ",\"updated_at\":");
	text_put_json_time(text, snapshot->updated_at);
	text_put(text, ",\"spec\":");
	text_put(text, snapshot->spec_json);
	if (is_full) {
		text_put(text, ",\"status\":");
		api_tunnel_write_status(text, snapshot);
	}
	if (members != NULL)
		text_put(text, members);
	text_put_char(text, '}');
}
