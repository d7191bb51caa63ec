#include "service/spec/json_writer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct gathering {
	char *bytes;
	size_t length, capacity;
	bool failed;
};

void json_writer_set(struct json_writer *writer, json_t *object, const char *member, json_t *value)
{
	writer->failed |= json_object_set_new(object, member, value) != 0;
}

void json_writer_add(struct json_writer *writer, json_t *array, json_t *value)
{
	writer->failed |= json_array_append_new(array, value) != 0;
}

json_t *json_writer_copy(struct json_writer *writer, const json_t *object)
{
	json_t *copy = json_object();
	json_t *walked = (json_t *)(uintptr_t)object;
	const char *name;
	json_t *value;
	writer->failed |= copy == NULL;
	json_object_foreach (walked, name, value)
		json_writer_set(writer, copy, name, json_incref(value));
	return copy;
}

json_t *json_writer_end(const struct json_writer *writer, json_t *document)
{
	if (!writer->failed)
		return document;
	json_decref(document);
	return NULL;
}

static bool grow(struct gathering *text, size_t wanted)
{
	size_t capacity = text->capacity == 0 ? 256 : text->capacity;
	while (capacity < wanted)
		capacity *= 2;
	if (capacity == text->capacity)
		return true;
	char *bytes = realloc(text->bytes, capacity);
	if (bytes == NULL)
		return false;
	text->bytes = bytes;
	text->capacity = capacity;
	return true;
}

/* Once failed, it fails for good. */
static int gather(const char *bytes, size_t length, void *owner)
{
	struct gathering *text = owner;
	text->failed = text->failed || !grow(text, text->length + length + 1);
	if (text->failed)
		return -1;
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = '\0';
	return 0;
}

char *json_writer_text(const json_t *json)
{
	struct gathering text = { .length = 0 };
	if (json == NULL || json_dump_callback(json, gather, &text, JSON_COMPACT | JSON_ENCODE_ANY) != 0 || text.failed) {
		free(text.bytes);
		return NULL;
	}
	/* Many texts are kept as long as their tunnel. */
	char *exact = realloc(text.bytes, text.length + 1);
	if (exact == NULL)
		free(text.bytes);
	return exact;
}
