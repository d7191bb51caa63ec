#include "api/warning.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/tunnel_json.h"
#include "ipc/place.h"
#include "ipc/url.h"
#include "service/spec/json_writer.h"

#define INITIATION_LONGER 56 /* than a response (WireGuard paper, 5.4) */
#define PATH_MTU 1500u

static void add_warning(json_t **warnings, const char *code, json_t *detail)
{
	if (*warnings == NULL)
		*warnings = json_array();
	(void)json_array_append_new(*warnings, json_pack("{s:s, s:o}", "code", code, "detail", detail));
}

static void add(json_t **warnings, const char *what, const char *address, const char *why, const char *effect)
{
	add_warning(warnings, "unroutable", json_sprintf("%s: %s %s, so %s", what, why, address, effect));
}

static void add_twin(json_t **warnings, const char *id)
{
	add_warning(warnings, "duplicate_key",
	            json_sprintf("Tunnel %s uses the same private key with the same peer: each ends the other's sessions.", id));
}

static void check_literal(json_t **warnings, const struct spec *spec, const char *what, const char *host)
{
	uint8_t address[16];
	int family = AF_INET;
	if (host == NULL || inet_pton(family, host, address) != 1) {
		family = AF_INET6;
		if (host == NULL || inet_pton(family, host, address) != 1)
			return;
	}
	if (spec_route(spec, (uint8_t)family, address) == NULL)
		add(warnings, what, host, "no peer's allowed_ips cover", "nothing can be sent to it.");
}

/* A server that is not queried, or not yet. */
static void check_server(json_t **warnings, const struct spec *spec, const struct wireguard_network *server)
{
	char address[NETWORK_TEXT_SIZE];
	const struct spec_peer *peer = spec_route(spec, server->family, server->bytes);
	network_format_address(server, address);
	if (spec_has_address(spec, server->family, server->bytes))
		add(warnings, "interface.dns", address, "the tunnel's own address is", "it is not queried.");
	else if (peer == NULL)
		add(warnings, "interface.dns", address, "no peer's allowed_ips cover", "it is not queried.");
	else if (peer->endpoint.kind == SPEC_PLACE_NONE)
		add(warnings, "interface.dns", address, "a peer without an endpoint has", "it is not queried before that peer is heard from.");
}

/* Its target is an address, or HOST:PORT, or a URL with that in it. */
static void check_probe(json_t **warnings, const struct spec *spec)
{
	struct url url;
	const char *target = spec->probe.target;
	if (spec->probe.type == SPEC_PROBE_PING) {
		check_literal(warnings, spec, "probe", target);
		return;
	}
	bool has_url = spec->probe.type == SPEC_PROBE_HTTP || spec->probe.type == SPEC_PROBE_EXIT_IP;
	if (has_url && url_split(target, &url) == 0)
		target = url.authority;
	else if (spec->probe.type != SPEC_PROBE_TCP)
		return;
	struct spec_place place;
	char with_port[URL_MAX + 4];
	snprintf(with_port, sizeof(with_port), "%s:80", target);
	if (place_parse(target, &place) || place_parse(with_port, &place))
		check_literal(warnings, spec, "probe", place.host);
	place_clear(&place);
}

static void add_routes(json_t **warnings, const struct spec *spec)
{
	if (spec->peer_count == 0)
		return;
	for (size_t i = 0; i < spec->dns_count; i++)
		check_server(warnings, spec, &spec->dns[i]);
	for (size_t i = 0; i < spec->forward_count; i++)
		if (spec->forwards[i].direction == SPEC_OUTBOUND)
			check_literal(warnings, spec, spec->forwards[i].name, spec->forwards[i].target.host);
	check_probe(warnings, spec);
}

static bool has_differing_padding(const struct obfuscation *obfuscation)
{
	for (size_t i = 1; i < OBFUSCATION_MESSAGES; i++)
		if (obfuscation->padding[i] != obfuscation->padding[0])
			return true;
	return false;
}

/* Each packet is longer by s4. */
static void add_fragments(json_t **warnings, const struct spec *spec)
{
	bool is_ipv4 = spec_has_only_ipv4(spec);
	unsigned more = spec_overhead(spec, is_ipv4);
	if (spec->obfuscation->padding[OBFUSCATION_DATA] == 0 || spec->via != NULL || spec->mtu + more <= PATH_MTU)
		return;
	add_warning(
	    warnings, "mtu",
	    json_sprintf("With s4 the largest packets need %u bytes on an IPv%u path and are sent in fragments, unless the mtu is at most %u.",
	                 spec->mtu + more, is_ipv4 ? 4u : 6u, PATH_MTU - more));
}

