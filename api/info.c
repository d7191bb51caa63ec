/* What this daemon is and how it was started: GET /v1/info. */
#include <unistd.h>

#include "api/body.h"
#include "api/handlers.h"
#include "api/process.h"
#include "api/reply.h"
#include "ipc/program_version.h"
#include "ipc/wall_clock.h"

static void put_limits(struct text *body)
{
	text_printf(
	    body,
	    "\"limits\":{\"tunnels_per_worker\":%u,\"peers_per_worker\":%u,\"peers_per_tunnel\":%d,\"listeners\":%d,\"users\":%d,\"forwards\":%d},",
	    COUNTERS_TUNNELS, COUNTERS_PEERS, SPEC_PEER_MAX, SPEC_LISTEN_MAX, SPEC_USER_MAX, SPEC_FORWARD_MAX);
}

static void put_workers(struct text *body, struct service *service)
{
	struct service_worker_stats stats;
	service_worker_stats(service, &stats);
	const char *comma = "";
	text_put(body, "\"workers\":[");
	for (unsigned i = 0; i < stats.places; i++) {
		struct service_worker_usage usage;
		service_worker_usage(service, i, &usage);
		if (usage.is_spare)
			continue;
		text_printf(
		    body,
		    "%s{\"index\":%u,\"pid\":%d,\"state\":\"%s\",\"tunnels\":%zu,\"cpu_seconds\":%.3f,\"resident_bytes\":%llu,\"restarts\":%u,"
		    "\"version\":\"%s\",\"reason\":",
		    comma, i, (int)usage.pid,
		    usage.is_retiring ? "retiring"
		    : usage.is_ready  ? "ready"
				      : "starting",
		    usage.tunnels, (double)usage.cpu_us / 1e6, (unsigned long long)usage.resident_bytes, usage.restarts, usage.version);
		text_put_json(body, usage.failure);
		text_put_char(body, '}');
		comma = ",";
	}
	text_put(body, "]}");
}

static void put_fleet(struct text *body, struct service *service)
{
	struct roster_summary summary;
	if (service_fleet(service, &summary))
		text_printf(body, "\"fleet\":{\"connected\":%s,\"state\":\"%s\",\"lease_expires_in\":%.1f},", summary.is_connected ? "true" : "false",
		            summary.state == NULL ? "starting" : summary.state, (double)summary.lease_ms / 1000);
	else
		text_put(body, "\"fleet\":null,");
}

void api_info(struct api_request *request)
{
	const struct api *api = request->api;
	if (!access_is_whole(request->caller.access)) {
		api_reply_failure(request, PROBLEM_FORBIDDEN, "This is about the whole daemon, and the token is bound to labels.");
		return;
	}
	char node[256] = "";
	gethostname(node, sizeof(node) - 1);
	struct text body;
	text_init(&body);
	text_printf(&body, "{\"version\":\"%s\",\"build\":", program_version.text);
	text_put_json(&body, __VERSION__);
	text_printf(&body, ",\"pid\":%d,\"uptime\":%.1f,\"node\":", (int)getpid(),
	            (double)(wall_clock_ms() - api_process_started_ms(api->process)) / 1000);
	text_put_json(&body, node);
	text_printf(&body, ",\"aead\":\"%s\",", aead_backend_name(api->aead));
	put_limits(&body);
	text_printf(&body, "\"options\":%s,", api->given != NULL ? api->given : "{}");
	put_fleet(&body, api->service);
	put_workers(&body, api->service);
	api_reply_json(request, MHD_HTTP_OK, &body);
}
