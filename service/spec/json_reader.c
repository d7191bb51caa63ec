#include "service/spec/json_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether an allocation of jansson's has failed in this thread. */
static _Thread_local bool has_failed;

static void *allocate(size_t size)
{
	void *memory = malloc(size);
	has_failed |= memory == NULL;
	return memory;
}

void json_reader_start(void)
{
	json_set_alloc_funcs(allocate, free);
}

static json_t *unless_it_lacks(json_t *document, bool *lacks_memory)
{
	*lacks_memory = has_failed;
	if (!has_failed)
		return document;
	json_decref(document);
	return NULL;
}

json_t *json_reader_load(const char *text, size_t length, json_error_t *error, bool *lacks_memory)
{
	has_failed = false;
	return unless_it_lacks(json_loadb(text, length, JSON_REJECT_DUPLICATES, error), lacks_memory);
}

json_t *json_reader_load_file(const char *path, json_error_t *error, bool *lacks_memory)
{
	has_failed = false;
	return unless_it_lacks(json_load_file(path, JSON_REJECT_DUPLICATES, error), lacks_memory);
}

void json_reader_init(struct json_reader *reader, const char *pointer, struct problem *problem)
{
	*reader = (struct json_reader){ .problem = problem };
	reader->length = (size_t)snprintf(reader->pointer, sizeof(reader->pointer), "%s", pointer);
}

/* RFC 6901, 3: "~" and "/" are escaped; a name that is too long is cut. */
size_t json_reader_enter(struct json_reader *reader, const char *member)
{
	size_t mark = reader->length;
	reader->pointer[reader->length++] = '/';
	for (; *member != '\0' && reader->length + 3 < sizeof(reader->pointer); member++) {
		if (*member == '~' || *member == '/') {
			reader->pointer[reader->length++] = '~';
			reader->pointer[reader->length++] = *member == '~' ? '0' : '1';
		} else {
			reader->pointer[reader->length++] = *member;
		}
	}
	/* Truncated text must remain valid UTF-8. */
	while (*member != '\0' && ((unsigned char)*member & 0xc0) == 0x80 && reader->length > mark + 1)
		member--, reader->length--;
	reader->pointer[reader->length] = '\0';
	return mark;
}

size_t json_reader_enter_index(struct json_reader *reader, size_t index)
{
	char text[24];
	snprintf(text, sizeof(text), "%zu", index);
	return json_reader_enter(reader, text);
}

void json_reader_leave(struct json_reader *reader, size_t mark)
{
	reader->length = mark;
	reader->pointer[mark] = '\0';
}

void json_reader_fault(struct json_reader *reader, const char *code, const char *detail)
{
	problem_add(reader->problem, reader->pointer, code, "%s", detail);
}

void json_reader_fault_at(struct json_reader *reader, const char *member, const char *code, const char *detail)
{
	/* The place of a member needs room for its slash, an escape and the end. */
	if (reader->length + 4 >= sizeof(reader->pointer)) {
		json_reader_fault(reader, code, detail);
		return;
	}
	size_t mark = json_reader_enter(reader, member);
	json_reader_fault(reader, code, detail);
	json_reader_leave(reader, mark);
}

static bool is_listed(const char *const *list, const char *name)
{
	for (; list != NULL && *list != NULL; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

void json_reader_known(struct json_reader *reader, const json_t *object, const char *const *known, const char *const *ignored)
{
	/* Iteration changes nothing; jansson's signature only lacks const. */
	json_t *walked = json_incref((json_t *)(uintptr_t)object);
	const char *name;
	json_t *value;
	json_object_foreach (walked, name, value) {
		if (!is_listed(known, name) && !is_listed(ignored, name))
			json_reader_fault_at(reader, name, "unknown_member", "Unknown member.");
	}
	json_decref(walked);
}

static const json_t *typed(struct json_reader *reader, const json_t *object, const char *member, json_type type, const char *detail)
{
	const json_t *value = json_object_get(object, member);
	if (value == NULL || json_is_null(value))
		return NULL;
	if (json_typeof(value) == type)
		return value;
	json_reader_fault_at(reader, member, "wrong_type", detail);
	return NULL;
}

const json_t *json_reader_object(struct json_reader *reader, const json_t *object, const char *member)
{
	return typed(reader, object, member, JSON_OBJECT, "This must be an object.");
}

const json_t *json_reader_array(struct json_reader *reader, const json_t *object, const char *member)
{
	return typed(reader, object, member, JSON_ARRAY, "This must be an array.");
}

static bool has_no_nul(const json_t *value)
{
	return strlen(json_string_value(value)) == json_string_length(value);
}

const char *json_reader_string(struct json_reader *reader, const json_t *object, const char *member)
{
	const json_t *value = typed(reader, object, member, JSON_STRING, "This must be a string.");
	if (value == NULL)
		return NULL;
	if (has_no_nul(value))
		return json_string_value(value);
	json_reader_fault_at(reader, member, "invalid_value", "A NUL character is not allowed.");
	return NULL;
}

const char *json_reader_text(struct json_reader *reader, const json_t *value)
{
	if (!json_is_string(value))
		json_reader_fault(reader, "wrong_type", "This must be a string.");
	else if (!has_no_nul(value))
		json_reader_fault(reader, "invalid_value", "A NUL character is not allowed.");
	else
		return json_string_value(value);
	return NULL;
}

char *json_reader_copy(struct json_reader *reader, const char *text)
{
	char *copy = strdup(text);
	if (copy == NULL)
		problem_out_of_memory(reader->problem);
	return copy;
}

void json_reader_bool(struct json_reader *reader, const json_t *object, const char *member, bool *value)
{
	const json_t *found = json_object_get(object, member);
	if (found == NULL || json_is_null(found))
		return;
	if (!json_is_boolean(found))
		json_reader_fault_at(reader, member, "wrong_type", "This must be true or false.");
	else
		*value = json_is_true(found);
}

void json_reader_integer(struct json_reader *reader, const json_t *object, const char *member, uint64_t least, uint64_t most, uint64_t *value)
{
	const json_t *found = typed(reader, object, member, JSON_INTEGER, "This must be a whole number.");
	if (found == NULL)
		return;
	json_int_t number = json_integer_value(found);
	if (number >= 0 && (uint64_t)number >= least && (uint64_t)number <= most) {
		*value = (uint64_t)number;
		return;
	}
	char detail[96];
	snprintf(detail, sizeof(detail), "This must be from %llu to %llu.", (unsigned long long)least, (unsigned long long)most);
	json_reader_fault_at(reader, member, "out_of_range", detail);
}

bool json_reader_is_null(const json_t *object, const char *member)
{
	return json_is_null(json_object_get(object, member));
}
