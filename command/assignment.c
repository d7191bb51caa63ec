#include "command/assignment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/memory.h"

static json_t *list_of_texts(const char *text)
{
	json_t *list = json_array();
	while (*text != '\0') {
		size_t length = strcspn(text, ",");
		json_array_append_new(list, json_stringn(text, length));
		text += length + (text[length] == ',');
	}
	return list;
}

/* NULL if the text is not UTF-8. */
static json_t *read_value(const char *text, const json_t *present)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	bool stays_text = json_is_string(present) && json != NULL && !json_is_string(json) && !json_is_null(json);
	bool is_entry = json_is_array(present) && (json_is_string(json) || json_is_number(json));
	if (json != NULL && !stays_text && !is_entry)
		return json;
	json_decref(json);
	json_t *plain = json_string(text);
	if (plain == NULL || !json_is_array(present))
		return plain;
	json_decref(plain);
	return list_of_texts(text);
}

/* The element of a list that a path names. NULL with the failure. */
static const json_t *element(const json_t *list, const char *name, size_t *index, char failure[ASSIGNMENT_FAILURE_MAX])
{
	char *end;
	*index = strtoul(name, &end, 10);
	const json_t *there = *end == '\0' && *name != '\0' ? json_array_get(list, *index) : NULL;
	if (there == NULL)
		snprintf(failure, ASSIGNMENT_FAILURE_MAX, "there is no element '%s' in this list of %zu", name, json_array_size(list));
	return there;
}

static json_t *enter_object(json_t *patch, const json_t *present, const char *name, const json_t **below)
{
	*below = json_object_get(present, name);
	json_t *there = json_object_get(patch, name);
	if (there != NULL && !json_is_null(there))
		return there;
	json_object_set_new(patch, name, json_is_array(*below) ? json_deep_copy(*below) : json_object());
	return json_object_get(patch, name);
}

/* What is at `name` of an object or list, in `*below`, and what the patch has there: its own copy, because a merge patch replaces a list whole.
 * NULL with the failure. */
static json_t *enter(json_t *patch, const json_t *present, const char *name, const json_t **below, char failure[ASSIGNMENT_FAILURE_MAX])
{
	json_t *there;
	if (json_is_array(present)) {
		size_t index;
		*below = element(present, name, &index, failure);
		if (*below == NULL)
			return NULL;
		there = json_array_get(patch, index);
	} else {
		there = enter_object(patch, present, name, below);
	}
	if (json_is_object(there) || json_is_array(there))
		return there;
	snprintf(failure, ASSIGNMENT_FAILURE_MAX, "'%s' has no members to set", name);
	return NULL;
}

/* Sets the last member of the path. */
static bool put(json_t *patch, const json_t *present, const char *name, const char *text, char failure[ASSIGNMENT_FAILURE_MAX])
{
	const json_t *old = NULL;
	size_t index = 0;
	if (json_is_array(present)) {
		old = element(present, name, &index, failure);
		if (old == NULL)
			return false;
	} else {
		old = json_object_get(present, name);
	}
	json_t *value = read_value(text, old);
	if (value == NULL) {
		snprintf(failure, ASSIGNMENT_FAILURE_MAX, "the value of '%s' is not UTF-8", name);
		return false;
	}
	if (json_is_array(patch))
		json_array_set_new(patch, index, value);
	else
		json_object_set_new(patch, name, value);
	return true;
}

static bool put_path(json_t *patch, const json_t *present, char *path, const char *text, char failure[ASSIGNMENT_FAILURE_MAX])
{
	char *name = path;
	for (char *dot; (dot = strchr(name, '.')) != NULL; name = dot + 1) {
		const json_t *below;
		*dot = '\0';
		patch = enter(patch, present, name, &below, failure);
		if (patch == NULL)
			return false;
		present = below;
	}
	return put(patch, present, name, text, failure);
}

/* `interface.obfuscation=lwo`: the type alone. Members of another type would be faults beside it; null removes them. */
static bool put_obfuscation(json_t *patch, const json_t *present, const char *type, char failure[ASSIGNMENT_FAILURE_MAX])
{
	char path[] = "spec.interface.obfuscation.type";
	json_t *below = json_object_get(json_object_get(json_object_get(present, "spec"), "interface"), "obfuscation");
	if (!put_path(patch, present, path, type, failure))
		return false;
	const char *before = json_string_value(json_object_get(below, "type")), *member;
	json_t *value, *obfuscation = json_object_get(json_object_get(json_object_get(patch, "spec"), "interface"), "obfuscation");
	json_object_foreach (below, member, value)
		if (before != NULL && strcmp(before, type) != 0 && json_object_get(obfuscation, member) == NULL)
			json_object_set_new(obfuscation, member, json_null());
	return true;
}

static bool put_label(json_t *patch, const char *key, const char *text, char failure[ASSIGNMENT_FAILURE_MAX])
{
	json_t *labels = json_object_get(patch, "labels");
	if (labels == NULL) {
		json_object_set_new(patch, "labels", json_object());
		labels = json_object_get(patch, "labels");
	}
	/* The value of a label is a text, even if it looks like a number; null removes it. */
	json_t *value = strcmp(text, "null") == 0 ? json_null() : json_string(text);
	if (value != NULL && json_object_set_new(labels, key, value) == 0)
		return true;
	snprintf(failure, ASSIGNMENT_FAILURE_MAX, "the label is not UTF-8");
	return false;
}

bool assignment_add(json_t *patch, const json_t *present, const char *word, char failure[ASSIGNMENT_FAILURE_MAX])
{
	const char *equals = strchr(word, '=');
	if (equals == NULL || equals == word) {
		snprintf(failure, ASSIGNMENT_FAILURE_MAX, "'%.100s' is not MEMBER=VALUE", word);
		return false;
	}
	if (strncmp(word, "labels.", 7) == 0) {
		char *key = strndup(word + 7, (size_t)(equals - word) - 7);
		bool is_fine = put_label(patch, key, equals + 1, failure);
		free(key);
		return is_fine;
	}
	bool is_whole = strncmp(word, "spec.", 5) == 0 || strncmp(word, "spec=", 5) == 0 || strncmp(word, "labels=", 7) == 0;
	char *path = memory_print("%s%.*s", is_whole ? "" : "spec.", (int)(equals - word), word);
	bool is_type = strcmp(path, "spec.interface.obfuscation") == 0 && (strcmp(equals + 1, "lwo") == 0 || strcmp(equals + 1, "amneziawg") == 0);
	bool is_fine = is_type ? put_obfuscation(patch, present, equals + 1, failure) : put_path(patch, present, path, equals + 1, failure);
	free(path);
	return is_fine;
}

bool assignment_add_label(json_t *labels, const char *word)
{
	size_t length = strcspn(word, "=");
	char *key = strndup(word, length);
	bool is_fine = word[length] == '=' && json_object_set_new(labels, key, json_string(word + length + 1)) == 0;
	free(key);
	return is_fine;
}