/* Parameters that are allowed and do harm: with the peer, or on the path. */
static void add_obfuscation(json_t **warnings, const struct spec *spec)
{
	const struct obfuscation *obfuscation = spec->obfuscation;
	if (obfuscation == NULL || obfuscation->type != OBFUSCATION_AMNEZIAWG)
		return;
	if (obfuscation->padding[OBFUSCATION_INITIATION] + INITIATION_LONGER == obfuscation->padding[OBFUSCATION_RESPONSE])
		add_warning(warnings, "equal_sizes",
		            json_string("s1 + 56 = s2: initiations and responses have one size, which AmneziaWG before 3.0 refuses."));
	if (obfuscation->random_trailers && has_differing_padding(obfuscation))
		add_warning(warnings, "ambiguous_data",
		            json_string("With random_trailers and different s1 to s4 other implementations take some data for "
		                        "handshakes and lose it. Equal s1 to s4 avoid that."));
	add_fragments(warnings, spec);
}

/* The tunnel that it goes through, if the caller sees it; a reference. */
static struct snapshot *find_outer(const struct api_request *request, const struct spec *spec)
{
	return spec->via == NULL ? NULL : service_find(request->api->service, request->caller.access, spec->via);
}

static void check_endpoint(json_t **warnings, const struct spec_place *endpoint, const struct spec *outer)
{
	struct wireguard_network address;
	if (endpoint->kind != SPEC_PLACE_INET)
		return;
	if (!network_parse_address(endpoint->host, &address)) {
		if (outer->dns_count == 0)
			add(warnings, "endpoint", endpoint->host, "the outer tunnel has no interface.dns for", "it is not resolved.");
	} else if (spec_route(outer, address.family, address.bytes) == NULL || spec_has_address(outer, address.family, address.bytes)) {
		add(warnings, "endpoint", endpoint->host, "the outer tunnel has no way to", "nothing can be sent to it.");
	}
}

static void add_via(json_t **warnings, const struct api_request *request, const struct spec *spec)
{
	struct snapshot *outer = find_outer(request, spec);
	if (outer == NULL)
		return;
	uint16_t mtu = api_tunnel_mtu(request, spec);
	if (spec->mtu != SPEC_MTU_DEFAULT && mtu < spec->mtu)
		add_warning(warnings, "mtu",
		            json_sprintf("Packets of up to %u bytes fit inside tunnel %s: larger ones are not sent.", mtu, spec->via));
	for (size_t i = 0; i < spec->peer_count; i++)
		check_endpoint(warnings, &spec->peers[i].endpoint, &outer->spec);
	snapshot_release(outer);
}

/* What a pool names may come later: it is a member from then on. */
static void add_missing_members(json_t **warnings, const struct api_request *request, const struct spec_selection *members)
{
	for (size_t i = 0; i < members->tunnel_count; i++) {
		struct snapshot *tunnel = service_find(request->api->service, request->caller.access, members->tunnels[i]);
		if (tunnel == NULL)
			add_warning(warnings, "unknown_tunnel",
			            json_sprintf("There is no tunnel %s; it becomes a member when there is one.", members->tunnels[i]));
		snapshot_release(tunnel);
	}
}

static void add_of_pool(json_t **warnings, const struct api_request *request, const struct spec_pool *pool)
{
	add_missing_members(warnings, request, &pool->members);
	for (size_t i = 0; i < pool->rule_count; i++)
		add_missing_members(warnings, request, &pool->rules[i].members);
}

static void add_weight(json_t **warnings, const struct snapshot *tunnel)
{
	unsigned weight;
	const char *text = spec_label_find(tunnel->labels, tunnel->label_count, POOL_SPEC_WEIGHT_LABEL);
	if (text != NULL && !pool_spec_weight(text, &weight))
		add_warning(warnings, "invalid_weight",
		            json_string("The label warren.weight must be a number from 1 to 100; this tunnel has the weight 1."));
}

static bool sets_spec(const struct operation *operation)
{
	switch (operation->kind) {
	case OPERATION_CREATE:
	case OPERATION_PUT:
	case OPERATION_PATCH:
	case OPERATION_PEER_PUT:
	case OPERATION_PEER_PATCH: return operation->snapshot != NULL;
	case OPERATION_RECONNECT:
	case OPERATION_PROBE:
	case OPERATION_MOVE:
	case OPERATION_COUNT:
	case OPERATION_FORGET:
	case OPERATION_DELETE:
	case OPERATION_PEER_DELETE: break;
	}
	return false;
}

char *api_warning_members(json_t **warnings, bool always, const struct api_request *request, const struct operation *operation)
{
	char twin[64], *members = NULL;
	if (sets_spec(operation) && operation->object == SPEC_POOL) {
		add_of_pool(warnings, request, &operation->snapshot->spec.pool);
	} else if (sets_spec(operation)) {
		add_weight(warnings, operation->snapshot);
		add_routes(warnings, &operation->snapshot->spec);
		add_obfuscation(warnings, &operation->snapshot->spec);
		add_via(warnings, request, &operation->snapshot->spec);
		if (service_find_twin(request->api->service, request->caller.access, operation->snapshot, twin))
			add_twin(warnings, twin);
	}
	if (*warnings == NULL && !always)
		return NULL;
	char *list = *warnings != NULL ? json_writer_text(*warnings) : NULL;
	if (asprintf(&members, ",\"warnings\":%s", list != NULL ? list : "[]") < 0)
		members = NULL;
	free(list);
	return members;
}
