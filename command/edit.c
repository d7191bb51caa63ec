#include "command/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/assignment.h"
#include "command/collection.h"
#include "command/document.h"
#include "command/member.h"
#include "command/memory.h"
#include "command/pattern.h"
#include "command/invocation.h"
#include "command/terminal_text.h"
#include "command/way.h"

#define HANDSHAKE_TIMEOUT 30 /* seconds that the API waits at most, by default */

/* Adds the options to a JSON document. False if a label is not KEY=VALUE or not UTF-8. */
static bool complete(json_t *json, const struct arguments *arguments)
{
	size_t cursor = 0;
	const char *id = arguments_value(arguments, "id");
	json_t *listen = json_array(), *labels = json_object();
	bool is_fine = id == NULL || json_object_set_new(json, "id", json_string(id)) == 0;
	for (const char *value; (value = arguments_next(arguments, "listen", &cursor)) != NULL;)
		is_fine &= json_array_append_new(listen, json_string(value)) == 0;
	cursor = 0;
	for (const char *value; (value = arguments_next(arguments, "label", &cursor)) != NULL;)
		is_fine &= assignment_add_label(labels, value);
	json_t *added = json_pack("{s:o}", "labels", labels);
	if (json_array_size(listen) > 0)
		json_object_set_new(added, "spec", json_pack("{s:{s:O}}", "proxy", "listen", listen));
	json_object_update_recursive(json, added);
	json_decref(added);
	json_decref(listen);
	return is_fine;
}

static char *add_query(const struct arguments *arguments, const struct document *document)
{
	char *query = memory_copy(arguments_has(arguments, "wait") ? "&wait=up" : "");
	if (document->json != NULL)
		return query;
	char *listen = collection_query(arguments, "listen"), *label = collection_query(arguments, "label");
	const char *id = arguments_value(arguments, "id") != NULL ? arguments_value(arguments, "id") : document->id;
	char *escaped = api_client_escape(id != NULL ? id : "");
	char *all = memory_print("%s%s%s%s%s", query, id != NULL ? "&id=" : "", escaped, listen, label);
	free(escaped);
	free(label);
	free(listen);
	free(query);
	return all;
}

static json_t *post(struct invocation *invocation, const struct collection *collection, const struct arguments *arguments, struct document *document)
{
	char *query = add_query(arguments, document),
	     *path = memory_print("%s%s%s", collection->path, *query != '\0' ? "?" : "", query + (*query != '\0'));
	struct api_client_request request = { .method = "POST",
		                              .path = path,
		                              .type = "text/plain",
		                              .body = document->text,
		                              .length = document->length,
		                              .timeout = arguments_has(arguments, "wait") ? HANDSHAKE_TIMEOUT + 10 : 0 };
	char *text = NULL;
	if (document->json != NULL) {
		if (document->id != NULL && json_object_get(document->json, "id") == NULL)
			json_object_set_new(document->json, "id", json_string(document->id));
		request.type = "application/json";
		request.body = text = json_dumps(document->json, JSON_COMPACT);
		request.length = strlen(text);
	}
	json_t *answer = invocation_ask_json(invocation, &request, true);
	memory_discard(text);
	free(path);
	free(query);
	return answer;
}

json_t *edit_add(struct invocation *invocation, const struct collection *collection, const struct arguments *arguments)
{
	char failure[DOCUMENT_FAILURE_MAX];
	struct document document;
	json_t *answer = NULL;
	if (!document_read(&document, arguments->words[0], failure)) {
		invocation_fail(invocation, EXIT_REFUSED, "%s", failure);
		return NULL;
	}
	if (document.json != NULL && !complete(document.json, arguments))
		invocation_fail(invocation, EXIT_USAGE, "--label is KEY=VALUE, and every option is UTF-8");
	else
		answer = post(invocation, collection, arguments, &document);
	document_clear(&document);
	return answer;
}

static json_t *patch(struct invocation *invocation, const char *path, const json_t *present, const json_t *changes)
{
	char *body = json_dumps(changes, JSON_COMPACT);
	const char *etag = member_text(present, "etag");
	json_t *answer = invocation_ask_json(invocation,
	                                     &(struct api_client_request){ .method = "PATCH",
	                                                                   .path = path,
	                                                                   .type = "application/merge-patch+json",
	                                                                   .body = body,
	                                                                   .length = strlen(body),
	                                                                   .if_match = *etag != '\0' ? etag : NULL },
	                                     true);
	memory_discard(body);
	return answer;
}

json_t *edit_set(struct invocation *invocation, const struct collection *collection, const char *id, const char *const *assignments, size_t count)
{
	char failure[ASSIGNMENT_FAILURE_MAX];
	char *path = collection_path(collection, id, "");
	json_t *present = invocation_get(invocation, path, false), *changes = json_object(), *answer = NULL;
	bool is_fine = present != NULL;
	for (size_t i = 0; i < count && is_fine; i++) {
		is_fine = assignment_add(changes, present, assignments[i], failure);
		if (!is_fine)
			invocation_fail(invocation, EXIT_USAGE, "%s", failure);
	}
	if (is_fine)
		answer = patch(invocation, path, present, changes);
	json_decref(changes);
	json_decref(present);
	free(path);
	return answer;
}

