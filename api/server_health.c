/* Liveness, readiness and version. */
#include <sodium.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "ipc/program_version.h"

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
	bool is_full = !service_can_store(request->api->service), has_wrong_files = service_file_fault_count(request->api->service) > 0;
	struct text body;
	text_init(&body);
	/* Not a 503: what is there works, and a restart would cure nothing. */
	text_put(&body, "{\"status\":\"ready\"");
	if (is_full || has_wrong_files)
		text_printf(&body, ",\"degraded\":[%s%s%s]", is_full ? "\"store_full\"" : "", is_full && has_wrong_files ? "," : "",
		            has_wrong_files ? "\"files_invalid\"" : "");
	text_put_char(&body, '}');
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_server_health_version(struct api_request *request)
{
	struct text body;
	text_init(&body);
	text_printf(&body, "{\"name\":\"warren\",\"version\":\"%s\",\"api\":\"v1\",\"libraries\":{\"libmicrohttpd\":", program_version.text);
	text_put_json(&body, MHD_get_version());
	text_put(&body, ",\"jansson\":");
	text_put_json(&body, jansson_version_str());
	text_put(&body, ",\"libsodium\":");
	text_put_json(&body, sodium_version_string());
	text_put(&body, "}}");
	api_reply_json(request, MHD_HTTP_OK, &body);
}
