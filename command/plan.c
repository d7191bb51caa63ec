#include "command/plan.h"

#include <stdlib.h>
#include <string.h>

#include "command/member.h"
#include "command/memory.h"
#include "command/terminal_text.h"

#define DEPTH_MAX 8
#define VALUE_MAX ((size_t)60) /* columns of a value that is shown */

static void differ(json_t *list, const char *path, json_t *before, json_t *after, int depth);

static void differ_below(json_t *list, const char *path, const char *name, json_t *before, json_t *after, int depth)
{
	char *below = memory_print("%s%s%s", path, *path != '\0' ? "." : "", name);
	differ(list, below, before, after, depth + 1);
	free(below);
}

static void differ_objects(json_t *list, const char *path, json_t *before, json_t *after, int depth)
{
	const char *name;
	json_t *value;
	json_object_foreach (before, name, value)
		differ_below(list, path, name, value, json_object_get(after, name), depth);
	json_object_foreach (after, name, value)
		if (json_object_get(before, name) == NULL)
			differ_below(list, path, name, NULL, value, depth);
}

static void differ_lists(json_t *list, const char *path, json_t *before, json_t *after, int depth)
{
	for (size_t i = 0; i < json_array_size(before); i++) {
		char name[24];
		snprintf(name, sizeof(name), "%zu", i);
		differ_below(list, path, name, json_array_get(before, i), json_array_get(after, i), depth);
	}
}

static bool are_objects(const json_t *list)
{
	return json_is_object(json_array_get(list, 0));
}

static void differ(json_t *list, const char *path, json_t *before, json_t *after, int depth)
{
	if (before != NULL && after != NULL && json_equal(before, after))
		return;
	bool goes_deeper =
	    depth < DEPTH_MAX && json_typeof(before != NULL ? before : json_null()) == json_typeof(after != NULL ? after : json_null());
	if (goes_deeper && json_is_object(before))
		differ_objects(list, path, before, after, depth);
	else if (goes_deeper && are_objects(before) && json_array_size(before) == json_array_size(after))
		differ_lists(list, path, before, after, depth);
	else
		json_array_append_new(list, json_pack("[s, O, O]", path, before != NULL ? before : json_null(), after != NULL ? after : json_null()));
}

json_t *plan_differences(const json_t *before, const json_t *after)
{
	static const char *const parts[] = { "labels", "spec" };
	json_t *list = json_array();
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		json_t *old = json_object_get(before, parts[i]), *new = json_object_get(after, parts[i]);
		/* The spec's members are named as `warren set` takes them. */
		if (old != NULL && new != NULL)
			differ(list, i == 0 ? parts[i] : "", old, new, 0);
	}
	return list;
}

static struct plan_item *append(struct plan *plan)
{
	plan->items = memory_resize(plan->items, (plan->count + 1) * sizeof(*plan->items));
	return &plan->items[plan->count++];
}

void plan_add(struct plan *plan, const char *noun, size_t source, const json_t *before, const json_t *after)
{
	const char *applied = member_text(after, "applied");
	enum plan_kind kind = before == NULL ? PLAN_CREATE : strcmp(applied, "unchanged") == 0 ? PLAN_UNCHANGED : PLAN_CHANGE;
	*append(plan) = (struct plan_item){ .kind = kind,
		                            .id = memory_copy(member_text(after, "id")),
		                            .noun = noun,
		                            .etag = memory_copy(member_text(before, "etag")),
		                            .restarts = strcmp(applied, "restarted") == 0,
		                            .differences = kind == PLAN_CHANGE ? plan_differences(before, after) : NULL,
		                            .source = source };
}

static bool has(const struct plan *plan, const char *noun, const char *id)
{
	for (size_t i = 0; i < plan->count; i++)
		if (strcmp(plan->items[i].noun, noun) == 0 && strcmp(plan->items[i].id, id) == 0)
			return true;
	return false;
}

