/* /v1/tunnels/{id}/actions: reconnect, and probe a target through the tunnel. */
#include <string.h>

#include "api/document.h"
#include "api/handlers.h"
#include "api/operation_request.h"
#include "api/reply.h"
#include "api/suspended_request.h"

/* The body, or NULL if there is none. If one with unknown members was refused, the request's stage says so. */
static json_t *take_document(struct api_request *request, const char *const *known)
{
	struct problem problem;
	json_t *document = api_request_document(request);
	problem_init(&problem);
	if (document != NULL)
		api_document_check_members(document, "", known, &problem);
	if (problem.code != PROBLEM_NONE) {
		api_reply_problem(request, &problem, NULL);
		json_decref(document);
		document = NULL;
	}
	problem_clear(&problem);
	return document;
}

void api_actions_reconnect(struct api_request *request)
{
	static const char *const known[] = { NULL };
	json_decref(take_document(request, known));
	if (request->stage != API_REQUEST_REPLIED)
		api_operation_request_send(request, NULL);
}

static const char *probe_type_name(enum spec_probe_type type)
{
	switch (type) {
	case SPEC_PROBE_PING: return "ping";
	case SPEC_PROBE_TCP: return "tcp";
	case SPEC_PROBE_DNS: return "dns";
	case SPEC_PROBE_NONE: return NULL;
	}
	return NULL;
}

static void put_ms(struct text *text, const char *name, double value, bool is_known)
{
	text_put(text, name);
	if (is_known && value >= 0 && value < 1e12)
		text_put_milli(text, (uint64_t)(value * 1000.0 + 0.5));
	else
		text_put(text, "null");
}

/* Type and target are those of the request, else those of the spec. */
static void write_probed(struct text *text, const struct operation *operation)
{
	const struct message_probed *probe = &operation->probe;
	const struct spec_probe *configured = operation->snapshot != NULL ? &operation->snapshot->spec.probe : NULL;
	const char *type = json_string_value(json_object_get(operation->document, "type"));
	const char *target = json_string_value(json_object_get(operation->document, "target"));
	if (type == NULL && configured != NULL)
		type = probe_type_name(configured->type);
	if (target == NULL && configured != NULL)
		target = configured->target;
	text_put(text, "{\"ok\":");
	text_put_json_bool(text, probe->ok);
	text_put(text, ",\"type\":");
	text_put_json(text, type);
	text_put(text, ",\"target\":");
	text_put_json(text, target);
	text_printf(text, ",\"sent\":%u,\"received\":%u", probe->sent, probe->received);
	put_ms(text, ",\"rtt_ms\":{\"min\":", probe->rtt_min_ms, probe->received > 0);
	put_ms(text, ",\"avg\":", probe->rtt_avg_ms, probe->received > 0);
	put_ms(text, ",\"max\":", probe->rtt_max_ms, probe->received > 0);
	text_put(text, "},\"detail\":");
	text_put_json(text, probe->detail);
	text_put_char(text, '}');
}

static void finish_probe(struct api_request *request, struct mutation *mutation)
{
	const struct operation *operation = &mutation->operations[0];
	const struct problem *problem = operation->problem.code != PROBLEM_NONE ? &operation->problem : &mutation->problem;
	if (problem->code != PROBLEM_NONE) {
		api_reply_problem(request, problem, NULL);
		return;
	}
	struct text body;
	text_init(&body);
	write_probed(&body, operation);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_actions_probe(struct api_request *request)
{
	/* Includes the interval, so that a spec's probe can be sent as it is. */
	static const char *const known[] = { "type", "target", "interval", "count", "timeout", NULL };
	json_t *document = take_document(request, known);
	if (request->stage == API_REQUEST_REPLIED)
		return;
	bool is_id = strlen(request->parameters[0]) < sizeof(((struct operation *)NULL)->id);
	struct mutation *mutation = is_id ? mutation_create(MUTATION_OPERATIONS, 1) : NULL;
	if (mutation == NULL) {
		json_decref(document);
		if (is_id)
			api_reply_failure(request, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		else
			api_reply_failure(request, PROBLEM_NOT_FOUND, "There is no tunnel with this id.");
		return;
	}
	struct operation *operation = &mutation->operations[0];
	operation->kind = OPERATION_PROBE;
	operation->document = document;
	snprintf(operation->id, sizeof(operation->id), "%s", request->parameters[0]);
	api_suspended_request_send(request, mutation, finish_probe);
}
