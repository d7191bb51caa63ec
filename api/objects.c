/* What /v1/tunnels and /v1/pools have alike: the list, and one of them. */
#include "api/handlers.h"
#include "api/listing.h"
#include "api/object_json.h"
#include "api/operation_request.h"
#include "api/reply.h"

void api_objects_list(struct api_request *request)
{
	struct api_listing listing;
	enum spec_kind kind = api_route_object(request->route);
	bool is_full = false;
	if (!api_request_view(request, &is_full) || !api_listing_get(request, kind, true, &listing))
		return;
	struct text body;
	text_init(&body);
	text_put(&body, kind == SPEC_POOL ? "{\"pools\":[" : "{\"tunnels\":[");
	for (size_t i = 0; i < listing.count; i++) {
		if (i > 0)
			text_put_char(&body, ',');
		api_object_write(&body, request, listing.snapshots[i], is_full, NULL);
	}
	text_put(&body, "],\"next_page_token\":\"");
	if (listing.more && listing.count > 0)
		api_listing_put_token(&body, listing.snapshots[listing.count - 1]->id);
	text_put(&body, "\"}");
	api_listing_clear(&listing);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_objects_get(struct api_request *request)
{
	bool is_full = true;
	struct snapshot *snapshot = api_request_view(request, &is_full) ? api_request_object(request) : NULL;
	if (snapshot == NULL)
		return;
	struct text body;
	text_init(&body);
	api_object_write(&body, request, snapshot, is_full, NULL);
	api_reply_snapshot(request, snapshot, &body);
}

void api_objects_edit(struct api_request *request)
{
	bool has_document = request->route->body != API_BODY_NONE;
	json_t *document = has_document ? api_request_document(request) : NULL;
	if (document != NULL || !has_document)
		api_operation_request_send(request, document);
}
