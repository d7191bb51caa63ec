/* /v1/pools/{id}/sessions: which tunnel each sticky key has, and rotation: a key that is deleted chooses anew. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/suspended_request.h"
#include "service/service.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000
#define TOKEN_VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define TOKEN_SIZE (POOL_KEY_SIZE * 2)

/* The token is the last key of the page before. */
static bool read_token(struct api_request *request, char after[POOL_KEY_SIZE])
{
	const char *written = api_request_target_parameter(&request->target, "page_token"), *end;
	size_t length;
	after[0] = '\0';
	if (written == NULL || *written == '\0')
		return true;
	if (sodium_base642bin((unsigned char *)after, POOL_KEY_SIZE - 1, written, strlen(written), NULL, &length, &end, TOKEN_VARIANT) == 0 &&
	    *end == '\0') {
		after[length] = '\0';
		return true;
	}
	api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"page_token\" is not valid.");
	return false;
}

/* `open` NULL: not known, because only the pool's home knows, and it is being replaced. */
static void put_session(struct text *body, const struct pool_session *session, const uint32_t *open)
{
	text_put(body, "{\"key\":");
	text_put_json(body, session->key);
	text_put(body, ",\"tunnel\":");
	if (session->tunnel[0] != '\0')
		text_put_json(body, session->tunnel);
	else
		text_put(body, "null");
	text_put(body, ",\"expires_at\":");
	text_put_json_time(body, (int64_t)session->expires_at * 1000);
	if (open != NULL)
		text_printf(body, ",\"connections_open\":%u}", *open);
	else
		text_put(body, ",\"connections_open\":null}");
}

/* The page has one more session if there are more. */
static void finish_list(struct api_request *request, struct mutation *mutation)
{
	const struct session_page *page = &mutation->operations[0].page;
	const struct pool_session *list = page->list;
	uint64_t size = PAGE_DEFAULT;
	(void)api_request_number(request, "page_size", 1, PAGE_MAX, &size); /* it was read before */
	bool has_more = page->count > size;
	size_t count = has_more ? size : page->count;
	struct text body;
	text_init(&body);
	text_put(&body, "{\"sessions\":[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			text_put_char(&body, ',');
		put_session(&body, &list[i], i < page->counted ? &page->open[i] : NULL);
	}
	text_put(&body, "],\"next_page_token\":\"");
	if (has_more) {
		char token[TOKEN_SIZE];
		const char *last = list[count - 1].key;
		text_put(&body, sodium_bin2base64(token, sizeof(token), (const unsigned char *)last, strlen(last), TOKEN_VARIANT));
	}
	text_put(&body, "\"}");
	api_reply_json(request, MHD_HTTP_OK, &body);
}

static bool is_pool(struct api_request *request)
{
	struct snapshot *snapshot = api_request_object(request);
	snapshot_release(snapshot);
	return snapshot != NULL;
}

static bool make_page(struct session_page *page, size_t size)
{
	page->list = calloc(size, sizeof(*page->list));
	page->open = calloc(size, sizeof(*page->open));
	return page->list != NULL && page->open != NULL;
}

/* A longer id is no pool's, as it will turn out. */
static void name_operation(struct operation *operation, enum operation_kind kind, const char *pool)
{
	operation->kind = kind;
	operation->object = SPEC_POOL;
	snprintf(operation->id, sizeof(operation->id), "%s", strlen(pool) < sizeof(operation->id) ? pool : "");
}

void api_pool_sessions_list(struct api_request *request)
{
	char after[POOL_KEY_SIZE];
	uint64_t size = PAGE_DEFAULT;
	if (!api_request_number(request, "page_size", 1, PAGE_MAX, &size) || !read_token(request, after) || !is_pool(request))
		return;
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	struct session_page *page = mutation == NULL ? NULL : &mutation->operations[0].page;
	if (page == NULL || !make_page(page, size + 1)) {
		mutation_free(mutation);
		api_reply_out_of_memory(request);
		return;
	}
	page->count = service_pool_sessions(request->api->service, request->caller.access, request->parameters[0], after, page->list, size + 1);
	name_operation(&mutation->operations[0], OPERATION_COUNT, request->parameters[0]);
	if (page->count > 0) {
		api_suspended_request_send(request, mutation, finish_list);
		return;
	}
	finish_list(request, mutation);
	mutation_free(mutation);
}

static void finish(struct api_request *request, struct mutation *mutation)
{
	const struct operation *operation = &mutation->operations[0];
	struct text body;
	if (mutation->problem.code != PROBLEM_NONE || operation->problem.code != PROBLEM_NONE) {
		api_reply_problem(request, operation->problem.code != PROBLEM_NONE ? &operation->problem : &mutation->problem, NULL);
		return;
	}
	if (operation->session != NULL) {
		api_reply_empty(request, MHD_HTTP_NO_CONTENT);
		return;
	}
	text_init(&body);
	text_printf(&body, "{\"deleted\":%zu}", operation->forgotten);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

static void forget(struct api_request *request, const char *key)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	char *copy = key == NULL ? NULL : strdup(key);
	if (mutation == NULL || (key != NULL && copy == NULL)) {
		mutation_free(mutation);
		free(copy);
		api_reply_out_of_memory(request);
		return;
	}
	struct operation *operation = &mutation->operations[0];
	operation->session = copy;
	name_operation(operation, OPERATION_FORGET, request->parameters[0]);
	api_suspended_request_send(request, mutation, finish);
}

void api_pool_sessions_delete(struct api_request *request)
{
	if (strlen(request->parameters[1]) < POOL_KEY_SIZE)
		forget(request, request->parameters[1]);
	else
		api_reply_failure(request, PROBLEM_NOT_FOUND, "There is no session with this key.");
}

void api_pool_sessions_delete_all(struct api_request *request)
{
	forget(request, NULL);
}
