#include "command/apply.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/collection.h"
#include "command/document_set.h"
#include "command/member.h"
#include "command/memory.h"
#include "command/plan.h"
#include "command/problem_text.h"
#include "command/invocation.h"
#include "command/terminal_text.h"
#include "command/tunnel_view.h"

/* One run of apply. */
struct apply {
	struct invocation *invocation;
	struct document_set set;
	struct plan plan;
	json_t *tunnels, *pools; /* as they are; pools are read only if a file describes one */
	bool is_together;        /* tunnels go through each other, and only all files together can be judged, and done */
};

static const struct collection *collection_of(const struct apply *apply, size_t source)
{
	return apply->set.is_pool[source] ? &collection_pools : &collection_tunnels;
}

static const json_t *present(const struct apply *apply, size_t source)
{
	const json_t *list = apply->set.is_pool[source] ? json_object_get(apply->pools, "pools") : json_object_get(apply->tunnels, "tunnels");
	size_t index;
	json_t *object;
	json_array_foreach (list, index, object)
		if (strcmp(member_text(object, "id"), apply->set.list[source].id) == 0)
			return object;
	return NULL;
}

/* PUT of a document, dry or not. At most one of the two conditions is given. To be cleared with clear_put. */
static struct api_client_request make_put(const struct apply *apply, size_t source, const char *query, const char *if_match,
                                          const char *if_none_match)
{
	const struct document *document = &apply->set.list[source];
	char *text = document->json != NULL ? json_dumps(document->json, JSON_COMPACT) : NULL;
	return (struct api_client_request){ .method = "PUT",
		                            .path = collection_path(collection_of(apply, source), document->id, query),
		                            .type = text != NULL ? "application/json" : "text/plain",
		                            .body = text != NULL ? text : document->text,
		                            .length = text != NULL ? strlen(text) : document->length,
		                            .if_match = if_match,
		                            .if_none_match = if_none_match };
}

static void clear_put(const struct apply *apply, size_t source, struct api_client_request *request)
{
	if (request->body != apply->set.list[source].text)
		memory_discard((char *)(uintptr_t)request->body);
	free((char *)(uintptr_t)request->path);
}

/* The object as it is afterwards. */
static json_t *put(struct apply *apply, size_t source, const char *if_match, const char *if_none_match)
{
	struct api_client_request request = make_put(apply, source, "", if_match, if_none_match);
	json_t *answer = invocation_ask_json(apply->invocation, &request, false);
	clear_put(apply, source, &request);
	return answer;
}

/* Whether nothing is wrong but the tunnels that it goes through: what they are may be another file's. */
static bool is_of_chain(const struct api_client_answer *answer)
{
	static const char *const codes[] = { "unknown_tunnel", "circle", "too_deep" };
	json_t *problem = json_loadb(answer->body, answer->length, 0, NULL), *errors = json_object_get(problem, "errors"), *error;
	size_t index, found = 0;
	json_array_foreach (errors, index, error)
		for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
			found += strcmp(member_text(error, "code"), codes[i]) == 0;
	bool is_it = found > 0 && found == json_array_size(errors);
	json_decref(problem);
	return is_it;
}

/* What one document alone would become; NULL after a failure was told, or if it is put off. */
static json_t *try_alone(struct apply *apply, size_t source)
{
	struct api_client_request request = make_put(apply, source, "?dry_run=true", NULL, NULL);
	struct api_client_answer answer;
	json_t *after = NULL;
	if (!api_client_ask(apply->invocation->client, &request, &answer)) {
		api_client_explain(apply->invocation->client);
		invocation_note(apply->invocation, EXIT_UNREACHABLE);
	} else if (answer.status / 100 == 2) {
		after = json_loadb(answer.body, answer.length, 0, NULL);
	} else if (is_of_chain(&answer)) {
		apply->is_together = true;
	} else {
		problem_text_write(stderr, &request, &answer);
		invocation_note(apply->invocation, EXIT_REFUSED);
		terminal_text_line(stderr, "  in %s", apply->set.paths[source]);
	}
	api_client_answer_clear(&answer);
	clear_put(apply, source, &request);
	return after;
}

