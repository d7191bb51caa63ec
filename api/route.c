/* The route table and its matching. There are few routes, so a linear search is enough. */
#include "api/route.h"

#include <string.h>

#include "api/handlers.h"
#include "service/service.h"

#define WRITES " dry_run wait timeout "
#define WRITES_WGQUICK " dry_run wait timeout id listen label "
#define NO_EDIT API_ROUTE_NO_OPERATION
#define CONNECTION_FILTER " user client target protocol "
#define TUNNELS "/v1/tunnels"
#define TUNNEL "/v1/tunnels/{id}"
#define POOLS "/v1/pools"
#define POOL "/v1/pools/{id}"

static const struct api_route routes[] = {
	{ "GET", TUNNELS, SCOPE_READ, API_BODY_NONE, " page_size page_token label state healthy view ", NO_EDIT, api_objects_list },
	{ "POST", TUNNELS, SCOPE_WRITE, API_BODY_JSON | API_BODY_WGQUICK, WRITES_WGQUICK, OPERATION_CREATE, api_tunnels_edit },
	{ "DELETE", TUNNELS, SCOPE_WRITE, API_BODY_NONE, " label dry_run ", NO_EDIT, api_tunnels_delete_where },
	{ "GET", TUNNEL, SCOPE_READ, API_BODY_NONE, " view ", NO_EDIT, api_objects_get },
	{ "PUT", TUNNEL, SCOPE_WRITE, API_BODY_JSON | API_BODY_WGQUICK, WRITES_WGQUICK, OPERATION_PUT, api_tunnels_edit },
	{ "PATCH", TUNNEL, SCOPE_WRITE, API_BODY_JSON | API_BODY_MERGE, WRITES, OPERATION_PATCH, api_tunnels_edit },
	{ "DELETE", TUNNEL, SCOPE_WRITE, API_BODY_NONE, " dry_run ", OPERATION_DELETE, api_tunnels_edit },
	{ "GET", TUNNEL "/status", SCOPE_READ, API_BODY_NONE, "", NO_EDIT, api_tunnels_status },
	{ "GET", TUNNEL "/stats", SCOPE_READ, API_BODY_NONE, "", NO_EDIT, api_stats_one },
	{ "GET", TUNNEL "/history", SCOPE_READ, API_BODY_NONE, "", NO_EDIT, api_stats_history },
	{ "GET", TUNNEL "/config", SCOPE_READ, API_BODY_NONE, " include_secrets ", NO_EDIT, api_tunnels_config },
	{ "GET", TUNNEL "/peers", SCOPE_READ, API_BODY_NONE, "", NO_EDIT, api_peers_list },
	{ "GET", TUNNEL "/peers/{key}", SCOPE_READ, API_BODY_NONE, "", NO_EDIT, api_peers_get },
	{ "PUT", TUNNEL "/peers/{key}", SCOPE_WRITE, API_BODY_JSON, " dry_run ", OPERATION_PEER_PUT, api_objects_edit },
	{ "PATCH", TUNNEL "/peers/{key}", SCOPE_WRITE, API_BODY_JSON | API_BODY_MERGE, " dry_run ", OPERATION_PEER_PATCH, api_objects_edit },
	{ "DELETE", TUNNEL "/peers/{key}", SCOPE_WRITE, API_BODY_NONE, " dry_run ", OPERATION_PEER_DELETE, api_objects_edit },
	{ "POST", TUNNEL "/actions/reconnect", SCOPE_WRITE, API_BODY_JSON | API_BODY_OPTIONAL, "", OPERATION_RECONNECT, api_actions_reconnect },
	{ "POST", TUNNEL "/actions/probe", SCOPE_WRITE, API_BODY_JSON | API_BODY_OPTIONAL, "", NO_EDIT, api_actions_probe },
	{ "POST", TUNNEL "/actions/move", SCOPE_WRITE, API_BODY_JSON, "", NO_EDIT, api_actions_move },
	{ "GET", TUNNEL "/connections", SCOPE_READ, API_BODY_NONE, " page_size page_token" CONNECTION_FILTER, NO_EDIT,
	  api_connections_list_of_tunnel },
	{ "GET", "/v1/connections", SCOPE_READ, API_BODY_NONE, " page_size page_token tunnel pool" CONNECTION_FILTER, NO_EDIT, api_connections_list },
	{ "DELETE", "/v1/connections", SCOPE_WRITE, API_BODY_NONE, " dry_run tunnel pool" CONNECTION_FILTER, NO_EDIT, api_connections_delete_where },
	{ "GET", "/v1/connections/{id}", SCOPE_READ, API_BODY_NONE, "", NO_EDIT, api_connections_get },
	{ "DELETE", "/v1/connections/{id}", SCOPE_WRITE, API_BODY_NONE, "", NO_EDIT, api_connections_delete },
	{ "GET", POOLS, SCOPE_READ, API_BODY_NONE, " page_size page_token label state view ", NO_EDIT, api_objects_list },
	{ "POST", POOLS, SCOPE_WRITE, API_BODY_JSON, WRITES, OPERATION_CREATE, api_objects_edit },
	{ "DELETE", POOLS, SCOPE_WRITE, API_BODY_NONE, " label dry_run ", NO_EDIT, api_tunnels_delete_where },
	{ "GET", POOL, SCOPE_READ, API_BODY_NONE, " view ", NO_EDIT, api_objects_get },
	{ "PUT", POOL, SCOPE_WRITE, API_BODY_JSON, WRITES, OPERATION_PUT, api_objects_edit },
	{ "PATCH", POOL, SCOPE_WRITE, API_BODY_JSON | API_BODY_MERGE, WRITES, OPERATION_PATCH, api_objects_edit },
	{ "DELETE", POOL, SCOPE_WRITE, API_BODY_NONE, " dry_run ", OPERATION_DELETE, api_objects_edit },
	{ "GET", POOL "/members", SCOPE_READ, API_BODY_NONE, "", NO_EDIT, api_pools_members },
	{ "GET", POOL "/sessions", SCOPE_READ, API_BODY_NONE, " page_size page_token ", NO_EDIT, api_pool_sessions_list },
	{ "DELETE", POOL "/sessions", SCOPE_WRITE, API_BODY_NONE, "", NO_EDIT, api_pool_sessions_delete_all },
	{ "DELETE", POOL "/sessions/{key}", SCOPE_WRITE, API_BODY_NONE, "", NO_EDIT, api_pool_sessions_delete },
	{ "GET", POOL "/pac", SCOPE_NONE, API_BODY_NONE, "", NO_EDIT, api_pools_pac },
	{ "POST", "/v1/actions/reload", SCOPE_ADMIN, API_BODY_JSON | API_BODY_OPTIONAL, "", NO_EDIT, api_actions_reload },
	{ "POST", "/v1/actions/upgrade", SCOPE_ADMIN, API_BODY_NONE, "", NO_EDIT, api_actions_upgrade },
	{ "GET", "/v1/nodes", SCOPE_READ, API_BODY_NONE, "", NO_EDIT, api_nodes_list },
	{ "GET", "/v1/nodes/{id}", SCOPE_READ, API_BODY_NONE, "", NO_EDIT, api_nodes_get },
	{ "PATCH", "/v1/nodes/{id}", SCOPE_ADMIN, API_BODY_JSON | API_BODY_MERGE, "", NO_EDIT, api_nodes_patch },
	{ "POST", "/v1/workers/{index}/actions/replace", SCOPE_ADMIN, API_BODY_JSON | API_BODY_OPTIONAL, "", NO_EDIT, api_actions_replace },
	{ "POST", "/v1/batch", SCOPE_WRITE, API_BODY_JSON | API_BODY_LARGE, " dry_run ", NO_EDIT, api_batch_run },
	{ "GET", "/v1/state", SCOPE_READ, API_BODY_NONE, " include_secrets include_ports ", NO_EDIT, api_state_get },
	{ "PUT", "/v1/state", SCOPE_WRITE, API_BODY_JSON | API_BODY_LARGE, " dry_run ", NO_EDIT, api_state_put },
	{ "GET", "/v1/stats", SCOPE_READ, API_BODY_NONE, " label state healthy tunnel ", NO_EDIT, api_stats_all },
	{ "GET", "/v1/events", SCOPE_READ, API_BODY_NONE, " since tunnel pool label type ", NO_EDIT, api_event_stream_get },
	{ "POST", "/v1/keys", SCOPE_WRITE, API_BODY_JSON | API_BODY_OPTIONAL, "", NO_EDIT, api_keys_create },
	{ "GET", "/v1/tokens", SCOPE_ADMIN, API_BODY_NONE, "", NO_EDIT, api_tokens_list },
	{ "POST", "/v1/tokens", SCOPE_ADMIN, API_BODY_JSON, "", NO_EDIT, api_tokens_create },
	{ "DELETE", "/v1/tokens/{id}", SCOPE_ADMIN, API_BODY_NONE, "", NO_EDIT, api_tokens_delete },
	{ "GET", "/v1/whoami", SCOPE_METRICS, API_BODY_NONE, "", NO_EDIT, api_tokens_whoami },
	{ "POST", "/v1/actions/rotate-token", SCOPE_ADMIN, API_BODY_NONE, "", NO_EDIT, api_tokens_rotate },
	{ "GET", "/v1/info", SCOPE_READ, API_BODY_NONE, "", NO_EDIT, api_info },
	{ "GET", "/v1/version", SCOPE_READ, API_BODY_NONE, "", NO_EDIT, api_server_health_version },
	{ "GET", "/metrics", SCOPE_METRICS, API_BODY_NONE, "", NO_EDIT, api_metrics_get },
	{ "GET", "/livez", SCOPE_NONE, API_BODY_NONE, "", NO_EDIT, api_server_health_live },
	{ "GET", "/readyz", SCOPE_NONE, API_BODY_NONE, "", NO_EDIT, api_server_health_ready },
	{ "GET", "/openapi.json", SCOPE_NONE, API_BODY_NONE, "", NO_EDIT, api_page_get },
	{ "GET", "/openapi.yaml", SCOPE_NONE, API_BODY_NONE, "", NO_EDIT, api_page_get },
	{ "GET", "/", SCOPE_NONE, API_BODY_NONE, "", NO_EDIT, api_page_get },
	{ "GET", "/page/{file}", SCOPE_NONE, API_BODY_NONE, "", NO_EDIT, api_page_get },
};
#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

