/* A spec as JSON, with members in the order of the documentation. */
#include <stdlib.h>

#include "ipc/key.h"
#include "ipc/network.h"
#include "ipc/place.h"
#include "ipc/wall_clock.h"
#include "service/spec/json_writer.h"
#include "service/spec/labels.h"
#include "service/spec/spec_pool_json.h"
#include "service/spec/spec_json.h"

static json_t *key_to_json(const struct wireguard_key *key)
{
	char text[KEY_TEXT_SIZE];
	key_format(key, text);
	return json_string(text);
}

static json_t *place_to_json(const struct spec_place *place)
{
	char *text = place_format(place);
	json_t *value = text == NULL ? NULL : json_string(text);
	free(text);
	return value;
}

static json_t *network_to_json(const struct wireguard_network *network, bool is_bare)
{
	char text[NETWORK_TEXT_SIZE];
	if (is_bare)
		network_format_address(network, text);
	else
		network_format(network, text);
	return json_string(text);
}

static json_t *networks_to_json(struct json_writer *writer, const struct wireguard_network *networks, size_t count, bool is_bare)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_writer_add(writer, list, network_to_json(&networks[i], is_bare));
	return list;
}

static json_t *range_to_json(const struct obfuscation_range *range)
{
	char text[OBFUSCATION_RANGE_TEXT];
	obfuscation_range_format(range, text);
	return json_string(text);
}

static json_t *field_to_json(const struct obfuscation *obfuscation, const struct obfuscation_field *field)
{
	const void *value = (const char *)obfuscation + field->offset;
	switch (field->value) {
	case OBFUSCATION_NUMBER: return json_integer(*(const uint16_t *)value);
	case OBFUSCATION_RANGE: return range_to_json(value);
	case OBFUSCATION_TEXT: return json_string(*(char *const *)value);
	case OBFUSCATION_KEY: return key_to_json(value);
	case OBFUSCATION_SWITCH: return json_boolean(*(const bool *)value);
	}
	return NULL;
}

/* What has its default is left out. */
static json_t *obfuscation_to_json(struct json_writer *writer, const struct obfuscation *obfuscation, bool secrets)
{
	json_t *object = json_object();
	json_writer_set(writer, object, "type", json_string(obfuscation_type_name(obfuscation->type)));
	if (obfuscation->type == OBFUSCATION_LWO)
		return object;
	for (size_t i = 0; i < obfuscation_field_count; i++) {
		const struct obfuscation_field *field = &obfuscation_fields[i];
		if (!obfuscation_is_default(obfuscation, field) && (secrets || field->value != OBFUSCATION_KEY))
			json_writer_set(writer, object, field->member, field_to_json(obfuscation, field));
	}
	if (!secrets)
		json_writer_set(writer, object, "header_protection_key_set", json_boolean(obfuscation_has_header_key(obfuscation)));
	return object;
}

static json_t *interface_to_json(struct json_writer *writer, const struct spec *spec, bool secrets)
{
	json_t *interface = json_object();
	if (secrets && spec->has_private_key)
		json_writer_set(writer, interface, "private_key", key_to_json(&spec->private_key));
	json_writer_set(writer, interface, "addresses", networks_to_json(writer, spec->addresses, spec->address_count, false));
	json_writer_set(writer, interface, "dns", networks_to_json(writer, spec->dns, spec->dns_count, true));
	json_writer_set(writer, interface, "mtu", json_integer(spec->mtu));
	json_writer_set(writer, interface, "listen_port", json_integer(spec->listen_port));
	if (spec->via != NULL)
		json_writer_set(writer, interface, "via", json_string(spec->via));
	if (spec->obfuscation != NULL)
		json_writer_set(writer, interface, "obfuscation", obfuscation_to_json(writer, spec->obfuscation, secrets));
	return interface;
}

static json_t *keepalive_to_json(const struct spec_peer *peer)
{
	struct obfuscation_range range = { peer->persistent_keepalive, peer->persistent_keepalive_most };
	return range.high == 0 ? json_integer(range.low) : range_to_json(&range);
}