static bool read_files(struct apply *apply, const struct arguments *arguments)
{
	char failure[DOCUMENT_FAILURE_MAX];
	for (size_t i = 0; i < arguments->word_count; i++)
		if (!document_set_add(&apply->set, arguments->words[i], failure)) {
			invocation_fail(apply->invocation, EXIT_REFUSED, "%s", failure);
			return false;
		}
	return true;
}

static bool read_present(struct apply *apply)
{
	bool has_pool = false;
	for (size_t i = 0; i < apply->set.count; i++)
		has_pool |= apply->set.is_pool[i];
	apply->tunnels = collection_list(apply->invocation, &collection_tunnels, "", false);
	if (apply->tunnels != NULL && has_pool)
		apply->pools = collection_list(apply->invocation, &collection_pools, "", false);
	return apply->tunnels != NULL && (apply->pools != NULL || !has_pool);
}

/* Adds the document to the operations of a batch. */
static void add_operation(struct apply *apply, json_t *operations, size_t source, const char *if_match, const char *if_none_match)
{
	const struct document *document = &apply->set.list[source];
	char *path = collection_path(collection_of(apply, source), document->id, "");
	json_t *body = document->json != NULL ? json_incref(document->json) : json_stringn(document->text, document->length);
	json_t *made = json_pack("{s:s, s:s, s:o, s:s?, s:s?}", "method", "PUT", "path", path, "body", body, "if_match", if_match, "if_none_match",
	                         if_none_match);
	free(path);
	if (json_array_append_new(operations, made) != 0)
		invocation_fail(apply->invocation, EXIT_REFUSED,
		                "%s is not UTF-8: tunnels go through each other, so the files are sent as one request", apply->set.paths[source]);
}

static bool has_file(const struct apply *apply, const char *id)
{
	for (size_t i = 0; i < apply->set.count; i++)
		if (!apply->set.is_pool[i] && strcmp(apply->set.list[i].id, id) == 0)
			return true;
	return false;
}

/* Those of tunnels inside others, which no file describes: what these go through may then go through more. */
static void add_deletions(const struct apply *apply, json_t *operations)
{
	size_t index;
	json_t *tunnel;
	json_array_foreach (json_object_get(apply->tunnels, "tunnels"), index, tunnel) {
		const char *id = member_text(tunnel, "id");
		if (*member_text(tunnel, "spec.interface.via") == '\0' || strcmp(member_text(tunnel, "origin"), "file") == 0 || has_file(apply, id))
			continue;
		char *path = collection_path(&collection_tunnels, id, "");
		json_array_append_new(operations, json_pack("{s:s, s:s}", "method", "DELETE", "path", path));
		free(path);
	}
}

/* All operations or none. The results; NULL after the failure was told with the file of the `count` sources, those of the first operations, that
 * has it. */
static json_t *ask_together(struct apply *apply, json_t *operations, const size_t *sources, size_t count, const char *query)
{
	char *path = memory_print("/v1/batch%s", query), *body;
	json_t *batch = json_pack("{s:b, s:O}", "atomic", 1, "operations", operations), *results = NULL;
	struct api_client_answer answer;
	body = json_dumps(batch, JSON_COMPACT);
	struct api_client_request request = { .method = "POST", .path = path, .type = "application/json", .body = body, .length = strlen(body) };
	bool has_answer = api_client_ask(apply->invocation->client, &request, &answer);
	json_t *json = has_answer ? json_loadb(answer.body, answer.length, 0, NULL) : NULL;
	if (!has_answer) {
		api_client_explain(apply->invocation->client);
		invocation_note(apply->invocation, EXIT_UNREACHABLE);
	} else if (answer.status / 100 == 2) {
		results = json_incref(json_object_get(json, "results"));
	} else {
		double failed = member_number(json, "operation", -1);
		problem_text_write(stderr, &request, &answer);
		invocation_note(apply->invocation, EXIT_REFUSED);
		if (failed >= 0 && failed < (double)count)
			terminal_text_line(stderr, "  in %s", apply->set.paths[sources[(size_t)failed]]);
	}
	api_client_answer_clear(&answer);
	json_decref(json);
	json_decref(batch);
	memory_discard(body);
	free(path);
	return results;
}

