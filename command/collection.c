#include "command/collection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/memory.h"
#include "command/pattern.h"
#include "command/invocation.h"
#include "command/terminal_text.h"

const struct collection collection_tunnels = { "/v1/tunnels", "tunnels", "tunnel" };
const struct collection collection_pools = { "/v1/pools", "pools", "pool" };
const struct collection collection_connections = { "/v1/connections", "connections", "connection" };

static json_t *read_page(struct invocation *invocation, const struct collection *collection, const char *query, const char *token)
{
	char *escaped = api_client_escape(token);
	char *path = memory_print("%s?page_size=1000%s%s%s", collection->path, query, *escaped != '\0' ? "&page_token=" : "", escaped);
	json_t *page = invocation_get(invocation, path, false);
	free(escaped);
	free(path);
	return page;
}

json_t *collection_list(struct invocation *invocation, const struct collection *collection, const char *query, bool is_result)
{
	json_t *all = read_page(invocation, collection, query, "");
	for (const char *token; all != NULL && (token = json_string_value(json_object_get(all, "next_page_token"))) != NULL && *token != '\0';) {
		json_t *page = read_page(invocation, collection, query, token);
		if (page != NULL) {
			json_array_extend(json_object_get(all, collection->member), json_object_get(page, collection->member));
			json_object_set(all, "next_page_token", json_object_get(page, "next_page_token"));
			if (json_is_true(json_object_get(page, "incomplete")))
				json_object_set_new(all, "incomplete", json_true());
			json_decref(page);
		} else {
			json_decref(all);
			all = NULL;
		}
	}
	if (json_is_true(json_object_get(all, "incomplete")))
		fprintf(stderr, "warning: some %s are missing, because a worker did not answer in time\n", collection->member);
	if (all != NULL && is_result && invocation->is_json)
		invocation_print_json(all);
	return all;
}

struct ids {
	char **list; /* ends with NULL */
	size_t count;
};

static void add(struct ids *ids, const char *id)
{
	for (size_t i = 0; i < ids->count; i++)
		if (strcmp(ids->list[i], id) == 0)
			return;
	ids->list = memory_resize(ids->list, (ids->count + 2) * sizeof(*ids->list));
	ids->list[ids->count++] = memory_copy(id);
	ids->list[ids->count] = NULL;
}

static bool add_matching(struct ids *ids, const json_t *list, const char *pattern)
{
	size_t index;
	json_t *element;
	bool is_found = false;
	json_array_foreach (list, index, element) {
		const char *id = json_string_value(json_object_get(element, "id"));
		if (id == NULL || !pattern_matches(pattern, id))
			continue;
		add(ids, id);
		is_found = true;
	}
	return is_found;
}

char **collection_ids(struct invocation *invocation, const struct collection *collection, const char **words, size_t count)
{
	struct ids ids = { .list = memory_take(sizeof(*ids.list)) };
	json_t *all = NULL;
	bool is_fine = true;
	for (size_t i = 0; i < count && is_fine; i++) {
		if (!pattern_is(words[i])) {
			add(&ids, words[i]);
			continue;
		}
		if (all == NULL)
			all = collection_list(invocation, collection, "", false);
		is_fine = all != NULL && add_matching(&ids, json_object_get(all, collection->member), words[i]);
		if (all != NULL && !is_fine)
			invocation_fail(invocation, EXIT_REFUSED, "no %s matches '%s'", collection->noun, words[i]);
	}
	json_decref(all);
	if (is_fine)
		return ids.list;
	collection_ids_free(ids.list);
	return NULL;
}

void collection_ids_free(char **ids)
{
	for (size_t i = 0; ids != NULL && ids[i] != NULL; i++)
		free(ids[i]);
	free(ids);
}

char *collection_path(const struct collection *collection, const char *id, const char *rest)
{
	char *escaped = api_client_escape(id), *path = memory_print("%s/%s%s", collection->path, escaped, rest);
	free(escaped);
	return path;
}

void collection_delete(struct invocation *invocation, const struct collection *collection, const char *id, const char *done)
{
	char *path = collection_path(collection, id, "");
	json_t *answer = invocation_send(invocation, "DELETE", path, NULL, false);
	if (answer != NULL && !invocation->is_json)
		terminal_text_line(stdout, "%s %s", id, done);
	json_decref(answer);
	free(path);
}

char *collection_query(const struct arguments *arguments, const char *name)
{
	char *query = memory_copy("");
	size_t cursor = 0;
	for (const char *value; (value = arguments_next(arguments, name, &cursor)) != NULL;) {
		char *escaped = api_client_escape(value), *longer = memory_print("%s&%s=%s", query, name, escaped);
		free(escaped);
		free(query);
		query = longer;
	}
	return query;
}
