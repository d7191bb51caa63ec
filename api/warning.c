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

static void add(json_t **warnings, const char *what, const char *address, const char *effect)
{
	add_warning(warnings, "unroutable", json_sprintf("%s: no peer's allowed_ips cover %s, so %s", what, address, effect));
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
	if (!spec_has_route(spec, (uint8_t)family, address))
		add(warnings, what, host, "nothing can be sent to it.");
}

static void add_routes(json_t **warnings, const struct spec *spec)
{
	char address[INET6_ADDRSTRLEN];
	if (spec->peer_count == 0)
		return;
	for (size_t i = 0; i < spec->dns_count; i++)
		if (!spec_has_route(spec, spec->dns[i].family, spec->dns[i].bytes) &&
		    inet_ntop(spec->dns[i].family, spec->dns[i].bytes, address, sizeof(address)) != NULL)
			add(warnings, "interface.dns", address, "it is not queried.");
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
