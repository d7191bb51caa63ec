/* /v1/tunnels/{id}/peers: peers as resources of their own. */
#include "api/handlers.h"
#include "api/operation.h"
#include "api/peer_json.h"
#include "api/reply.h"

void api_peers_list(struct api_request *request)
{
	struct snapshot *snapshot = api_request_object(request);
	if (snapshot == NULL)
		return;
	struct text body;
	text_init(&body);
	text_put(&body, "{\"peers\":");
	api_peer_write_all(&body, snapshot);
	text_put_char(&body, '}');
	api_reply_snapshot(request, snapshot, &body);
}

void api_peers_get(struct api_request *request)
{
	struct snapshot *snapshot = api_request_object(request);
	if (snapshot == NULL)
		return;
	struct wireguard_key key;
	size_t index;
	if (!api_operation_key(request->parameters[1], &key) || !api_peer_find(snapshot, &key, &index)) {
		snapshot_release(snapshot);
		api_reply_failure(request, PROBLEM_NOT_FOUND, "The tunnel has no peer with this key (base64url without padding).");
		return;
	}
	struct text body;
	text_init(&body);
	api_peer_write(&body, snapshot, index, NULL);
	api_reply_snapshot(request, snapshot, &body);
}