static json_t *peer_to_json(struct json_writer *writer, const struct spec_peer *peer, bool secrets)
{
	json_t *object = json_object();
	json_writer_set(writer, object, "public_key", key_to_json(&peer->public_key));
	if (secrets && peer->has_preshared_key)
		json_writer_set(writer, object, "preshared_key", key_to_json(&peer->preshared_key));
	if (!secrets)
		json_writer_set(writer, object, "preshared_key_set", json_boolean(peer->has_preshared_key));
	if (peer->endpoint.kind != SPEC_PLACE_NONE)
		json_writer_set(writer, object, "endpoint", place_to_json(&peer->endpoint));
	json_writer_set(writer, object, "allowed_ips", networks_to_json(writer, peer->allowed_ips, peer->allowed_ip_count, false));
	json_writer_set(writer, object, "persistent_keepalive", keepalive_to_json(peer));
	if (spec_peer_has_reserved(peer))
		json_writer_set(writer, object, "reserved", json_pack("[i, i, i]", peer->reserved[0], peer->reserved[1], peer->reserved[2]));
	return object;
}

static json_t *users_to_json(struct json_writer *writer, const struct spec *spec, bool secrets)
{
	json_t *list = json_array();
	for (size_t i = 0; i < spec->user_count; i++) {
		json_t *user = json_object();
		json_writer_set(writer, user, "username", json_string(spec->users[i].username));
		if (secrets)
			json_writer_set(writer, user, "password", json_string(spec->users[i].password));
		else
			json_writer_set(writer, user, "password_set", json_true());
		json_writer_add(writer, list, user);
	}
	return list;
}

static json_t *proxy_to_json(struct json_writer *writer, const struct spec *spec, bool secrets)
{
	json_t *proxy = json_object(), *listen = json_array(), *protocols = json_array();
	for (size_t i = 0; i < spec->listen_count; i++)
		json_writer_add(writer, listen, place_to_json(&spec->listen[i]));
	if (spec->protocols & SPEC_HTTP)
		json_writer_add(writer, protocols, json_string("http"));
	if (spec->protocols & SPEC_SOCKS5)
		json_writer_add(writer, protocols, json_string("socks5"));
	if (spec->protocols & SPEC_SOCKS4)
		json_writer_add(writer, protocols, json_string("socks4"));
	json_writer_set(writer, proxy, "listen", listen);
	json_writer_set(writer, proxy, "protocols", protocols);
	json_writer_set(writer, proxy, "users", users_to_json(writer, spec, secrets));
	json_writer_set(writer, proxy, "connect_timeout", json_integer(spec->connect_timeout));
	json_writer_set(writer, proxy, "idle_timeout", json_integer(spec->idle_timeout));
	json_writer_set(writer, proxy, "allow_private_targets", json_boolean(spec->allow_private_targets));
	return proxy;
}

static json_t *forwards_to_json(struct json_writer *writer, const struct spec *spec)
{
	json_t *list = json_array();
	for (size_t i = 0; i < spec->forward_count; i++) {
		const struct spec_forward *forward = &spec->forwards[i];
		json_t *object = json_object();
		json_writer_set(writer, object, "name", json_string(forward->name));
		json_writer_set(writer, object, "direction", json_string(forward->direction == SPEC_INBOUND ? "inbound" : "outbound"));
		json_writer_set(writer, object, "protocol", json_string(forward->transport == SPEC_UDP ? "udp" : "tcp"));
		json_writer_set(writer, object, "listen", place_to_json(&forward->listen));
		json_writer_set(writer, object, "target", place_to_json(&forward->target));
		json_writer_add(writer, list, object);
	}
	return list;
}

static json_t *limits_to_json(struct json_writer *writer, const struct spec *spec)
{
	const struct spec_limits *limits = &spec->limits;
	json_t *object = json_object();
	json_writer_set(writer, object, "connections", json_integer(limits->connections));
	if (spec->kind == SPEC_POOL)
		return object;
	json_writer_set(writer, object, "rx_bits_per_second", json_integer((json_int_t)limits->rx_bits_per_second));
	json_writer_set(writer, object, "tx_bits_per_second", json_integer((json_int_t)limits->tx_bits_per_second));
	json_writer_set(writer, object, "total_bytes", json_integer((json_int_t)limits->total_bytes));
	return object;
}

