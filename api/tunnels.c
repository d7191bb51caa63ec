/* /v1/tunnels and the resources of one tunnel, but for what pools have alike (objects.c). */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/operation_request.h"
#include "api/reply.h"
#include "api/suspended_request.h"
#include "api/tunnel_json.h"

void api_tunnels_status(struct api_request *request)
{
	struct snapshot *snapshot = api_request_object(request);
	if (snapshot == NULL)
		return;
	struct text body;
	text_init(&body);
	api_tunnel_write_status(&body, request, snapshot);
	snapshot_release(snapshot);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_tunnels_config(struct api_request *request)
{
	bool with_secrets = false;
	if (!api_request_flag(request, "include_secrets", &with_secrets))
		return;
	if (with_secrets && !(request->caller.scopes & SCOPE_ADMIN)) {
		api_reply_failure(request, PROBLEM_FORBIDDEN, "Reading secrets needs admin scope.");
		return;
	}
	struct snapshot *snapshot = api_request_object(request);
	if (snapshot == NULL)
		return;
	char *file = spec_to_wgquick(&snapshot->spec, snapshot->labels, snapshot->label_count, with_secrets);
	snapshot_release(snapshot);
	request->is_secret = with_secrets;
	struct text body = { .bytes = file, .length = file != NULL ? strlen(file) : 0, .failed = file == NULL };
	api_reply_send(request, MHD_HTTP_OK, api_reply_create(request, "text/plain; charset=utf-8", &body));
}

/* "K=V". False when out of memory. */
static bool set_label(json_t *labels, const char *text)
{
	const char *equals = strchr(text, '=');
	char *key = strndup(text, (size_t)(equals - text));
	bool good = key != NULL && json_object_set_new(labels, key, json_string(equals + 1)) == 0;
	free(key);
	return good;
}

/* Adds a listener to the file's document. The query's take the place of the file's: `is_first` begins them anew. */
static bool add_listener(json_t *document, const char *text, bool is_first)
{
	json_t *spec = json_object_get(document, "spec"), *proxy = json_object_get(spec, "proxy");
	bool good = proxy != NULL || json_object_set_new(spec, "proxy", json_object()) == 0;
	proxy = json_object_get(spec, "proxy");
	good = good && (!is_first || json_object_set_new(proxy, "listen", json_array()) == 0);
	return good && json_array_append_new(json_object_get(proxy, "listen"), json_string(text)) == 0;
}

/* Adds the query parameters of a wg-quick file to the document that was made from it. Its labels come over those of the file. */
static bool add_parameters(struct api_request *request, json_t *document)
{
	const struct api_request_target *target = &request->target;
	bool good = json_object_get(document, "labels") != NULL || json_object_set_new(document, "labels", json_object()) == 0;
	bool has_listener = false;
	for (size_t i = 0; good && i < target->parameter_count; i++) {
		const char *name = target->parameters[i].name, *value = target->parameters[i].value;
		if (strcmp(name, "id") == 0) {
			good = json_object_set_new(document, "id", json_string(value)) == 0;
		} else if (strcmp(name, "listen") == 0) {
			good = add_listener(document, value, !has_listener);
			has_listener = true;
		} else if (strcmp(name, "label") == 0) {
			good = set_label(json_object_get(document, "labels"), value);
		}
	}
	return good;
}

static json_t *read_wgquick(struct api_request *request)
{
	if (!api_request_labels_are_valid(request))
		return NULL;
	struct problem *problem = &request->faults;
	json_t *document = wgquick_to_document(request->body.bytes != NULL ? request->body.bytes : "", request->body.length, &request->warnings,
	                                       &request->lines, problem);
	api_body_clear(&request->body, &request->api->body_bytes);
	if (document != NULL && !add_parameters(request, document)) {
		json_decref(document);
		document = NULL;
		problem_set(problem, PROBLEM_INVALID_REQUEST, "The query parameters id, listen and label must be UTF-8 text.");
	}
	if (document == NULL)
		api_reply_problem(request, problem, NULL);
	return document;
}

static json_t *read_document(struct api_request *request)
{
	if (request->kind == API_BODY_WGQUICK)
		return read_wgquick(request);
	static const char *const wgquick_only[] = { "id", "listen", "label" };
	for (size_t i = 0; i < sizeof(wgquick_only) / sizeof(wgquick_only[0]); i++)
		if (api_request_target_parameter(&request->target, wgquick_only[i]) != NULL) {
			api_reply_failure(request, PROBLEM_INVALID_REQUEST,
			                  "The query parameter \"%s\" is for wg-quick files only; in JSON it is a member.", wgquick_only[i]);
			return NULL;
		}
	return api_request_document(request);
}

void api_tunnels_edit(struct api_request *request)
{
	bool has_document = request->route->operation != OPERATION_DELETE;
	json_t *document = has_document ? read_document(request) : NULL;
	if (document != NULL || !has_document)
		api_operation_request_send(request, document);
}

static void finish_delete_where(struct api_request *request, struct mutation *mutation)
{
	if (mutation->problem.code != PROBLEM_NONE) {
		api_reply_problem(request, &mutation->problem, NULL);
		return;
	}
	struct text body;
	text_init(&body);
	text_printf(&body, "{\"deleted\":%zu}", mutation->deleted);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_tunnels_delete_where(struct api_request *request)
{
	bool dry_run = false;
	struct selector *selectors;
	size_t count;
	if (!api_request_flag(request, "dry_run", &dry_run) || !api_request_selectors(request, &selectors, &count))
		return;
	struct mutation *mutation = mutation_create(MUTATION_DELETE_WHERE, 0);
	if (mutation == NULL) {
		selectors_free(selectors, count);
		api_reply_out_of_memory(request);
		return;
	}
	mutation->dry_run = dry_run;
	mutation->object = api_route_object(request->route);
	mutation->selectors = selectors;
	mutation->selector_count = count;
	api_suspended_request_send(request, mutation, finish_delete_where);
}
