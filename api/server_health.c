/* Liveness, readiness and version. */
#include <sodium.h>

#include "api/handlers.h"
#include "api/reply.h"

void api_server_health_live(struct api_request *request)
{
	struct text body;
	text_init(&body);
	text_put(&body, "{\"status\":\"ok\"}");
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_server_health_ready(struct api_request *request)
{
	if (!service_is_ready(request->api->service)) {
		api_reply_failure(request, PROBLEM_WORKER_UNAVAILABLE, "Tunnels are being restored, or a worker does not answer.");
		return;
	}
	struct text body;
	text_init(&body);
	text_put(&body, "{\"status\":\"ready\"}");
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_server_health_version(struct api_request *request)
{
	struct text body;
	text_init(&body);
	text_put(&body, "{\"name\":\"warren\",\"version\":\"" WARREN_VERSION "\",\"api\":\"v1\",\"libraries\":{\"libmicrohttpd\":");
	text_put_json(&body, MHD_get_version());
	text_put(&body, ",\"jansson\":");
	text_put_json(&body, jansson_version_str());
	text_put(&body, ",\"libsodium\":");
	text_put_json(&body, sodium_version_string());
	text_put(&body, "}}");
	api_reply_json(request, MHD_HTTP_OK, &body);
}
