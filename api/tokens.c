/* /v1/tokens: bearer tokens with scopes. The service stores their hashes; a token itself is shown once. */
#include <stdio.h>
#include <stdlib.h>

#include "api/document.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/suspended_request.h"
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
	request->is_secret = true;
	if (mutation->problem.code != PROBLEM_NONE)
		api_reply_problem(request, &mutation->problem, NULL);
	else
		reply_document(request, MHD_HTTP_CREATED, json_incref(mutation->token));
}

static void create(struct api_request *request, const char *name, unsigned scopes)
{
	struct mutation *mutation = mutation_create(MUTATION_TOKEN_CREATE, 0);
	char *copy = strdup(name);
	if (mutation == NULL || copy == NULL) {
		mutation_free(mutation);
		free(copy);
		api_reply_failure(request, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		return;
	}
	mutation->token_name = copy;
	mutation->token_scopes = scopes;
	api_suspended_request_send(request, mutation, on_created);
}

void api_tokens_create(struct api_request *request)
{
	static const char *const known[] = { "name", "scopes", NULL };
	json_t *document = api_request_document(request);
	if (document == NULL)
		return;
	struct problem problem;
	problem_init(&problem);
	api_document_check_members(document, "", known, &problem);
	json_t *name = json_object_get(document, "name");
	if (name != NULL && (!json_is_string(name) || json_string_length(name) > 128))
		problem_add(&problem, "/name", "wrong_type", "A name must be a string of at most 128 bytes.");
	unsigned scopes = read_scopes(json_object_get(document, "scopes"), &problem);
	if (problem.code != PROBLEM_NONE)
		api_reply_problem(request, &problem, NULL);
	else
		create(request, name != NULL ? json_string_value(name) : "", scopes);
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
		api_reply_failure(request, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		return;
	}
	/* An id that is too long is truncated, and still matches none, because ids are shorter. */
	snprintf(mutation->token_id, sizeof(mutation->token_id), "%s", request->parameters[0]);
	api_suspended_request_send(request, mutation, on_deleted);
}