/* Judges all files as what they are together, without what is deleted before. */
static void plan_together(struct apply *apply, bool prunes)
{
	size_t *sources = memory_take((apply->set.count + 1) * sizeof(*sources));
	json_t *operations = json_array();
	for (size_t i = 0; i < apply->set.count; i++) {
		sources[i] = i;
		add_operation(apply, operations, i, NULL, NULL);
	}
	if (prunes)
		add_deletions(apply, operations);
	bool goes_on = apply->invocation->code == EXIT_OK;
	json_t *results = goes_on ? ask_together(apply, operations, sources, apply->set.count, "?dry_run=true") : NULL;
	plan_clear(&apply->plan);
	for (size_t i = 0; results != NULL && i < apply->set.count; i++)
		plan_add(&apply->plan, collection_of(apply, i)->noun, i, present(apply, i), json_object_get(json_array_get(results, i), "body"));
	json_decref(results);
	json_decref(operations);
	free(sources);
}

/* Asks the daemon what each document would do. False if one has a fault; all faults are told. */
static bool make_plan(struct apply *apply, bool prunes)
{
	for (size_t i = 0; i < apply->set.count && apply->invocation->code != EXIT_UNREACHABLE; i++) {
		json_t *after = try_alone(apply, i);
		if (after != NULL)
			plan_add(&apply->plan, collection_of(apply, i)->noun, i, present(apply, i), after);
		json_decref(after);
	}
	if (apply->is_together && apply->invocation->code == EXIT_OK)
		plan_together(apply, prunes);
	if (prunes) {
		plan_prune(&apply->plan, collection_pools.noun, json_object_get(apply->pools, "pools"));
		plan_prune(&apply->plan, collection_tunnels.noun, json_object_get(apply->tunnels, "tunnels"));
	}
	return apply->invocation->code == EXIT_OK;
}

static bool delete_item(struct apply *apply, const struct plan_item *item)
{
	const struct collection *collection = strcmp(item->noun, collection_pools.noun) == 0 ? &collection_pools : &collection_tunnels;
	char *path = collection_path(collection, item->id, "");
	json_t *answer =
	    invocation_ask_json(apply->invocation, &(struct api_client_request){ .method = "DELETE", .path = path, .if_match = item->etag }, false);
	free(path);
	json_decref(answer);
	return answer != NULL;
}

/* Only what the plan has shown is overwritten. */
static const char *etag_of(const struct plan_item *item)
{
	return item->kind == PLAN_CREATE ? NULL : item->etag;
}

static const char *none_of(const struct plan_item *item)
{
	return item->kind == PLAN_CREATE ? "*" : NULL;
}

static bool put_item(struct apply *apply, const struct plan_item *item)
{
	json_t *answer = put(apply, item->source, etag_of(item), none_of(item));
	if (answer != NULL)
		tunnel_view_warnings(answer);
	json_decref(answer);
	return answer != NULL;
}

static bool do_item(struct apply *apply, const struct plan_item *item)
{
	bool is_done = item->kind == PLAN_DELETE ? delete_item(apply, item) : put_item(apply, item);
	if (!is_done)
		terminal_text_line(stderr, "  %s %s", item->noun, item->id);
	return is_done;
}

/* What the tunnel goes through; empty: nothing. */
static const char *via_of(const struct apply *apply, const char *id)
{
	size_t index;
	json_t *tunnel;
	json_array_foreach (json_object_get(apply->tunnels, "tunnels"), index, tunnel)
		if (strcmp(member_text(tunnel, "id"), id) == 0)
			return member_text(tunnel, "spec.interface.via");
	return "";
}

#define DEPTH_MOST 4 /* tunnels that a tunnel can be the innermost of */