void plan_prune(struct plan *plan, const char *noun, const json_t *present)
{
	size_t index;
	json_t *object;
	json_array_foreach (present, index, object) {
		const char *id = member_text(object, "id");
		if (strcmp(member_text(object, "origin"), "file") == 0 || has(plan, noun, id))
			continue;
		*append(plan) =
		    (struct plan_item){ .kind = PLAN_DELETE, .id = memory_copy(id), .noun = noun, .etag = memory_copy(member_text(object, "etag")) };
	}
}

size_t plan_count(const struct plan *plan, enum plan_kind kind)
{
	size_t count = 0;
	for (size_t i = 0; i < plan->count; i++)
		count += plan->items[i].kind == kind;
	return count;
}

void plan_clear(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		free(plan->items[i].id);
		free(plan->items[i].etag);
		json_decref(plan->items[i].differences);
	}
	free(plan->items);
	*plan = (struct plan){ 0 };
}

static void write_value(FILE *to, const json_t *value)
{
	char *text = json_is_null(value) ? memory_copy("none") : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | MEMBER_DIGITS);
	char *clean = terminal_text_clean(text);
	size_t used, bytes = terminal_text_fit(clean, VALUE_MAX, &used);
	fprintf(to, "%.*s%s", (int)bytes, clean, clean[bytes] != '\0' ? "\xe2\x80\xa6" : "");
	free(clean);
	free(text);
}

static void write_differences(FILE *to, const json_t *differences)
{
	size_t index;
	json_t *difference;
	json_array_foreach (differences, index, difference) {
		fputs("    ", to);
		terminal_text_write(to, json_string_value(json_array_get(difference, 0)));
		fputs(": ", to);
		write_value(to, json_array_get(difference, 1));
		fputs(" -> ", to);
		write_value(to, json_array_get(difference, 2));
		fputc('\n', to);
	}
	/* Only keys and passwords are never shown. */
	if (json_array_size(differences) == 0)
		fputs("    a key or a password\n", to);
}

void plan_write(const struct plan *plan, FILE *to, bool has_colour)
{
	static const struct {
		const char *sign, *verb, *colour;
	} kinds[PLAN_KINDS] = {
		[PLAN_DELETE] = { "-", "delete", "\033[31m" },
		[PLAN_CHANGE] = { "~", "change", "\033[33m" },
		[PLAN_CREATE] = { "+", "create", "\033[32m" },
		[PLAN_UNCHANGED] = { "", "", "" },
	};
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_item *item = &plan->items[i];
		if (item->kind == PLAN_UNCHANGED)
			continue;
		fprintf(to, "%s%s %s %s ", has_colour ? kinds[item->kind].colour : "", kinds[item->kind].sign, kinds[item->kind].verb, item->noun);
		terminal_text_write(to, item->id);
		fprintf(to, "%s%s\n", item->restarts ? " (restarts it)" : "", has_colour ? "\033[0m" : "");
		if (item->kind == PLAN_CHANGE)
			write_differences(to, item->differences);
	}
	fprintf(to, "%zu to create, %zu to change, %zu to delete, %zu unchanged\n", plan_count(plan, PLAN_CREATE), plan_count(plan, PLAN_CHANGE),
	        plan_count(plan, PLAN_DELETE), plan_count(plan, PLAN_UNCHANGED));
}

json_t *plan_json(const struct plan *plan)
{
	static const char *const names[PLAN_KINDS] = {
		[PLAN_DELETE] = "deleted", [PLAN_CHANGE] = "changed", [PLAN_CREATE] = "created", [PLAN_UNCHANGED] = "unchanged"
	};
	json_t *json = json_pack("{s:[], s:[], s:[], s:[]}", "created", "changed", "unchanged", "deleted");
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_item *item = &plan->items[i];
		json_t *entry = json_string(item->id), *members = json_array();
		size_t index;
		json_t *difference;
		json_array_foreach (item->differences, index, difference)
			json_array_append(members, json_array_get(difference, 0));
		if (item->kind == PLAN_CHANGE)
			entry = json_pack("{s:o, s:O}", "id", entry, "members", members);
		json_decref(members);
		json_array_append_new(json_object_get(json, names[item->kind]), entry);
	}
	return json;
}
