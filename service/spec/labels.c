#include "service/spec/labels.h"

#include <stdlib.h>
#include <string.h>

#include "service/spec/json_writer.h"

bool labels_copy(struct spec_label **to, const struct spec_label *from, size_t count)
{
	*to = calloc(count + 1, sizeof(**to));
	if (*to == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		(*to)[i] = (struct spec_label){ .key = strdup(from[i].key), .value = strdup(from[i].value) };
		if ((*to)[i].key == NULL || (*to)[i].value == NULL) {
			spec_labels_free(*to, i + 1);
			*to = NULL;
			return false;
		}
	}
	return true;
}

bool labels_equal(const struct spec_label *a, size_t a_count, const struct spec_label *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (strcmp(a[i].key, b[i].key) != 0 || strcmp(a[i].value, b[i].value) != 0)
			return false;
	return true;
}

static int compare_labels(const void *a, const void *b)
{
	const struct spec_label *first = a, *second = b;
	return strcmp(first->key, second->key);
}

size_t labels_key_length(const char *text)
{
	size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-");
	return length <= 63 ? length : 0;
}

static bool key_is_valid(const char *key)
{
	size_t length = labels_key_length(key);
	return length > 0 && key[length] == '\0';
}

static bool value_is_valid(const char *value)
{
	if (strlen(value) > 255)
		return false;
	for (; *value != '\0'; value++)
		if ((unsigned char)*value < 0x20 || *value == 0x7f)
			return false;
	return true;
}

static bool read_label(struct json_reader *reader, const char *key, const json_t *value, struct spec_label *label)
{
	bool is_read = false;
	size_t mark = json_reader_enter(reader, key);
	const char *text = json_reader_text(reader, value);
	if (!key_is_valid(key))
		json_reader_fault(reader, "invalid_label", "A label's key must be 1 to 63 letters, digits, dots, underscores, slashes and hyphens.");
	else if (text != NULL && !value_is_valid(text))
		json_reader_fault(reader, "invalid_label", "A label's value can have at most 255 bytes and no control characters.");
	else if (text != NULL) {
		*label = (struct spec_label){ .key = strdup(key), .value = strdup(text) };
		is_read = label->key != NULL && label->value != NULL;
		if (!is_read) {
			free(label->key);
			free(label->value);
			problem_out_of_memory(reader->problem);
		}
	}
	json_reader_leave(reader, mark);
	return is_read;
}

size_t labels_read(struct json_reader *reader, const json_t *document, struct spec_label **labels)
{
	const json_t *found = json_reader_object(reader, document, "labels");
	*labels = NULL;
	if (json_object_size(found) == 0)
		return 0;
	if (json_object_size(found) > POOL_SPEC_LABELS_MAX) {
		json_reader_fault_at(reader, "labels", "too_many", "There can be at most 64 labels.");
		return 0;
	}
	*labels = calloc(json_object_size(found), sizeof(**labels));
	if (*labels == NULL) {
		problem_out_of_memory(reader->problem);
		return 0;
	}
	size_t count = 0, mark = json_reader_enter(reader, "labels");
	json_t *walked = (json_t *)(uintptr_t)found;
	const char *key;
	json_t *value;
	json_object_foreach (walked, key, value)
		count += read_label(reader, key, value, &(*labels)[count]);
	json_reader_leave(reader, mark);
	qsort(*labels, count, sizeof(**labels), compare_labels);
	return count;
}

json_t *labels_to_json(const struct spec_label *labels, size_t count)
{
	struct json_writer writer = { .failed = false };
	json_t *object = json_object();
	for (size_t i = 0; i < count; i++)
		json_writer_set(&writer, object, labels[i].key, json_string(labels[i].value));
	return json_writer_end(&writer, object);
}
