/* The resources of one pool, but for what tunnels have alike (objects.c). */
#include "api/handlers.h"
#include "api/pac.h"
#include "api/pool_json.h"
#include "api/reply.h"

void api_pools_members(struct api_request *request)
{
	struct snapshot *snapshot = api_request_object(request);
	if (snapshot == NULL)
		return;
	struct text body;
	text_init(&body);
	text_put(&body, "{\"members\":");
	(void)api_pool_write_members(&body, request, snapshot->id);
	text_put_char(&body, '}');
	snapshot_release(snapshot);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

/* Public like the page; a pool with users is shown to those who may read. */
void api_pools_pac(struct api_request *request)
{
	struct snapshot *snapshot = service_find_pool(request->api->service, request->caller.access, request->parameters[0]);
	bool is_public = snapshot != NULL && snapshot->spec.user_count == 0;
	struct text body;
	text_init(&body);
	bool may_read = (request->caller.scopes & SCOPE_READ) != 0;
	if (!is_public && !may_read && request->caller.scopes != SCOPE_NONE)
		api_reply_failure(request, PROBLEM_FORBIDDEN, "This needs the scope read: the file is public only if the pool has no users.");
	else if (!is_public && !may_read)
		api_reply_failure(request, PROBLEM_UNAUTHORIZED, "This file is public only if the pool has no users: send a token that may read.");
	else if (snapshot == NULL)
		api_reply_failure(request, PROBLEM_NOT_FOUND, "There is no pool with this id.");
	else if (!api_pac_write(&body, snapshot, request->headers[API_HEADER_HOST]))
		api_reply_failure(request, PROBLEM_NOT_FOUND, "This pool has no listener that a browser can use.");
	else
		api_reply_send(request, MHD_HTTP_OK, api_reply_create(request, "application/x-ns-proxy-autoconfig", &body));
	snapshot_release(snapshot);
}
