/* /v1/state: the whole desired state, read and replaced. */
#include <stdlib.h>

#include "api/handlers.h"
#include "api/listing.h"
#include "api/reply.h"
#include "api/suspended_request.h"
#include "api/tunnel_json.h"
#include "service/spec/json_writer.h"

#define LEFT_OUT "\"tokens\",\"files\",\"usage\"" /* in every document */

struct writing {
	bool with_secrets, with_ports;
};

/* What the system chose takes the place of port 0. */
static void set_listen(struct json_writer *writer, json_t *spec, const struct snapshot *snapshot)
{
	json_t *listen = json_array(), *forwards = json_object_get(spec, "forwards");
	for (size_t i = 0; i < snapshot->listen_count; i++)
		json_writer_add(writer, listen, json_string(snapshot->listen[i]));
	/* One that is disabled or has failed has none. */
	if (snapshot->listen_count == snapshot->spec.listen_count)
		json_writer_set(writer, json_object_get(spec, "proxy"), "listen", json_incref(listen));
	json_decref(listen);
	for (size_t i = 0; snapshot->forwards != NULL && i < json_array_size(forwards); i++)
		if (snapshot->forwards[i] != NULL)
			json_writer_set(writer, json_array_get(forwards, i), "listen", json_string(snapshot->forwards[i]));
}

static void write_one(struct text *body, const struct snapshot *snapshot, const struct writing *writing)
{
	struct json_writer writer = { .failed = false };
	if (!writing->with_secrets && !writing->with_ports) {
		api_tunnel_write_state(body, snapshot, NULL);
		return;
	}
	json_t *spec = spec_to_json(&snapshot->spec, writing->with_secrets);
	if (writing->with_ports)
		set_listen(&writer, spec, snapshot);
	spec = json_writer_end(&writer, spec);
	char *written = json_writer_text(spec);
	if (written != NULL)
		api_tunnel_write_state(body, snapshot, written);
	body->failed |= written == NULL;
	free(written);
	json_decref(spec);
}

/* Files are restored as files: this document would make their tunnels the API's. */
static bool is_saved(struct api_request *request, const struct snapshot *snapshot)
{
	return snapshot->origin != SNAPSHOT_OF_FILE || !service_has_files(request->api->service);
}

static void write_list(struct api_request *request, struct text *body, const struct api_listing *listing, const struct writing *writing)
{
	bool is_first = true;
	for (size_t i = 0; i < listing->count; i++) {
		if (!is_saved(request, listing->snapshots[i]))
			continue;
		if (!is_first)
			text_put_char(body, ',');
		write_one(body, listing->snapshots[i], writing);
		is_first = false;
	}
}

static void write_left_out(struct text *body, const struct writing *writing)
{
	text_put(body, "\"left_out\":[" LEFT_OUT);
	if (!writing->with_secrets)
		text_put(body, ",\"secrets\"");
	if (!writing->with_ports)
		text_put(body, ",\"ports\"");
	text_put_char(body, ']');
}

void api_state_get(struct api_request *request)
{
	struct writing writing = { .with_secrets = false };
	struct api_listing listing, pools;
	if (!api_request_flag(request, "include_secrets", &writing.with_secrets) || !api_request_flag(request, "include_ports", &writing.with_ports))
		return;
	if (writing.with_secrets && !(request->caller.scopes & SCOPE_ADMIN)) {
		api_reply_failure(request, PROBLEM_FORBIDDEN, "Reading secrets needs admin scope.");
		return;
	}
	if (!api_listing_get(request, SPEC_TUNNEL, false, &listing))
		return;
	if (!api_listing_get(request, SPEC_POOL, false, &pools)) {
		api_listing_clear(&listing);
		return;
	}
	request->is_secret = writing.with_secrets;
	struct text body;
	text_init(&body);
	text_put(&body, "{\"tunnels\":[");
	write_list(request, &body, &listing, &writing);
	text_put(&body, "],\"pools\":[");
	write_list(request, &body, &pools, &writing);
	text_put(&body, "],");
	write_left_out(&body, &writing);
	text_put_char(&body, '}');
	api_listing_clear(&listing);
	api_listing_clear(&pools);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

static void finish_state(struct api_request *request, struct mutation *mutation)
{
	if (mutation->problem.code != PROBLEM_NONE) {
		api_reply_problem(request, &mutation->problem, NULL);
		return;
	}
	struct text body;
	text_init(&body);
	text_printf(&body, "{\"created\":%zu,\"changed\":%zu,\"unchanged\":%zu,\"deleted\":%zu}", mutation->created, mutation->changed,
	            mutation->unchanged, mutation->deleted);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_state_put(struct api_request *request)
{
	bool dry_run = false;
	json_t *document = api_request_flag(request, "dry_run", &dry_run) ? api_request_document(request) : NULL;
	if (document == NULL)
		return;
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	if (mutation == NULL) {
		json_decref(document);
		api_reply_out_of_memory(request);
		return;
	}
	mutation->document = document;
	mutation->dry_run = dry_run;
	api_suspended_request_send(request, mutation, finish_state);
}
