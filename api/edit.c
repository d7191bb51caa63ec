/* Edits, in and out. */
#include "api/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "api/peer_json.h"
#include "api/tunnel_json.h"

bool api_edit_key(const char *written, struct wireguard_key *key)
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

static bool is_peer_edit(enum edit_kind kind)
{
	return kind == EDIT_PEER_PUT || kind == EDIT_PEER_PATCH || kind == EDIT_PEER_DELETE;
}

/* The id of the path; a document may repeat it, as what was got is put back. */
static void fill_id(struct edit *edit, const char *id, const char *pointer, struct problem *problem)
{
	char place[128];
	snprintf(place, sizeof(place), "%s/id", pointer);
	if (strlen(id) >= sizeof(edit->id)) {
		problem_add(problem, place, "out_of_range", "An id can have at most %zu characters.", sizeof(edit->id) - 1);
		return;
	}
	snprintf(edit->id, sizeof(edit->id), "%s", id);
	json_t *written = is_peer_edit(edit->kind) ? NULL : json_object_get(edit->document, "id");
	if (written && (!json_is_string(written) || strcmp(json_string_value(written), id) != 0))
		problem_add(problem, place, "mismatch", "The id differs from the one in the path.");
}

static void fill_key(struct edit *edit, const char *written, const char *pointer, struct problem *problem)
{
	char place[128];
	snprintf(place, sizeof(place), "%s/public_key", pointer);
	if (!api_edit_key(written, &edit->peer))
		problem_add(problem, place, "invalid_key", "The key in the path must be 32 bytes as base64url without padding.");
	/* What the server writes into a peer is ignored when it comes back. */
	for (const char *const *name = api_peer_live_members; edit->document && *name; name++)
		json_object_del(edit->document, *name);
}

bool api_edit_fill(struct edit *edit, const struct api_route *route, const char *const parameters[API_ROUTE_PARAMETERS_MAX], json_t *document,
                   const char *pointer, struct problem *problem)
{
	edit->kind = (enum edit_kind)route->edit;
	edit->document = document;
	if (edit->kind != EDIT_CREATE)
		fill_id(edit, parameters[0], pointer, problem);
	if (is_peer_edit(edit->kind))
		fill_key(edit, parameters[1], pointer, problem);
	return problem->code == PROBLEM_NONE;
}

bool api_edit_conditions(struct edit *edit, const char *if_match, const char *if_none_match)
{
	edit->if_match = if_match ? strdup(if_match) : NULL;
	edit->if_none_match = if_none_match ? strdup(if_none_match) : NULL;
	return (edit->if_match || !if_match) && (edit->if_none_match || !if_none_match);
}

unsigned api_edit_status(const struct edit *edit)
{
	switch (edit->kind) {
	case EDIT_CREATE: return 201;
	case EDIT_PUT:
	case EDIT_PEER_PUT: return edit->applied == APPLIED_CREATED ? 201 : 200;
	case EDIT_DELETE:
	case EDIT_PEER_DELETE: return 204;
	case EDIT_PATCH:
	case EDIT_PEER_PATCH:
	case EDIT_RECONNECT:
	case EDIT_PROBE: return 200;
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

static void write_tunnel(struct text *text, const struct edit *edit, const char *members)
{
	if (edit->snapshot) {
		api_tunnel_write(text, edit->snapshot, true, members);
		return;
	}
	text_put(text, "{\"id\":");
	text_put_json(text, edit->id);
	text_put(text, members);
	text_put_char(text, '}');
}

static void write_peer(struct text *text, const struct edit *edit, const char *members)
{
	size_t index;
	if (edit->snapshot && api_peer_find(edit->snapshot, &edit->peer, &index))
		api_peer_write(text, edit->snapshot, index, members);
	else
		text_printf(text, "{%s}", members + 1);
}

/* With `members`, which begin with a comma. */
static void write_resource(struct text *text, const struct edit *edit, const char *members)
{
	switch (edit->kind) {
	case EDIT_CREATE:
	case EDIT_PUT:
	case EDIT_PATCH:
	case EDIT_RECONNECT: write_tunnel(text, edit, members); return;
	case EDIT_PEER_PUT:
	case EDIT_PEER_PATCH: write_peer(text, edit, members); return;
	case EDIT_PROBE:
	case EDIT_DELETE:
	case EDIT_PEER_DELETE: return;
	}
}

void api_edit_write(struct text *text, const struct edit *edit, const char *members)
{
	struct text more;
	text_init(&more);
	text_printf(&more, ",\"applied\":\"%s\"%s", api_applied_name(edit->applied), members ? members : "");
	text_put_char(&more, '\0');
	text->failed |= more.failed;
	if (!more.failed && more.bytes)
		write_resource(text, edit, more.bytes);
	text_clear(&more);
}

void api_edit_problem_members(struct text *text, const struct edit *edit)
{
	if (edit->problem.code != PROBLEM_HANDSHAKE_TIMEOUT || !edit->snapshot)
		return;
	text_put(text, ",\"tunnel\":");
	api_edit_write(text, edit, NULL);
}
