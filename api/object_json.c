#include "api/object_json.h"

#include "api/pool_json.h"
#include "api/tunnel_json.h"

static void write_status(struct text *text, const struct api_request *request, const struct snapshot *snapshot)
{
	text_put(text, ",\"status\":");
	if (snapshot->spec.kind == SPEC_POOL)
		api_pool_write_status(text, request, snapshot);
	else
		api_tunnel_write_status(text, request, snapshot);
}

void api_object_write(struct text *text, const struct api_request *request, const struct snapshot *snapshot, bool is_full, const char *members)
{
	api_tunnel_write_head(text, snapshot);
	if (is_full)
		write_status(text, request, snapshot);
	if (members != NULL)
		text_put(text, members);
	text_put_char(text, '}');
}