size_t api_route_count(void)
{
	return ROUTE_COUNT;
}

const struct api_route *api_route_at(size_t index)
{
	return &routes[index];
}

size_t api_route_index(const struct api_route *route)
{
	return (size_t)(route - routes);
}

/* Compares segment by segment; a parameter matches any segment that is not empty, so that "/v1/tunnels/" is no tunnel. */
static bool is_match(const char *path, const struct api_request_target *target, const char *parameters[API_ROUTE_PARAMETERS_MAX])
{
	size_t segment = 0, parameter = 0;
	for (const char *at = path; *at == '/'; segment++) {
		at++;
		size_t length = strcspn(at, "/");
		if (segment == target->segment_count)
			return false;
		const char *given = target->segments[segment];
		if (*at == '{') {
			if (*given == '\0')
				return false;
			parameters[parameter++] = given;
		} else if (strlen(given) != length || memcmp(given, at, length) != 0) {
			return false;
		}
		at += length;
	}
	return segment == target->segment_count;
}

const struct api_route *api_route_find(const char *method, const struct api_request_target *target, const char *parameters[API_ROUTE_PARAMETERS_MAX],
                                       bool *is_known)
{
	const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
	*is_known = false;
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		parameters[0] = parameters[1] = NULL;
		if (!is_match(routes[i].path, target, parameters))
			continue;
		*is_known = true;
		if (strcmp(routes[i].method, wanted) == 0)
			return &routes[i];
	}
	return NULL;
}

void api_route_allow(const struct api_request_target *target, struct text *text)
{
	const char *parameters[API_ROUTE_PARAMETERS_MAX];
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		if (!is_match(routes[i].path, target, parameters))
			continue;
		if (text->length > 0)
			text_put(text, ", ");
		text_put(text, routes[i].method);
		if (strcmp(routes[i].method, "GET") == 0)
			text_put(text, ", HEAD");
	}
}

enum spec_kind api_route_object(const struct api_route *route)
{
	return strncmp(route->path, POOLS, strlen(POOLS)) == 0 ? SPEC_POOL : SPEC_TUNNEL;
}

bool api_route_knows_query(const struct api_route *route, const char *name)
{
	size_t length = strlen(name);
	if (strchr(name, ' ') != NULL)
		return false;
	for (const char *at = strstr(route->query, name); at != NULL && length > 0; at = strstr(at + 1, name))
		if (at > route->query && at[-1] == ' ' && at[length] == ' ')
			return true;
	return false;
}
