/* /v1/nodes: the nodes of the fleet that this daemon is one of. Without a fleet there are none. */
#include <stdlib.h>
#include <string.h>

#include "api/json_body.h"
#include "api/handlers.h"
#include "api/reply.h"

static void put_node(struct text *body, const struct roster_node *node)
{
	text_printf(body, "{\"id\":\"%s\",\"labels\":%s,\"capacity\":%u,\"tunnels\":%llu,\"state\":\"%s\",\"api\":", node->id, node->labels,
	            node->capacity, (unsigned long long)node->tunnels, roster_state_name(node->state));
	text_put_json(body, node->api);
	text_put(body, ",\"version\":");
	text_put_json(body, node->version);
	text_printf(body, ",\"lease_expires_in\":%.1f,\"is_self\":%s}", (double)node->expires_in / 1000, node->is_self ? "true" : "false");
}

/* All nodes. NULL: a reply was sent. */
static struct roster_node *read_nodes(struct api_request *request, size_t *count)
{
	if (!access_is_whole(request->caller.access)) {
		api_reply_failure(request, PROBLEM_FORBIDDEN, "This is about the whole fleet, and the token is bound to labels.");
		return NULL;
	}
	struct roster_node *nodes = service_nodes(request->api->service, count);
	if (nodes == NULL)
		api_reply_out_of_memory(request);
	return nodes;
}

void api_nodes_list(struct api_request *request)
{
	size_t count;
	struct roster_node *nodes = read_nodes(request, &count);
	if (nodes == NULL)
		return;
	struct text body;
	text_init(&body);
	text_put(&body, "{\"nodes\":[");
	for (size_t i = 0; i < count; i++) {
		text_put(&body, i == 0 ? "" : ",");
		put_node(&body, &nodes[i]);
	}
	text_put(&body, "]}");
	roster_nodes_free(nodes, count);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

/* The one that the path names. NULL: a reply was sent. */
static const struct roster_node *find(struct api_request *request, const struct roster_node *nodes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(nodes[i].id, request->parameters[0]) == 0)
			return &nodes[i];
	api_reply_failure(request, PROBLEM_NOT_FOUND, "There is no such node.");
	return NULL;
}

static void reply_node(struct api_request *request, const struct roster_node *node)
{
	struct text body;
	text_init(&body);
	put_node(&body, node);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_nodes_get(struct api_request *request)
{
	size_t count = 0;
	struct roster_node *nodes = read_nodes(request, &count);
	const struct roster_node *node = nodes == NULL ? NULL : find(request, nodes, count);
	if (node != NULL)
		reply_node(request, node);
	roster_nodes_free(nodes, count);
}

/* False when a problem was replied. */
static bool read_draining(struct api_request *request, bool *is_draining)
{
	static const char *const known[] = { "draining", NULL };
	struct problem problem;
	json_t *document = api_request_document(request);
	if (document == NULL)
		return false;
	problem_init(&problem);
	api_json_body_check_members(document, "", known, &problem);
	const json_t *draining = json_object_get(document, "draining");
	if (!json_is_boolean(draining))
		problem_add(&problem, "/draining", draining == NULL ? "required" : "wrong_type", "This must be true or false.");
	*is_draining = json_is_true(draining);
	bool is_read = problem.code == PROBLEM_NONE;
	if (!is_read)
		api_reply_problem(request, &problem, NULL);
	problem_clear(&problem);
	json_decref(document);
	return is_read;
}

/* A node drains itself: another's request is for its API. */
static void patch(struct api_request *request, struct roster_node *node, bool is_draining)
{
	if (!node->is_self && node->state == ROSTER_LOST) {
		api_reply_failure(request, PROBLEM_WORKER_UNAVAILABLE, "This node is lost. Others have what it had.");
		return;
	}
	if (!node->is_self) {
		api_reply_redirect(request, node->api);
		return;
	}
	service_drain(request->api->service, is_draining);
	if (node->state != ROSTER_LOST)
		node->state = is_draining ? ROSTER_DRAINING : ROSTER_READY;
	reply_node(request, node);
}

void api_nodes_patch(struct api_request *request)
{
	bool is_draining;
	size_t count = 0;
	if (!read_draining(request, &is_draining))
		return;
	struct roster_node *nodes = read_nodes(request, &count);
	const struct roster_node *node = nodes == NULL ? NULL : find(request, nodes, count);
	if (node != NULL)
		patch(request, &nodes[node - nodes], is_draining);
	roster_nodes_free(nodes, count);
}
