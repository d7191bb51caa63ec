/* /v1/tokens: bearer tokens with scopes. The service stores their hashes; a token itself is shown once. And what a caller is and has. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "api/json_body.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/suspended_request.h"
#include "ipc/wall_clock.h"
#include "service/spec/json_reader.h"
#include "service/spec/json_writer.h"

static void reply_document(struct api_request *request, unsigned status, json_t *document)
{
	char *written = document != NULL ? json_writer_text(document) : NULL;
	struct text body = { .bytes = written, .length = written != NULL ? strlen(written) : 0, .failed = written == NULL };
	json_decref(document);
	api_reply_json(request, status, &body);
}

void api_tokens_list(struct api_request *request)
{
	json_t *list = service_token_list(request->api->service);
	if (json_is_array(list))
		list = json_pack("{s:o}", "tokens", list);
	reply_document(request, MHD_HTTP_OK, list);
}

static unsigned read_scopes(json_t *scopes, struct problem *problem)
{
	unsigned mask = 0;
	size_t index;
	json_t *scope;
	if (!json_is_array(scopes) || json_array_size(scopes) == 0)
		problem_add(problem, "/scopes", scopes != NULL ? "wrong_type" : "required", "This must be a list of metrics, read, write or admin.");
	json_array_foreach (scopes, index, scope) {
		unsigned one = json_is_string(scope) ? scope_parse(json_string_value(scope)) : 0;
		mask |= one;
		if (one == 0) {
			char pointer[40];
			snprintf(pointer, sizeof(pointer), "/scopes/%zu", index);
			problem_add(problem, pointer, "unknown_scope", "A scope must be metrics, read, write or admin.");
		}
	}
	return mask;
}

static void on_created(struct api_request *request, struct mutation *mutation)
{
	const char *id = json_string_value(json_object_get(mutation->token, "id"));
	snprintf(request->object, sizeof(request->object), "%s", id == NULL ? "" : id);
	request->is_secret = true;
	if (mutation->problem.code != PROBLEM_NONE)
		api_reply_problem(request, &mutation->problem, NULL);
	else
		reply_document(request, MHD_HTTP_CREATED, json_incref(mutation->token));
}

static const char *read_name(json_t *document, struct problem *problem)
{
	json_t *name = json_object_get(document, "name");
	if (name == NULL)
		return "";
	if (json_is_string(name) && json_string_length(name) <= TOKEN_NAME_MAX)
		return json_string_value(name);
	problem_add(problem, "/name", "wrong_type", "A name must be a string of at most 128 bytes.");
	return "";
}

static int64_t read_expiry(json_t *document, struct problem *problem)
{
	json_t *written = json_object_get(document, "expires_at");
	int64_t at = 0;
	if (written == NULL || json_is_null(written))
		return 0;
	if (!json_is_string(written) || !wall_clock_parse(json_string_value(written), &at))
		problem_add(problem, "/expires_at", "invalid_time", "This must be a time like 2030-01-31T12:00:00Z.");
	else if (at <= wall_clock_ms())
		problem_add(problem, "/expires_at", "out_of_range", "This time is past.");
	return at;
}

/* NULL with a problem. */
static struct access *read_access(json_t *document, unsigned scopes, struct problem *problem)
{
	struct json_reader reader;
	struct spec_label *labels = NULL;
	json_reader_init(&reader, "", problem);
	size_t count = labels_read(&reader, document, &labels);
	/* An admin makes tokens, also without labels. */
	if (count > 0 && scopes & SCOPE_ADMIN)
		problem_add(problem, "/labels", "not_allowed", "A token with the scope admin cannot be bound to labels.");
	struct access *access = access_create(labels, count);
	if (access == NULL)
		problem_out_of_memory(problem);
	spec_labels_free(labels, count);
	return access;
}

/* NULL with a problem. */
static struct mutation *read_token(json_t *document, struct problem *problem)
{
	static const char *const known[] = { "name", "scopes", "labels", "expires_at", NULL };
	struct mutation *mutation = mutation_create(MUTATION_TOKEN_CREATE, 0);
	char *name = strdup(read_name(document, problem));
	if (mutation == NULL || name == NULL) {
		mutation_free(mutation);
		free(name);
		problem_out_of_memory(problem);
		return NULL;
	}
	api_json_body_check_members(document, "", known, problem);
	mutation->token_name = name;
	mutation->token_scopes = read_scopes(json_object_get(document, "scopes"), problem);
	mutation->token_expires_at = read_expiry(document, problem);
	mutation->token_access = read_access(document, mutation->token_scopes, problem);
	if (problem->code == PROBLEM_NONE)
		return mutation;
	mutation_free(mutation);
	return NULL;
}

void api_tokens_create(struct api_request *request)
{
	json_t *document = api_request_document(request);
	if (document == NULL)
		return;
	struct problem problem;
	problem_init(&problem);
	struct mutation *mutation = read_token(document, &problem);
	if (mutation == NULL)
		api_reply_problem(request, &problem, NULL);
	else
		api_suspended_request_send(request, mutation, on_created);
	json_decref(document);
	problem_clear(&problem);
}

static void on_deleted(struct api_request *request, struct mutation *mutation)
{
	if (mutation->problem.code != PROBLEM_NONE)
		api_reply_problem(request, &mutation->problem, NULL);
	else
		api_reply_empty(request, MHD_HTTP_NO_CONTENT);
}

void api_tokens_delete(struct api_request *request)
{
	struct mutation *mutation = mutation_create(MUTATION_TOKEN_DELETE, 0);
	if (mutation == NULL) {
		api_reply_out_of_memory(request);
		return;
	}
	/* An id that is too long is truncated, and still matches none, because ids are shorter. */
	snprintf(mutation->token_id, sizeof(mutation->token_id), "%s", request->parameters[0]);
	api_suspended_request_send(request, mutation, on_deleted);
}

void api_tokens_whoami(struct api_request *request)
{
	const struct api_caller *caller = &request->caller;
	char at[WALL_CLOCK_TEXT_MAX];
	wall_clock_format_seconds(at, caller->expires_at);
	reply_document(request, MHD_HTTP_OK,
	               json_pack("{s:s, s:o, s:o, s:o, s:s}", "name", caller->name, "scopes", scope_list_to_json(caller->scopes), "labels",
	                         access_to_json(caller->access), "expires_at", caller->expires_at == 0 ? json_null() : json_string(at), "via",
	                         api_via_name(caller->via)));
}

void api_tokens_rotate(struct api_request *request)
{
	char token[AUTH_TOKEN_MAX + 1];
	request->is_secret = true;
	if (api_auth_rotate(request->api->auth, token))
		reply_document(request, MHD_HTTP_OK, json_pack("{s:s}", "token", token));
	else
		api_reply_failure(request, PROBLEM_OUT_OF_RESOURCES, "The file admin.token cannot be written: %s. The old token stays valid.",
		                  strerror(errno));
	sodium_memzero(token, sizeof(token));
}
