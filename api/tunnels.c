/* /v1/tunnels and the resources of one tunnel. */
#include <string.h>

#include "api/handlers.h"
#include "api/listing.h"
#include "api/operation_request.h"
#include "api/reply.h"
#include "api/suspended_request.h"
#include "api/tunnel_json.h"

static bool read_view(struct api_request *request, bool *is_full)
{
	const char *view = api_request_target_parameter(&request->target, "view");
	if (view == NULL)
		return true;
	*is_full = strcmp(view, "full") == 0;
	if (*is_full || strcmp(view, "basic") == 0)
		return true;
	api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"view\" must be basic or full.");
	return false;
}

void api_tunnels_list(struct api_request *request)
{
	struct api_listing listing;
	bool is_full = false;
	if (!read_view(request, &is_full) || !api_listing_get(request, true, &listing))
		return;
	struct text body;
	text_init(&body);
	text_put(&body, "{\"tunnels\":[");
	for (size_t i = 0; i < listing.count; i++) {
		if (i > 0)
			text_put_char(&body, ',');
		api_tunnel_write(&body, listing.snapshots[i], is_full, NULL);
	}
	text_put(&body, "],\"next_page_token\":\"");
	if (listing.more && listing.count > 0)
		api_listing_put_token(&body, listing.snapshots[listing.count - 1]->id);
	text_put(&body, "\"}");
	api_listing_clear(&listing);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_tunnels_get(struct api_request *request)
{
	bool is_full = true;
	if (!read_view(request, &is_full))
		return;
	struct snapshot *snapshot = api_request_tunnel(request);
	if (snapshot == NULL)
		return;
	struct text body;
	text_init(&body);
	api_tunnel_write(&body, snapshot, is_full, NULL);
	struct MHD_Response *response = api_reply_create(request, "application/json", &body);
	api_reply_etag(response, snapshot->revision);
	snapshot_release(snapshot);
	api_reply_send(request, MHD_HTTP_OK, response);
}

void api_tunnels_status(struct api_request *request)
{
	struct snapshot *snapshot = api_request_tunnel(request);
	if (snapshot == NULL)
		return;
	struct text body;
	text_init(&body);
	api_tunnel_write_status(&body, snapshot);
	snapshot_release(snapshot);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_tunnels_config(struct api_request *request)
{
	bool with_secrets = false;
	if (!api_request_flag(request, "include_secrets", &with_secrets))
		return;
	if (with_secrets && !(request->scope & SCOPE_ADMIN)) {
		api_reply_failure(request, PROBLEM_FORBIDDEN, "Reading secrets needs admin scope.");
		return;
	}
	struct snapshot *snapshot = api_request_tunnel(request);
	if (snapshot == NULL)
		return;
	char *file = spec_to_wgquick(&snapshot->spec, with_secrets);
	snapshot_release(snapshot);
	request->is_secret = with_secrets;
	struct text body = { .bytes = file, .length = file != NULL ? strlen(file) : 0, .failed = file == NULL };
	api_reply_send(request, MHD_HTTP_OK, api_reply_create(request, "text/plain; charset=utf-8", &body));
}

/* Adds the query parameters of a wg-quick file to the document that was made from it. */
static bool add_parameters(struct api_request *request, json_t *document)
{
	json_t *labels = json_object(), *listen = json_array();
	const struct api_request_target *target = &request->target;
	bool good = labels != NULL && listen != NULL;
	for (size_t i = 0; good && i < target->parameter_count; i++) {
		const char *name = target->parameters[i].name, *value = target->parameters[i].value;
		const char *equals = strchr(value, '=');
		if (strcmp(name, "id") == 0)
			good = json_object_set_new(document, "id", json_string(value)) == 0;
		else if (strcmp(name, "listen") == 0)
			good = json_array_append_new(listen, json_string(value)) == 0;
		else if (strcmp(name, "label") == 0)
			good = json_object_setn_new(labels, value, (size_t)(equals - value), json_string(equals + 1)) == 0;
	}
	if (good && json_object_size(labels) > 0)
		good = json_object_set(document, "labels", labels) == 0;
	if (good && json_array_size(listen) > 0) {
		json_t *spec = json_object_get(document, "spec"), *proxy = json_object_get(spec, "proxy");
		if (proxy == NULL)
			good = json_object_set_new(spec, "proxy", proxy = json_object()) == 0;
		good = good && json_object_set(proxy, "listen", listen) == 0;
	}
	json_decref(labels);
	json_decref(listen);
	return good;
}

static json_t *read_wgquick(struct api_request *request)
{
	if (!api_request_labels_are_valid(request))
		return NULL;
	struct problem problem;
	problem_init(&problem);
	json_t *document =
	    wgquick_to_document(request->body.bytes != NULL ? request->body.bytes : "", request->body.length, &request->warnings, &problem);
	api_body_clear(&request->body, &request->api->body_bytes);
	if (document != NULL && !add_parameters(request, document)) {
		json_decref(document);
		document = NULL;
		problem_set(&problem, PROBLEM_INVALID_REQUEST, "The query parameters id, listen and label must be UTF-8 text.");
	}
	if (document == NULL)
		api_reply_problem(request, &problem, NULL);
	problem_clear(&problem);
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
	struct label *labels;
	size_t count;
	if (!api_request_flag(request, "dry_run", &dry_run) || !api_request_labels(request, &labels, &count))
		return;
	struct mutation *mutation = mutation_create(MUTATION_DELETE_WHERE, 0);
	if (mutation == NULL) {
		labels_free(labels, count);
		api_reply_failure(request, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		return;
	}
	mutation->dry_run = dry_run;
	mutation->labels = labels;
	mutation->label_count = count;
	api_suspended_request_send(request, mutation, finish_delete_where);
}
