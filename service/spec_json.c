/* A spec as JSON, in the order of members that the documentation shows. */
#include <stdlib.h>

#include "service/service.h"
#include "service/spec_json.h"
#include "service/spec_text.h"

static void set(json_t *object, const char *member, json_t *value)
{
	/* Both may be NULL when memory ran out; spec_to_json counts that at the end by what is missing. */
	(void)json_object_set_new(object, member, value);
}

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

static json_t *networks_to_json(const struct wireguard_network *networks, size_t count, bool is_bare)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(list, network_to_json(&networks[i], is_bare));
	return list;
}

static json_t *interface_to_json(const struct spec *spec, bool secrets)
{
	json_t *interface = json_object();
	if (secrets && spec->has_private_key)
		set(interface, "private_key", key_to_json(&spec->private_key));
	set(interface, "addresses", networks_to_json(spec->addresses, spec->address_count, false));
	set(interface, "dns", networks_to_json(spec->dns, spec->dns_count, true));
	set(interface, "mtu", json_integer(spec->mtu));
	set(interface, "listen_port", json_integer(spec->listen_port));
	return interface;
}

json_t *spec_peer_to_json(const struct spec_peer *peer, bool secrets)
{
	json_t *object = json_object();
	set(object, "public_key", key_to_json(&peer->public_key));
	if (secrets && peer->has_preshared_key)
		set(object, "preshared_key", key_to_json(&peer->preshared_key));
	if (!secrets)
		set(object, "preshared_key_set", json_boolean(peer->has_preshared_key));
	if (peer->endpoint.kind != SPEC_PLACE_NONE)
		set(object, "endpoint", place_to_json(&peer->endpoint));
	set(object, "allowed_ips", networks_to_json(peer->allowed_ips, peer->allowed_ip_count, false));
	set(object, "persistent_keepalive", json_integer(peer->persistent_keepalive));
	return object;
}

static json_t *users_to_json(const struct spec *spec, bool secrets)
{
	json_t *list = json_array();
	for (size_t i = 0; i < spec->user_count; i++) {
		json_t *user = json_object();
		set(user, "username", json_string(spec->users[i].username));
		if (secrets)
			set(user, "password", json_string(spec->users[i].password));
		else
			set(user, "password_set", json_true());
		(void)json_array_append_new(list, user);
	}
	return list;
}

static json_t *proxy_to_json(const struct spec *spec, bool secrets)
{
	json_t *proxy = json_object(), *listen = json_array(), *protocols = json_array();
	for (size_t i = 0; i < spec->listen_count; i++)
		(void)json_array_append_new(listen, place_to_json(&spec->listen[i]));
	if (spec->protocols & SPEC_HTTP)
		(void)json_array_append_new(protocols, json_string("http"));
	if (spec->protocols & SPEC_SOCKS5)
		(void)json_array_append_new(protocols, json_string("socks5"));
	if (spec->protocols & SPEC_SOCKS4)
		(void)json_array_append_new(protocols, json_string("socks4"));
	set(proxy, "listen", listen);
	set(proxy, "protocols", protocols);
	set(proxy, "users", users_to_json(spec, secrets));
	set(proxy, "connect_timeout", json_integer(spec->connect_timeout));
	set(proxy, "idle_timeout", json_integer(spec->idle_timeout));
	set(proxy, "allow_private_targets", json_boolean(spec->allow_private_targets));
	return proxy;
}

static json_t *forwards_to_json(const struct spec *spec)
{
	json_t *list = json_array();
	for (size_t i = 0; i < spec->forward_count; i++) {
		const struct spec_forward *forward = &spec->forwards[i];
		json_t *object = json_object();
		set(object, "name", json_string(forward->name));
		set(object, "direction", json_string(forward->direction == SPEC_INBOUND ? "inbound" : "outbound"));
		set(object, "protocol", json_string(forward->transport == SPEC_UDP ? "udp" : "tcp"));
		set(object, "listen", place_to_json(&forward->listen));
		set(object, "target", place_to_json(&forward->target));
		(void)json_array_append_new(list, object);
	}
	return list;
}

static json_t *limits_to_json(const struct spec_limits *limits)
{
	json_t *object = json_object();
	set(object, "connections", json_integer(limits->connections));
	set(object, "rx_bits_per_second", json_integer((json_int_t)limits->rx_bits_per_second));
	set(object, "tx_bits_per_second", json_integer((json_int_t)limits->tx_bits_per_second));
	set(object, "total_bytes", json_integer((json_int_t)limits->total_bytes));
	return object;
}

static json_t *probe_to_json(const struct spec_probe *probe)
{
	static const char *const types[] = { [SPEC_PROBE_NONE] = "", [SPEC_PROBE_PING] = "ping", [SPEC_PROBE_TCP] = "tcp", [SPEC_PROBE_DNS] = "dns" };
	json_t *object = json_object();
	set(object, "type", json_string(types[probe->type]));
	set(object, "target", json_string(probe->target));
	set(object, "interval", json_integer(probe->interval));
	return object;
}

json_t *spec_to_json(const struct spec *spec, bool secrets)
{
	json_t *object = json_object(), *peers = json_array();
	for (size_t i = 0; i < spec->peer_count; i++)
		(void)json_array_append_new(peers, spec_peer_to_json(&spec->peers[i], secrets));
	set(object, "enabled", json_boolean(spec->enabled));
	set(object, "interface", interface_to_json(spec, secrets));
	set(object, "peers", peers);
	set(object, "proxy", proxy_to_json(spec, secrets));
	set(object, "forwards", forwards_to_json(spec));
	set(object, "limits", limits_to_json(&spec->limits));
	size_t expected = 6;
	if (spec->probe.type != SPEC_PROBE_NONE) {
		set(object, "probe", probe_to_json(&spec->probe));
		expected++;
	}
	if (json_object_size(object) == expected && json_array_size(peers) == spec->peer_count)
		return object;
	json_decref(object);
	return NULL;
}