static json_t *status_to_json(const struct spec_probe *probe)
{
	if (probe->status_low == probe->status_high)
		return json_integer(probe->status_low);
	return json_sprintf("%u-%u", (unsigned)probe->status_low, (unsigned)probe->status_high);
}

static json_t *probe_to_json(struct json_writer *writer, const struct spec_probe *probe)
{
	json_t *object = json_object();
	json_writer_set(writer, object, "type", json_string(spec_probe_type_name(probe->type)));
	json_writer_set(writer, object, "target", json_string(probe->target));
	json_writer_set(writer, object, "interval", json_integer(probe->interval));
	json_writer_set(writer, object, "timeout", json_integer(probe->timeout));
	json_writer_set(writer, object, "unhealthy_after", json_integer(probe->unhealthy_after));
	if (probe->type == SPEC_PROBE_HTTP)
		json_writer_set(writer, object, "expected_status", status_to_json(probe));
	return object;
}

json_t *spec_peer_to_json(const struct spec_peer *peer, bool secrets)
{
	struct json_writer writer = { .failed = false };
	return json_writer_end(&writer, peer_to_json(&writer, peer, secrets));
}

static json_t *peers_to_json(struct json_writer *writer, const struct spec *spec, bool secrets)
{
	json_t *list = json_array();
	for (size_t i = 0; i < spec->peer_count; i++)
		json_writer_add(writer, list, peer_to_json(writer, &spec->peers[i], secrets));
	return list;
}

static void add_pool(struct json_writer *writer, json_t *object, const struct spec *spec, bool secrets)
{
	json_writer_set(writer, object, "proxy", proxy_to_json(writer, spec, secrets));
	spec_pool_to_json(writer, object, &spec->pool);
	json_writer_set(writer, object, "limits", limits_to_json(writer, spec));
}

static void add_tunnel(struct json_writer *writer, json_t *object, const struct spec *spec, bool secrets)
{
	json_writer_set(writer, object, "interface", interface_to_json(writer, spec, secrets));
	json_writer_set(writer, object, "peers", peers_to_json(writer, spec, secrets));
	json_writer_set(writer, object, "proxy", proxy_to_json(writer, spec, secrets));
	json_writer_set(writer, object, "forwards", forwards_to_json(writer, spec));
	json_writer_set(writer, object, "limits", limits_to_json(writer, spec));
	if (spec->expires_at != 0) {
		char written[WALL_CLOCK_TEXT_MAX];
		wall_clock_format(written, spec->expires_at);
		json_writer_set(writer, object, "expires_at", json_string(written));
	}
	if (spec->probe.type != SPEC_PROBE_NONE)
		json_writer_set(writer, object, "probe", probe_to_json(writer, &spec->probe));
}

static json_t *placement_to_json(struct json_writer *writer, const struct placement_spec *placement)
{
	json_t *object = json_object();
	if (placement->node[0] != '\0')
		json_writer_set(writer, object, "node", json_string(placement->node));
	if (placement->label_count > 0)
		json_writer_set(writer, object, "labels", labels_to_json(placement->labels, placement->label_count));
	json_writer_set(writer, object, "on_isolation", json_string(placement->stops ? "stop" : "keep"));
	return object;
}

json_t *spec_to_json(const struct spec *spec, bool secrets)
{
	struct json_writer writer = { .failed = false };
	json_t *object = json_object();
	json_writer_set(&writer, object, "enabled", json_boolean(spec->enabled));
	if (spec->kind == SPEC_POOL)
		add_pool(&writer, object, spec, secrets);
	else
		add_tunnel(&writer, object, spec, secrets);
	if (spec->placement != NULL)
		json_writer_set(&writer, object, "placement", placement_to_json(&writer, spec->placement));
	return json_writer_end(&writer, object);
}
