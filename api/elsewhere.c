#include "api/elsewhere.h"

#include <stdio.h>
#include <string.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/suspended_request.h"

/* Lists and documents of everything. */
static bool is_about_all(const struct api_route *route)
{
	return route->handle == api_objects_list || route->handle == api_state_get;
}

/* One tunnel or pool, but for its changes, which every node takes. */
static bool is_about_one(const struct api_route *route)
{
	static const char *const one[] = { "/v1/tunnels/{id}", "/v1/pools/{id}" };
	bool is_change = route->operation != API_ROUTE_NO_OPERATION && route->operation != OPERATION_RECONNECT;
	for (size_t i = 0; i < sizeof(one) / sizeof(one[0]); i++)
		if (strncmp(route->path, one[i], strlen(one[i])) == 0)
			return !is_change && route->scope != SCOPE_NONE;
	return false;
}

static bool is_here(struct api_request *request)
{
	struct service *service = request->api->service;
	const char *id = request->parameters[0];
	bool is_pool = api_route_object(request->route) == SPEC_POOL;
	struct snapshot *snapshot =
	    is_pool ? service_find_pool(service, request->caller.access, id) : service_find(service, request->caller.access, id);
	snapshot_release(snapshot);
	return snapshot != NULL;
}

/* The handler goes on with what was found. */
static void handle(struct api_request *request, struct mutation *mutation)
{
	request->found = mutation;
	request->route->handle(request);
	request->found = NULL;
}

static void finish_all(struct api_request *request, struct mutation *mutation)
{
	if (mutation->problem.code != PROBLEM_NONE)
		api_reply_problem(request, &mutation->problem, NULL);
	else
		handle(request, mutation);
}

/* The API of the node, unless it is lost or this one. */
static bool find_api(struct api_request *request, const char *node, char api[FLEET_ADDRESS])
{
	size_t count;
	struct roster_node *nodes = service_nodes(request->api->service, &count);
	api[0] = '\0';
	for (size_t i = 0; i < count; i++)
		if (strcmp(nodes[i].id, node) == 0 && nodes[i].state != ROSTER_LOST && !nodes[i].is_self)
			memcpy(api, nodes[i].api, FLEET_ADDRESS);
	roster_nodes_free(nodes, count);
	return api[0] != '\0';
}

static void finish_one(struct api_request *request, struct mutation *mutation)
{
	char api[FLEET_ADDRESS];
	if (mutation->problem.code != PROBLEM_NONE) {
		api_reply_problem(request, &mutation->problem, NULL);
		return;
	}
	const char *node = mutation->found[0]->elsewhere->node;
	if (request->route->handle == api_objects_get || request->route->handle == api_tunnels_config)
		handle(request, mutation);
	else if (find_api(request, node, api))
		api_reply_redirect(request, api);
	else if (*node == '\0')
		api_reply_failure(request, PROBLEM_FLEET_UNAVAILABLE, "No node runs this now: there is nothing to tell of it.");
	else
		api_reply_failure(request, PROBLEM_FLEET_UNAVAILABLE,
		                  "Node %s runs this, and it cannot be asked: it is lost, has only begun, or was started without --node-api.", node);
}

bool api_elsewhere_ask(struct api_request *request)
{
	bool is_all = is_about_all(request->route);
	if (service_node(request->api->service) == NULL || !(is_all || (is_about_one(request->route) && !is_here(request))))
		return false;
	struct mutation *mutation = mutation_create(MUTATION_LOOK_UP, 0);
	if (mutation == NULL) {
		api_reply_out_of_memory(request);
		return true;
	}
	mutation->object = api_route_object(request->route);
	/* One that is too long is no id, and nothing has it. */
	if (!is_all && strlen(request->parameters[0]) >= sizeof(mutation->wanted)) {
		mutation_free(mutation);
		return false;
	}
	if (!is_all)
		snprintf(mutation->wanted, sizeof(mutation->wanted), "%s", request->parameters[0]);
	api_suspended_request_send(request, mutation, is_all ? finish_all : finish_one);
	return true;
}
