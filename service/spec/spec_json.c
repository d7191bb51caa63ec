/* A spec as JSON, with members in the order of the documentation. */
#include <stdlib.h>

#include "ipc/key.h"
#include "ipc/network.h"
#include "ipc/place.h"
#include "service/spec/json_writer.h"
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

static json_t *interface_to_json(struct json_writer *writer, const struct spec *spec, bool secrets)
{
	json_t *interface = json_object();
	if (secrets && spec->has_private_key)
		json_writer_set(writer, interface, "private_key", key_to_json(&spec->private_key));
	json_writer_set(writer, interface, "addresses", networks_to_json(writer, spec->addresses, spec->address_count, false));
	json_writer_set(writer, interface, "dns", networks_to_json(writer, spec->dns, spec->dns_count, true));
	json_writer_set(writer, interface, "mtu", json_integer(spec->mtu));
	json_writer_set(writer, interface, "listen_port", json_integer(spec->listen_port));
	return interface;
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
	json_writer_set(writer, object, "persistent_keepalive", json_integer(peer->persistent_keepalive));
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

static json_t *limits_to_json(struct json_writer *writer, const struct spec_limits *limits)
{
	json_t *object = json_object();
	json_writer_set(writer, object, "connections", json_integer(limits->connections));
	json_writer_set(writer, object, "rx_bits_per_second", json_integer((json_int_t)limits->rx_bits_per_second));
	json_writer_set(writer, object, "tx_bits_per_second", json_integer((json_int_t)limits->tx_bits_per_second));
	json_writer_set(writer, object, "total_bytes", json_integer((json_int_t)limits->total_bytes));
	return object;
}

static json_t *probe_to_json(struct json_writer *writer, const struct spec_probe *probe)
{
	static const char *const types[] = { [SPEC_PROBE_NONE] = "", [SPEC_PROBE_PING] = "ping", [SPEC_PROBE_TCP] = "tcp", [SPEC_PROBE_DNS] = "dns" };
	json_t *object = json_object();
	json_writer_set(writer, object, "type", json_string(types[probe->type]));
	json_writer_set(writer, object, "target", json_string(probe->target));
	json_writer_set(writer, object, "interval", json_integer(probe->interval));
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

json_t *spec_to_json(const struct spec *spec, bool secrets)
{
	struct json_writer made = { .failed = false }, *writer = &made;
	json_t *object = json_object();
	json_writer_set(writer, object, "enabled", json_boolean(spec->enabled));
	json_writer_set(writer, object, "interface", interface_to_json(writer, spec, secrets));
	json_writer_set(writer, object, "peers", peers_to_json(writer, spec, secrets));
	json_writer_set(writer, object, "proxy", proxy_to_json(writer, spec, secrets));
	json_writer_set(writer, object, "forwards", forwards_to_json(writer, spec));
	json_writer_set(writer, object, "limits", limits_to_json(writer, &spec->limits));
	if (spec->probe.type != SPEC_PROBE_NONE)
		json_writer_set(writer, object, "probe", probe_to_json(writer, &spec->probe));
	return json_writer_end(writer, object);
}
