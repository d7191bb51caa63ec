/* /v1/state: the whole desired state, read and replaced. */
#include <stdlib.h>

#include "api/handlers.h"
#include "api/listing.h"
#include "api/reply.h"
#include "api/suspended_request.h"
#include "api/tunnel_json.h"
#include "service/spec/json_writer.h"

static void write_one(struct text *body, const struct snapshot *snapshot, bool with_secrets)
{
	if (!with_secrets) {
		api_tunnel_write_state(body, snapshot, NULL);
		return;
	}
	json_t *spec = spec_to_json(&snapshot->spec, true);
	char *written = spec != NULL ? json_writer_text(spec) : NULL;
	if (written != NULL)
		api_tunnel_write_state(body, snapshot, written);
	body->failed |= written == NULL;
	free(written);
	json_decref(spec);
}

void api_state_get(struct api_request *request)
{
	bool with_secrets = false;
	struct api_listing listing;
	if (!api_request_flag(request, "include_secrets", &with_secrets))
		return;
	if (with_secrets && !(request->scope & SCOPE_ADMIN)) {
		api_reply_failure(request, PROBLEM_FORBIDDEN, "Reading secrets needs admin scope.");
		return;
	}
	if (!api_listing_get(request, false, &listing))
		return;
	request->is_secret = with_secrets;
	struct text body;
	text_init(&body);
	text_put(&body, "{\"tunnels\":[");
	for (size_t i = 0; i < listing.count; i++) {
		if (i > 0)
			text_put_char(&body, ',');
		write_one(&body, listing.snapshots[i], with_secrets);
	}
	text_put(&body, "]}");
	api_listing_clear(&listing);
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
		api_reply_failure(request, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		return;
	}
	mutation->document = document;
	mutation->dry_run = dry_run;
	api_suspended_request_send(request, mutation, finish_state);
}