static void tell_lost(const char *lost, const char *gone)
{
	if (lost != NULL)
		terminal_text_line(stderr, "warning: %s went through %s, and cannot send until they get another way", lost, gone);
}

/* Which tunnels outside of `ids` go through one of these; NULL: none. */
static char *lost_with(struct invocation *invocation, const struct collection *collection, char *const *ids)
{
	if (collection != &collection_tunnels)
		return NULL;
	json_t *all = collection_list(invocation, collection, "", false);
	char *lost = way_lost(json_object_get(all, collection->member), ids);
	json_decref(all);
	return lost;
}

static void remove_one(struct invocation *invocation, const struct collection *collection, char *const *ids, size_t index)
{
	char *path = collection_path(collection, ids[index], "");
	struct api_client_answer answer;
	if (invocation_ask(invocation, &(struct api_client_request){ .method = "DELETE", .path = path }, &answer)) {
		char *lost = answer.inside != NULL ? way_lost_of(answer.inside, ids) : NULL;
		if (!invocation->is_json)
			terminal_text_line(stdout, "%s deleted", ids[index]);
		tell_lost(lost, ids[index]);
		free(lost);
		api_client_answer_clear(&answer);
	}
	free(path);
}

static bool confirm(struct invocation *invocation, const struct arguments *arguments, const char *lost, const char *what)
{
	const char *between = lost != NULL ? "Through what is deleted go " : "", *end = lost != NULL ? ". " : "";
	return invocation_confirm(invocation, arguments, "%s%s%sDelete %s?", between, lost != NULL ? lost : "", end, what);
}

static bool confirm_words(struct invocation *invocation, const struct collection *collection, const struct arguments *arguments, char *const *ids,
                          size_t count)
{
	char *what = memory_print("%zu %s%s, from %s to %s", count, collection->noun, count == 1 ? "" : "s", ids[0], ids[count - 1]);
	char *lost = invocation->is_interactive ? lost_with(invocation, collection, ids) : NULL;
	bool goes_on = confirm(invocation, arguments, lost, what);
	free(lost);
	free(what);
	return goes_on;
}

static void remove_words(struct invocation *invocation, const struct collection *collection, const struct arguments *arguments)
{
	size_t count = 0;
	bool has_pattern = false;
	for (size_t i = 0; i < arguments->word_count; i++)
		has_pattern |= pattern_is(arguments->words[i]);
	char **ids = collection_ids(invocation, collection, arguments->words, arguments->word_count);
	while (ids != NULL && ids[count] != NULL)
		count++;
	bool goes_on = ids != NULL && (!has_pattern || confirm_words(invocation, collection, arguments, ids, count));
	for (size_t i = 0; goes_on && i < count; i++)
		remove_one(invocation, collection, ids, i);
	collection_ids_free(ids);
}

/* The ids of a page. */
static char **ids_of(const json_t *list)
{
	size_t index;
	json_t *element;
	char **ids = memory_take((json_array_size(list) + 1) * sizeof(*ids));
	json_array_foreach (list, index, element)
		ids[index] = memory_copy(member_text(element, "id"));
	ids[json_array_size(list)] = NULL;
	return ids;
}

/* One request, so that nothing that appears meanwhile is missed. */
static void remove_all(struct invocation *invocation, const struct collection *collection, const struct arguments *arguments)
{
	char *query = collection_query(arguments, "label");
	json_t *page = collection_list(invocation, collection, query, false);
	char **ids = ids_of(json_object_get(page, collection->member));
	char *lost = page != NULL && *query != '\0' ? lost_with(invocation, collection, ids) : NULL;
	char *what =
	    memory_print("%s%zu %ss", *query == '\0' ? "all " : "", json_array_size(json_object_get(page, collection->member)), collection->noun);
	if (page != NULL && confirm(invocation, arguments, lost, what)) {
		char *path = memory_print("%s%s%s", collection->path, *query != '\0' ? "?" : "", query + (*query != '\0'));
		json_t *answer = invocation_send(invocation, "DELETE", path, NULL, true);
		if (answer != NULL && !invocation->is_json)
			printf("%.0f deleted\n", member_number(answer, "deleted", 0));
		if (answer != NULL)
			tell_lost(lost, "what was deleted");
		json_decref(answer);
		free(path);
	}
	collection_ids_free(ids);
	json_decref(page);
	free(lost);
	free(what);
	free(query);
}

enum exit_code edit_remove(struct invocation *invocation, const struct collection *collection, const struct arguments *arguments)
{
	bool has_label = arguments_has(arguments, "label"), is_all = arguments_has(arguments, "all");
	if ((arguments->word_count > 0) + has_label + is_all != 1)
		invocation_fail(invocation, EXIT_USAGE, "name ids, or give --label, or --all");
	else if (arguments->word_count > 0)
		remove_words(invocation, collection, arguments);
	else
		remove_all(invocation, collection, arguments);
	return invocation->code;
}
