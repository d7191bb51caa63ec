#include "api/warning.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/spec/json_writer.h"

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

static void add_routes(json_t **warnings, const struct spec *spec)
{
	if (spec->peer_count == 0)
		return;
	for (size_t i = 0; i < spec->dns_count; i++)
		check_server(warnings, spec, &spec->dns[i]);
	for (size_t i = 0; i < spec->forward_count; i++)
		if (spec->forwards[i].direction == SPEC_OUTBOUND)
			check_literal(warnings, spec, spec->forwards[i].name, spec->forwards[i].target.host);
	if (spec->probe.type == SPEC_PROBE_PING)
		check_literal(warnings, spec, "probe", spec->probe.target);
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
	case OPERATION_DELETE:
	case OPERATION_PEER_DELETE: break;
	}
	return false;
}

char *api_warning_members(json_t **warnings, bool always, struct service *service, const struct operation *operation)
{
	char twin[64], *members = NULL;
	if (sets_spec(operation)) {
		add_routes(warnings, &operation->snapshot->spec);
		if (service_find_twin(service, operation->snapshot, twin))
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
