#include "command/member.h"

#include <stdlib.h>
#include <string.h>

#include "command/memory.h"

#define NAME_MAX_LENGTH 64

json_t *member_at(const json_t *object, const char *path)
{
	json_t *at = NULL;
	while (*path != '\0') {
		char name[NAME_MAX_LENGTH];
		size_t length = strcspn(path, ".");
		if (length >= sizeof(name))
			return NULL;
		memcpy(name, path, length);
		name[length] = '\0';
		object = at = json_object_get(object, name);
		path += length + (path[length] == '.');
	}
	return at;
}

const char *member_text(const json_t *object, const char *path)
{
	const char *text = json_string_value(member_at(object, path));
	return text != NULL ? text : "";
}

double member_number(const json_t *object, const char *path, double otherwise)
{
	const json_t *number = member_at(object, path);
	return json_is_number(number) ? json_number_value(number) : otherwise;
}

bool member_is_true(const json_t *object, const char *path)
{
	return json_is_true(member_at(object, path));
}

/* `text`, which is freed, with another piece. */
static char *lengthen(char *text, const char *key, const char *value)
{
	char *longer = memory_print("%s%s%s%s%s", text, *text != '\0' ? ", " : "", key, *key != '\0' ? "=" : "", value);
	free(text);
	return longer;
}

char *member_line(const json_t *value)
{
	return json_is_string(value) ? memory_copy(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | MEMBER_DIGITS);
}

char *member_join(const json_t *object, const char *path)
{
	char *text = memory_copy("");
	size_t index;
	json_t *element;
	json_array_foreach (member_at(object, path), index, element)
		if (json_is_string(element))
			text = lengthen(text, "", json_string_value(element));
	return text;
}

char *member_join_pairs(const json_t *object, const char *path)
{
	char *text = memory_copy("");
	const char *key;
	json_t *value;
	json_object_foreach (member_at(object, path), key, value)
		if (json_is_string(value))
			text = lengthen(text, key, json_string_value(value));
	return text;
}
