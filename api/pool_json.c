#include "api/pool_json.h"

#include <stdlib.h>

#include "api/tunnel_json.h"

static void write_health(struct text *text, enum pool_health health)
{
	switch (health) {
	case POOL_HEALTHY: text_put(text, "true"); return;
	case POOL_UNHEALTHY: text_put(text, "false"); return;
	case POOL_HEALTH_UNKNOWN:
	case POOL_HEALTHS: break;
	}
	text_put(text, "null");
}

static void write_member(struct text *text, const struct pool_member_view *view)
{
	text_put(text, "{\"tunnel\":");
	text_put_json(text, view->tunnel);
	text_put(text, ",\"state\":");
	text_put_json(text, tunnel_state_name(view->state));
	text_put(text, ",\"healthy\":");
	write_health(text, view->health);
	text_put(text, ",\"rtt_ms\":");
	if (view->rtt_us > 0)
		text_put_milli(text, view->rtt_us);
	else
		text_put(text, "null");
	text_put(text, ",\"connections_open\":");
	text_put_u64(text, view->open);
	text_put(text, ",\"weight\":");
	text_put_u64(text, view->weight);
	text_put(text, ",\"of\":");
	text_put(text, view->is_own ? "\"pool\"}" : "\"rules\"}");
}

size_t api_pool_write_members(struct text *text, const struct api_request *request, const char *id)
{
	struct pool_member_view *views;
	size_t count = service_pool_members(request->api->service, request->caller.access, id, &views), up = 0;
	text_put_char(text, '[');
	for (size_t i = 0; count != SERVICE_NO_POOL && i < count; i++) {
		if (i > 0)
			text_put_char(text, ',');
		write_member(text, &views[i]);
		up += views[i].is_own && views[i].is_up;
	}
	text_put_char(text, ']');
	free(views);
	return up;
}

void api_pool_write_status(struct text *text, const struct api_request *request, const struct snapshot *snapshot)
{
	api_tunnel_write_status_head(text, snapshot);
	text_put(text, ",\"listen\":");
	api_tunnel_write_listen(text, snapshot);
	api_tunnel_write_worker(text, request, snapshot);
	text_put(text, ",\"members\":");
	size_t up = api_pool_write_members(text, request, snapshot->id);
	text_put(text, ",\"members_up\":");
	text_put_u64(text, up);
	text_put_char(text, '}');
}
