/* Writes tunnels as JSON text. */
#include "api/tunnel_json.h"

#include "ipc/endpoint.h"
#include "ipc/key.h"
#include "ipc/network.h"
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

/* Under both names: that which WireGuard's tools use, and `wire_bytes_*`, as a tunnel's statistics have it. */
static void put_peer_bytes(struct text *text, const struct counters_peer *peer)
{
	const uint64_t sent = peer != NULL ? counter_read(&peer->bytes_sent) : 0, received = peer != NULL ? counter_read(&peer->bytes_received) : 0;
	text_put(text, ",\"bytes_sent\":");
	text_put_u64(text, sent);
	text_put(text, ",\"bytes_received\":");
	text_put_u64(text, received);
	text_put(text, ",\"wire_bytes_sent\":");
	text_put_u64(text, sent);
	text_put(text, ",\"wire_bytes_received\":");
	text_put_u64(text, received);
}

void api_tunnel_write_peer_live(struct text *text, const struct counters_peer *peer, int64_t now_ms)
{
	int64_t at = peer != NULL ? (int64_t)counter_read(&peer->last_handshake_at) : 0;
	text_put(text, ",\"last_handshake_at\":");
	text_put_json_time(text, at);
	text_put(text, ",\"last_handshake_age\":");
	api_tunnel_put_age(text, at, now_ms);
	put_peer_bytes(text, peer);
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

static bool write_source_fault(struct text *text, bool is_first, const struct snapshot *snapshot)
{
	char detail[STATUS_SOURCE_FAULT_SIZE];
	int64_t at;
	if (!snapshot_source_fault(snapshot, detail, &at))
		return false;
	text_put(text, is_first ? "{\"type\":" : ",{\"type\":");
	text_put(text, snapshot->origin == SNAPSHOT_OF_FLEET ? "\"record_refused\",\"at\":" : "\"FileInvalid\",\"at\":");
	text_put_json_time(text, at);
	text_put(text, ",\"detail\":");
	text_put_json(text, detail);
	text_put_char(text, '}');
	return true;
}

/* What a node that is cut off from its fleet has. */
static bool write_isolation(struct text *text, bool is_first, const struct api_request *request, const struct snapshot *snapshot)
{
	struct roster_summary fleet;
	bool is_ours = snapshot->origin == SNAPSHOT_OF_FLEET && snapshot->elsewhere == NULL;
	if (!is_ours || !service_fleet(request->api->service, &fleet) || fleet.is_connected)
		return false;
	bool stops = snapshot->spec.placement != NULL && snapshot->spec.placement->stops;
	write_condition(text, is_first, "isolated",
	                stops ? "This node is cut off from its fleet, and the tunnel is silent until etcd answers."
	                      : "This node is cut off from its fleet. The tunnel goes on here, and another node may run it, too.");
	return true;
}

static void write_conditions(struct text *text, const struct api_request *request, const struct snapshot *snapshot)
{
	const struct counters_tunnel *counters = snapshot->counters;
	uint64_t limit = snapshot->spec.limits.total_bytes;
	char detail[160];
	text_put_char(text, '[');
	bool is_used_up = counters != NULL && limit > 0 && counter_read(&counters->total_bytes_used) >= limit;
	if (is_used_up)
		write_condition(text, true, "limit_reached", "limits.total_bytes is used up.");
	bool is_first = !is_used_up;
	if (write_source_fault(text, is_first, snapshot) || write_isolation(text, is_first, request, snapshot))
		is_first = false;
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

void api_tunnel_write_listen(struct text *text, const struct snapshot *snapshot)
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

void api_tunnel_put_ms(struct text *text, double value)
{
	if (value >= 0 && value < 1e12)
		text_put_milli(text, (uint64_t)(value * 1000.0 + 0.5));
	else
		text_put(text, "null");
}

void api_tunnel_put_address(struct text *text, const struct wireguard_network *address)
{
	char written[NETWORK_TEXT_SIZE];
	if (address->family == 0) {
		text_put(text, "null");
		return;
	}
	network_format_address(address, written);
	text_put_json(text, written);
}

static void write_probe(struct text *text, const struct spec_probe *spec, const struct status_probe *probe)
{
	text_put(text, "{\"ok\":");
	text_put_json_bool(text, probe->ok);
	text_put(text, ",\"at\":");
	text_put_json_time(text, probe->at);
	text_put(text, ",\"type\":");
	text_put_json(text, spec_probe_type_name(spec->type));
	text_put(text, ",\"target\":");
	text_put_json(text, spec->target);
	text_put(text, ",\"rtt_ms\":");
	api_tunnel_put_ms(text, probe->rtt_ms);
	text_put(text, ",\"failures_in_a_row\":");
	text_put_u64(text, probe->failures);
	text_put(text, ",\"detail\":");
	text_put_json(text, probe->detail);
	text_put_char(text, '}');
}

void api_tunnel_write_health(struct text *text, const struct snapshot *snapshot)
{
	static const char *const names[] = { [TUNNEL_HEALTH_UNKNOWN] = "null", [TUNNEL_HEALTHY] = "true", [TUNNEL_UNHEALTHY] = "false" };
	struct snapshot_health health;
	snapshot_health(snapshot, &health);
	text_put(text, "{\"healthy\":");
	text_put(text, names[health.health]);
	text_put(text, ",\"since\":");
	text_put_json_time(text, health.since);
	text_put(text, ",\"probe\":");
	if (health.has_probe)
		write_probe(text, &snapshot->spec.probe, &health.probe);
	else
		text_put(text, "null");
	text_put(text, ",\"exit_ip\":");
	api_tunnel_put_address(text, &health.probe.exit_ip);
	text_put_char(text, '}');
}

void api_tunnel_write_status_head(struct text *text, const struct snapshot *snapshot)
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
}

/* In a fleet: which node runs it. */
static void write_node(struct text *text, const struct api_request *request, const struct snapshot *snapshot)
{
	const char *self = service_node(request->api->service), *node = snapshot->elsewhere == NULL ? self : snapshot->elsewhere->node;
	if (self == NULL || snapshot->origin != SNAPSHOT_OF_FLEET)
		return;
	text_put(text, ",\"node\":");
	if (*node == '\0')
		text_put(text, "null");
	else
		text_put_json(text, node);
	if (snapshot->elsewhere == NULL || !snapshot->elsewhere->is_told || snapshot->elsewhere->age == UINT64_MAX)
		return;
	text_put(text, ",\"age\":");
	text_put_milli(text, snapshot->elsewhere->age);
}

void api_tunnel_write_worker(struct text *text, const struct api_request *request, const struct snapshot *snapshot)
{
	write_node(text, request, snapshot);
	text_put(text, ",\"worker\":");
	if (snapshot->worker >= 0)
		text_put_u64(text, (uint64_t)snapshot->worker);
	else
		text_put(text, "null");
	text_put(text, ",\"conditions\":");
	write_conditions(text, request, snapshot);
}

/* `most` is of tunnels outside: while changes are committed they may lead in a circle for a moment. */
static uint16_t mtu_inside(const struct api_request *request, const struct spec *spec, unsigned most)
{
	struct snapshot *outer = most == 0 || spec->via == NULL ? NULL : service_find(request->api->service, access_whole(), spec->via);
	uint16_t mtu = outer == NULL ? spec->mtu : spec_mtu_inside(spec, &outer->spec, mtu_inside(request, &outer->spec, most - 1));
	snapshot_release(outer);
	return mtu;
}

uint16_t api_tunnel_mtu(const struct api_request *request, const struct spec *spec)
{
	return mtu_inside(request, spec, SPEC_VIA_MOST);
}

void api_tunnel_write_status(struct text *text, const struct api_request *request, const struct snapshot *snapshot)
{
	api_tunnel_write_status_head(text, snapshot);
	text_put(text, ",\"health\":");
	api_tunnel_write_health(text, snapshot);
	text_put(text, ",\"public_key\":");
	write_key(text, &snapshot->public_key);
	text_put(text, ",\"listen\":");
	api_tunnel_write_listen(text, snapshot);
	text_put(text, ",\"forwards\":");
	write_forwards(text, snapshot);
	text_put(text, ",\"udp_port\":");
	text_put_u64(text, snapshot->udp_port);
	text_put(text, ",\"mtu\":");
	text_put_u64(text, api_tunnel_mtu(request, &snapshot->spec));
	api_tunnel_write_worker(text, request, snapshot);
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

void api_tunnel_write_head(struct text *text, const struct snapshot *snapshot)
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
	text_put(text, ",\"origin\":");
	text_put_json(text, snapshot_origin_name(snapshot->origin));
	text_put(text, ",\"spec\":");
	text_put(text, snapshot->spec_json);
}
