/* Edits, in and out. */
#include "api/operation.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "api/object_json.h"
#include "api/peer_json.h"

bool api_operation_key(const char *written, struct wireguard_key *key)
{
	static const int variants[] = { sodium_base64_VARIANT_URLSAFE_NO_PADDING, sodium_base64_VARIANT_ORIGINAL };
	size_t length = strlen(written);
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		size_t got;
		const char *end;
		if (sodium_base642bin(key->bytes, sizeof(key->bytes), written, length, NULL, &got, &end, variants[i]) == 0 &&
		    got == sizeof(key->bytes) && *end == '\0')
			return true;
	}
	return false;
}

static bool is_peer_operation(enum operation_kind kind)
{
	return kind == OPERATION_PEER_PUT || kind == OPERATION_PEER_PATCH || kind == OPERATION_PEER_DELETE;
}

/* The id from the path; the document may repeat it, as one read with GET does. */
static void fill_id(struct operation *operation, const char *id, const char *pointer, struct problem *problem)
{
	char place[128];
	snprintf(place, sizeof(place), "%s/id", pointer);
	if (strlen(id) >= sizeof(operation->id)) {
		problem_add(problem, place, "out_of_range", "An id can have at most %zu characters.", sizeof(operation->id) - 1);
		return;
	}
	snprintf(operation->id, sizeof(operation->id), "%s", id);
	json_t *written = is_peer_operation(operation->kind) ? NULL : json_object_get(operation->document, "id");
	if (written != NULL && (!json_is_string(written) || strcmp(json_string_value(written), id) != 0))
		problem_add(problem, place, "mismatch", "The id differs from the one in the path.");
}

static void fill_key(struct operation *operation, const char *written, const char *pointer, struct problem *problem)
{
	char place[128];
	snprintf(place, sizeof(place), "%s/public_key", pointer);
	if (!api_operation_key(written, &operation->peer))
		problem_add(problem, place, "invalid_key", "The key in the path must be 32 bytes as base64url without padding.");
	/* Members of a peer that the server sets are ignored. */
	for (const char *const *name = api_peer_live_members; operation->document != NULL && *name != NULL; name++)
		json_object_del(operation->document, *name);
}

bool api_operation_fill(struct operation *operation, const struct api_route *route, const char *const parameters[API_ROUTE_PARAMETERS_MAX],
                        json_t *document, const char *pointer, struct problem *problem)
{
	operation->kind = (enum operation_kind)route->operation;
	operation->object = api_route_object(route);
	operation->document = document;
	if (operation->kind != OPERATION_CREATE)
		fill_id(operation, parameters[0], pointer, problem);
	if (is_peer_operation(operation->kind))
		fill_key(operation, parameters[1], pointer, problem);
	return problem->code == PROBLEM_NONE;
}

bool api_operation_conditions(struct operation *operation, const char *if_match, const char *if_none_match)
{
	operation->if_match = if_match != NULL ? strdup(if_match) : NULL;
	operation->if_none_match = if_none_match != NULL ? strdup(if_none_match) : NULL;
	return (operation->if_match != NULL || if_match == NULL) && (operation->if_none_match != NULL || if_none_match == NULL);
}

unsigned api_operation_status(const struct operation *operation)
{
	switch (operation->kind) {
	case OPERATION_CREATE: return 201;
	case OPERATION_PUT:
	case OPERATION_PEER_PUT: return operation->applied == APPLIED_CREATED ? 201 : 200;
	case OPERATION_DELETE:
	case OPERATION_PEER_DELETE:
	case OPERATION_FORGET: return 204;
	case OPERATION_PATCH:
	case OPERATION_PEER_PATCH:
	case OPERATION_RECONNECT:
	case OPERATION_MOVE:
	case OPERATION_COUNT:
	case OPERATION_PROBE: return 200;
	}
	return 200;
}

const char *api_applied_name(enum applied applied)
{
	switch (applied) {
	case APPLIED_UNCHANGED: return "unchanged";
	case APPLIED_CREATED: return "created";
	case APPLIED_IN_PLACE: return "in_place";
	case APPLIED_RESTARTED: return "restarted";
	}
	return "unchanged";
}

static void write_object(struct text *text, const struct api_request *request, const struct operation *operation, const char *members)
{
	if (operation->snapshot != NULL) {
		api_object_write(text, request, operation->snapshot, true, members);
		return;
	}
	text_put(text, "{\"id\":");
	text_put_json(text, operation->id);
	text_put(text, members);
	text_put_char(text, '}');
}

static void write_peer(struct text *text, const struct operation *operation, const char *members)
{
	size_t index;
	if (operation->snapshot != NULL && api_peer_find(operation->snapshot, &operation->peer, &index))
		api_peer_write(text, operation->snapshot, index, members);
	else
		text_printf(text, "{%s}", members + 1);
}

/* With `members`, which begin with a comma. */
static void write_resource(struct text *text, const struct api_request *request, const struct operation *operation, const char *members)
{
	switch (operation->kind) {
	case OPERATION_CREATE:
	case OPERATION_PUT:
	case OPERATION_PATCH:
	case OPERATION_MOVE:
	case OPERATION_RECONNECT: write_object(text, request, operation, members); return;
	case OPERATION_PEER_PUT:
	case OPERATION_PEER_PATCH: write_peer(text, operation, members); return;
	case OPERATION_PROBE:
	case OPERATION_COUNT:
	case OPERATION_FORGET:
	case OPERATION_DELETE:
	case OPERATION_PEER_DELETE: return;
	}
}

void api_operation_write(struct text *text, const struct api_request *request, const struct operation *operation, const char *members)
{
	struct text more;
	text_init(&more);
	text_printf(&more, ",\"applied\":\"%s\"%s", api_applied_name(operation->applied), members != NULL ? members : "");
	text_put_char(&more, '\0');
	text->failed |= more.failed;
	if (!more.failed && more.bytes != NULL)
		write_resource(text, request, operation, more.bytes);
	text_clear(&more);
}

void api_operation_problem_members(struct text *text, const struct api_request *request, const struct operation *operation)
{
	if (operation->problem.code != PROBLEM_HANDSHAKE_TIMEOUT || operation->snapshot == NULL)
		return;
	text_put(text, operation->object == SPEC_POOL ? ",\"pool\":" : ",\"tunnel\":");
	api_operation_write(text, request, operation, NULL);
}
