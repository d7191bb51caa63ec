/* /v1/tunnels/{id}/actions: reconnect, probe a target through the tunnel, move it to another worker. /v1/actions: reload, upgrade.
 * /v1/workers/{index}/actions: replace. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_body.h"
#include "api/handlers.h"
#include "api/operation.h"
#include "api/operation_request.h"
#include "api/reply.h"
#include "api/suspended_request.h"
#include "api/tunnel_json.h"
#include "service/spec/json_reader.h"
#include "service/spec/json_writer.h"

/* The body, or NULL if there is none. If one with unknown members was refused, the request's stage says so. */
static json_t *take_document(struct api_request *request, const char *const *known)
{
	struct problem problem;
	json_t *document = api_request_document(request);
	problem_init(&problem);
	if (document != NULL)
		api_json_body_check_members(document, "", known, &problem);
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

/* The target is that of the request, else that of the spec. */
static void write_probed(struct text *text, const struct operation *operation)
{
	const struct message_probed *probe = &operation->probe;
	const struct spec_probe *configured = operation->snapshot != NULL ? &operation->snapshot->spec.probe : NULL;
	const char *target = json_string_value(json_object_get(operation->document, "target"));
	if (target == NULL && configured != NULL)
		target = configured->target;
	text_put(text, "{\"ok\":");
	text_put_json_bool(text, probe->ok);
	text_put(text, ",\"type\":");
	text_put_json(text, spec_probe_type_name(operation->probe_type));
	text_put(text, ",\"target\":");
	text_put_json(text, target);
	text_printf(text, ",\"sent\":%u,\"received\":%u", probe->sent, probe->received);
	text_put(text, ",\"rtt_ms\":{\"min\":");
	api_tunnel_put_ms(text, probe->received > 0 ? probe->rtt_min_ms : -1);
	text_put(text, ",\"avg\":");
	api_tunnel_put_ms(text, probe->received > 0 ? probe->rtt_avg_ms : -1);
	text_put(text, ",\"max\":");
	api_tunnel_put_ms(text, probe->received > 0 ? probe->rtt_max_ms : -1);
	text_put(text, "},\"exit_ip\":");
	api_tunnel_put_address(text, &probe->exit_ip);
	text_put(text, ",\"detail\":");
	text_put_json(text, probe->detail);
	text_put_char(text, '}');
}

/* True when it has replied with one. */
static bool has_problem(struct api_request *request, const struct mutation *mutation)
{
	const struct operation *operation = &mutation->operations[0];
	const struct problem *problem = operation->problem.code != PROBLEM_NONE ? &operation->problem : &mutation->problem;
	if (problem->code != PROBLEM_NONE)
		api_reply_problem(request, problem, NULL);
	return problem->code != PROBLEM_NONE;
}

/* An action on the tunnel of the path; takes the document. */
static void send_action(struct api_request *request, enum operation_kind kind, json_t *document,
                        void (*finish)(struct api_request *request, struct mutation *mutation))
{
	bool is_id = strlen(request->parameters[0]) < sizeof(((struct operation *)NULL)->id);
	struct mutation *mutation = is_id ? mutation_create(MUTATION_OPERATIONS, 1) : NULL;
	if (mutation == NULL) {
		json_decref(document);
		if (is_id)
			api_reply_out_of_memory(request);
		else
			api_reply_failure(request, PROBLEM_NOT_FOUND, "There is no tunnel with this id.");
		return;
	}
	struct operation *operation = &mutation->operations[0];
	operation->kind = kind;
	operation->document = document;
	snprintf(operation->id, sizeof(operation->id), "%s", request->parameters[0]);
	api_suspended_request_send(request, mutation, finish);
}

static void finish_probe(struct api_request *request, struct mutation *mutation)
{
	if (has_problem(request, mutation))
		return;
	struct text body;
	text_init(&body);
	write_probed(&body, &mutation->operations[0]);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_actions_probe(struct api_request *request)
{
	/* Includes what only a periodic probe has, so that a spec's probe can be sent as it is. */
	static const char *const known[] = { "type", "target", "interval", "count", "timeout", "unhealthy_after", "expected_status", NULL };
	json_t *document = take_document(request, known);
	if (request->stage != API_REQUEST_REPLIED)
		send_action(request, OPERATION_PROBE, document, finish_probe);
}

static void finish_move(struct api_request *request, struct mutation *mutation)
{
	if (has_problem(request, mutation))
		return;
	struct text body;
	text_init(&body);
	api_operation_write(&body, request, &mutation->operations[0], NULL);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_actions_move(struct api_request *request)
{
	static const char *const known[] = { "worker", NULL };
	json_t *document = take_document(request, known);
	if (request->stage != API_REQUEST_REPLIED)
		send_action(request, OPERATION_MOVE, document, finish_move);
}

static void finish_reload(struct api_request *request, struct mutation *mutation)
{
	char *written = mutation->problem.code == PROBLEM_NONE ? json_writer_text(mutation->reloaded) : NULL;
	if (mutation->problem.code != PROBLEM_NONE) {
		api_reply_problem(request, &mutation->problem, NULL);
		return;
	}
	struct text body;
	text_init(&body);
	text_put(&body, written == NULL ? "{}" : written);
	free(written);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_actions_reload(struct api_request *request)
{
	static const char *const known[] = { NULL };
	json_decref(take_document(request, known));
	if (request->stage == API_REQUEST_REPLIED)
		return;
	struct mutation *mutation = mutation_create(MUTATION_RELOAD, 0);
	if (mutation == NULL)
		api_reply_out_of_memory(request);
	else
		api_suspended_request_send(request, mutation, finish_reload);
}

/* The result comes as an event, and as the version that answers: this reply must be out before the program is replaced. */
void api_actions_upgrade(struct api_request *request)
{
	struct text body;
	service_upgrade(request->api->service);
	text_init(&body);
	text_put(&body, "{\"state\":\"checking\"}");
	api_reply_json(request, MHD_HTTP_ACCEPTED, &body);
}

static bool read_index(const char *text, unsigned *index)
{
	char *end;
	errno = 0;
	unsigned long number = strtoul(text, &end, 10);
	*index = (unsigned)number;
	return errno == 0 && isdigit((unsigned char)text[0]) && *end == '\0' && number <= UINT_MAX;
}

/* False when a problem was replied. */
static bool read_drain(struct api_request *request, const json_t *document, unsigned *seconds)
{
	struct json_reader reader;
	struct problem problem;
	uint64_t drain = MUTATION_DRAIN_DEFAULT;
	problem_init(&problem);
	json_reader_init(&reader, "", &problem);
	if (document != NULL)
		json_reader_integer(&reader, document, "drain_timeout", 0, SERVICE_DRAIN_MOST, &drain);
	*seconds = (unsigned)drain;
	bool is_good = problem.code == PROBLEM_NONE;
	if (!is_good)
		api_reply_problem(request, &problem, NULL);
	problem_clear(&problem);
	return is_good;
}

static void finish_replace(struct api_request *request, struct mutation *mutation)
{
	if (mutation->problem.code != PROBLEM_NONE) {
		api_reply_problem(request, &mutation->problem, NULL);
		return;
	}
	struct text body;
	text_init(&body);
	text_printf(&body, "{\"state\":\"replacing\",\"worker\":%u,\"successor\":%u,\"drain_timeout\":%u}", mutation->worker, mutation->successor,
	            mutation->drain_seconds);
	api_reply_json(request, MHD_HTTP_ACCEPTED, &body);
}

void api_actions_replace(struct api_request *request)
{
	static const char *const known[] = { "drain_timeout", NULL };
	unsigned index, seconds;
	json_t *document = take_document(request, known);
	bool is_read = request->stage != API_REQUEST_REPLIED && read_drain(request, document, &seconds);
	json_decref(document);
	if (!is_read)
		return;
	bool is_index = read_index(request->parameters[0], &index);
	struct mutation *mutation = is_index ? mutation_create(MUTATION_REPLACE, 0) : NULL;
	if (!is_index)
		api_reply_failure(request, PROBLEM_NOT_FOUND, "There is no such worker.");
	else if (mutation == NULL)
		api_reply_out_of_memory(request);
	if (mutation == NULL)
		return;
	mutation->worker = index;
	mutation->drain_seconds = seconds;
	api_suspended_request_send(request, mutation, finish_replace);
}
