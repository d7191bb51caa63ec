#include "fleet/class.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/object_id.h"
#include "service/spec/labels.h"

#define ANY "any"
#define PLAIN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

/* FNV-1a with the finalizer of MurmurHash3, whose low bits are as good as its high ones. */
uint64_t fleet_hash(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325U;
	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3U;
	return fleet_hash_mix(hash);
}

uint64_t fleet_hash_mix(uint64_t value)
{
	value ^= value >> 33;
	value *= 0xff51afd7ed558ccdU;
	value ^= value >> 33;
	value *= 0xc4ceb9fe1a85ec53U;
	return value ^ value >> 33;
}

/* ---- Writing ---- */

struct text_end {
	char *at, *end; /* one byte is left for the NUL */
	bool is_full;
};

static void add_byte(struct text_end *text, char byte)
{
	text->is_full |= text->at == text->end;
	if (!text->is_full)
		*text->at++ = byte;
}

static void add_escaped(struct text_end *text, const char *from)
{
	assert(from != NULL);
	for (; *from != '\0'; from++) {
		char hex[4];
		if (strchr(PLAIN, *from) != NULL) {
			add_byte(text, *from);
			continue;
		}
		snprintf(hex, sizeof(hex), "%%%02X", (unsigned char)*from);
		for (size_t i = 0; i < 3; i++)
			add_byte(text, hex[i]);
	}
}

bool fleet_class_write(const struct fleet_class *class, char text[FLEET_CLASS_TEXT])
{
	struct text_end end = { text, text + FLEET_CLASS_TEXT - 1, false };
	if (class->node[0] == '\0' && class->label_count == 0) {
		snprintf(text, FLEET_CLASS_TEXT, "%s", ANY);
		return true;
	}
	if (class->node[0] != '\0') {
		add_byte(&end, '@');
		add_escaped(&end, class->node);
	}
	for (size_t i = 0; i < class->label_count; i++) {
		if (end.at != text)
			add_byte(&end, ',');
		add_escaped(&end, class->labels[i].key);
		add_byte(&end, '=');
		add_escaped(&end, class->labels[i].value);
	}
	*end.at = '\0';
	return !end.is_full;
}

/* ---- Reading ---- */

static int hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* Undoes the escapes in place. False: one is broken, or stands for a NUL. */
static bool unescape(char *text)
{
	char *to = text;
	for (; *text != '\0'; text++) {
		if (*text != '%') {
			*to++ = *text;
			continue;
		}
		int high = hex_value(text[1]), low = high < 0 ? -1 : hex_value(text[2]);
		if (low < 0 || (high == 0 && low == 0))
			return false;
		*to++ = (char)(high << 4 | low);
		text += 2;
	}
	*to = '\0';
	return true;
}

static int read_label(struct fleet_class *class, char *part)
{
	const char *last = class->label_count == 0 ? "" : class->labels[class->label_count - 1].key;
	char *value = strchr(part, '=');
	if (value == NULL || class->label_count == FLEET_CLASS_LABELS)
		return FLEET_CLASS_INVALID;
	*value++ = '\0';
	if (!unescape(part) || !unescape(value))
		return FLEET_CLASS_INVALID;
	/* Sorted, each once, none empty. */
	assert(last != NULL);
	if (strcmp(last, part) >= 0)
		return FLEET_CLASS_INVALID;
	struct spec_label label = { .key = strdup(part), .value = strdup(value) };
	if (label.key == NULL || label.value == NULL) {
		free(label.key);
		free(label.value);
		return FLEET_CLASS_NO_MEMORY;
	}
	class->labels[class->label_count++] = label;
	return FLEET_CLASS_OK;
}

static int read_pin(struct fleet_class *class, const char *name)
{
	if (!object_id_is_valid(name))
		return FLEET_CLASS_INVALID;
	memcpy(class->node, name, strlen(name) + 1);
	return FLEET_CLASS_OK;
}

static int read_parts(struct fleet_class *class, char *text)
{
	int error = FLEET_CLASS_OK;
	char *next = text, *part;
	while (error == FLEET_CLASS_OK && (part = strsep(&next, ",")) != NULL)
		error = part == text && *part == '@' ? read_pin(class, part + 1) : read_label(class, part);
	return error;
}

int fleet_class_read(struct fleet_class *class, const char *text)
{
	char parts[FLEET_CLASS_TEXT], again[FLEET_CLASS_TEXT];
	*class = (struct fleet_class){ .label_count = 0 };
	if (strcmp(text, ANY) == 0)
		return FLEET_CLASS_OK;
	if (strlen(text) >= sizeof(parts))
		return FLEET_CLASS_INVALID;
	class->labels = calloc(FLEET_CLASS_LABELS, sizeof(*class->labels));
	if (class->labels == NULL)
		return FLEET_CLASS_NO_MEMORY;
	snprintf(parts, sizeof(parts), "%s", text);
	int error = read_parts(class, parts);
	if (error == FLEET_CLASS_OK && (!fleet_class_write(class, again) || strcmp(again, text) != 0))
		error = FLEET_CLASS_INVALID;
	if (error != FLEET_CLASS_OK)
		fleet_class_clear(class);
	return error;
}

void fleet_class_clear(struct fleet_class *class)
{
	spec_labels_free(class->labels, class->label_count);
	*class = (struct fleet_class){ .label_count = 0 };
}

/* ---- Meaning ---- */

bool fleet_class_admits(const struct fleet_class *class, const char *node, const struct spec_label *labels, size_t label_count)
{
	if (class->node[0] != '\0' && strcmp(class->node, node) != 0)
		return false;
	for (size_t i = 0; i < class->label_count; i++) {
		const char *value = spec_label_find(labels, label_count, class->labels[i].key);
		if (value == NULL || strcmp(value, class->labels[i].value) != 0)
			return false;
	}
	return true;
}

uint32_t fleet_class_shard_count(const struct fleet_class *class)
{
	return class->node[0] != '\0' ? FLEET_CLASS_PINNED_SHARDS : FLEET_CLASS_SHARDS;
}

uint32_t fleet_class_shard_of(const struct fleet_class *class, const char *id)
{
	return (uint32_t)(fleet_hash(id) % fleet_class_shard_count(class));
}