static unsigned depth_of(const struct apply *apply, const struct plan_item *item)
{
	unsigned depth = 0;
	const char *via = strcmp(item->noun, collection_tunnels.noun) == 0 ? via_of(apply, item->id) : "";
	for (; *via != '\0' && depth < DEPTH_MOST; via = via_of(apply, via))
		depth++;
	return depth;
}

/* Deletions come first, so that their ports are free for what follows. What is inside another tunnel goes before that. */
static size_t do_deletions(struct apply *apply)
{
	size_t done = 0;
	unsigned *depths = memory_take((apply->plan.count + 1) * sizeof(*depths));
	for (size_t i = 0; i < apply->plan.count; i++)
		depths[i] = apply->plan.items[i].kind == PLAN_DELETE ? depth_of(apply, &apply->plan.items[i]) : UINT_MAX;
	for (unsigned depth = DEPTH_MOST + 1; depth-- > 0;)
		for (size_t i = 0; i < apply->plan.count && apply->invocation->code != EXIT_UNREACHABLE; i++)
			if (depths[i] == depth)
				done += do_item(apply, &apply->plan.items[i]);
	free(depths);
	return done;
}

static size_t do_one_by_one(struct apply *apply)
{
	static const enum plan_kind order[] = { PLAN_CHANGE, PLAN_CREATE };
	size_t done = 0;
	for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++)
		for (size_t i = 0; i < apply->plan.count && apply->invocation->code != EXIT_UNREACHABLE; i++)
			if (apply->plan.items[i].kind == order[k])
				done += do_item(apply, &apply->plan.items[i]);
	return done;
}

static size_t do_together(struct apply *apply)
{
	size_t count = 0, done, index;
	size_t *sources = memory_take((apply->plan.count + 1) * sizeof(*sources));
	json_t *operations = json_array(), *result;
	for (size_t i = 0; i < apply->plan.count; i++) {
		const struct plan_item *item = &apply->plan.items[i];
		if (item->kind != PLAN_CHANGE && item->kind != PLAN_CREATE)
			continue;
		sources[count++] = item->source;
		add_operation(apply, operations, item->source, etag_of(item), none_of(item));
	}
	json_t *results = ask_together(apply, operations, sources, count, "");
	json_array_foreach (results, index, result)
		tunnel_view_warnings(json_object_get(result, "body"));
	done = json_array_size(results);
	json_decref(results);
	json_decref(operations);
	free(sources);
	return done;
}

static void do_plan(struct apply *apply)
{
	size_t wanted = apply->plan.count - plan_count(&apply->plan, PLAN_UNCHANGED), done = do_deletions(apply);
	if (apply->invocation->code != EXIT_UNREACHABLE)
		done += apply->is_together ? do_together(apply) : do_one_by_one(apply);
	if (!apply->invocation->is_json)
		printf("%zu of %zu done\n", done, wanted);
}

static void show_and_do(struct apply *apply, const struct arguments *arguments)
{
	struct invocation *invocation = apply->invocation;
	size_t deleted = plan_count(&apply->plan, PLAN_DELETE), same = plan_count(&apply->plan, PLAN_UNCHANGED);
	if (invocation->is_json) {
		json_t *json = plan_json(&apply->plan);
		invocation_print_json(json);
		json_decref(json);
	} else {
		plan_write(&apply->plan, stdout, invocation->has_colour);
		fflush(stdout);
	}
	if (arguments_has(arguments, "dry-run") || same == apply->plan.count)
		return;
	if (deleted == 0 || invocation_confirm(invocation, arguments, "Delete %zu?", deleted))
		do_plan(apply);
}

enum exit_code apply_run(struct invocation *invocation, const struct arguments *arguments)
{
	struct apply apply = { .invocation = invocation };
	if (read_files(&apply, arguments) && read_present(&apply)) {
		if (make_plan(&apply, arguments_has(arguments, "prune")))
			show_and_do(&apply, arguments);
		else
			fputs("Nothing was done.\n", stderr);
	}
	json_decref(apply.tunnels);
	json_decref(apply.pools);
	plan_clear(&apply.plan);
	document_set_clear(&apply.set);
	return invocation->code;
}
