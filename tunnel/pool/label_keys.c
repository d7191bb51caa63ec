#include "tunnel/pool/label_keys.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The place of the first key that is not before `text`. */
static size_t place_of(const struct label_keys *keys, const char *text)
{
	size_t from = 0, to = keys->count;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (strcmp(keys->list[middle].text, text) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool is_at(const struct label_keys *keys, size_t place, const char *text)
{
	return place < keys->count && strcmp(keys->list[place].text, text) == 0;
}

static bool make_room(struct label_keys *keys)
{
	if (keys->count < keys->capacity)
		return true;
	size_t capacity = keys->capacity == 0 ? 8 : 2 * keys->capacity;
	struct label_key *list = realloc(keys->list, capacity * sizeof(*list));
	if (list == NULL)
		return false;
	keys->list = list;
	keys->capacity = capacity;
	return true;
}

bool label_keys_hold(struct label_keys *keys, const char *text)
{
	size_t place = place_of(keys, text);
	if (!is_at(keys, place, text)) {
		char *copy = make_room(keys) ? strdup(text) : NULL;
		if (copy == NULL)
			return false;
		memmove(&keys->list[place + 1], &keys->list[place], (keys->count - place) * sizeof(*keys->list));
		keys->list[place] = (struct label_key){ .text = copy };
		keys->count++;
	}
	keys->list[place].holders++;
	return true;
}

void label_keys_release(struct label_keys *keys, const char *text)
{
	size_t place = place_of(keys, text);
	assert(is_at(keys, place, text));
	if (--keys->list[place].holders > 0)
		return;
	free(keys->list[place].text);
	keys->count--;
	memmove(&keys->list[place], &keys->list[place + 1], (keys->count - place) * sizeof(*keys->list));
}

void label_keys_clear(struct label_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		free(keys->list[i].text);
	free(keys->list);
	*keys = (struct label_keys){ .count = 0 };
}

/* The first key from `from` to `to` whose byte at `depth` is at least `byte`. They have all bytes before `depth` in common. */
static size_t lower_bound(const struct label_keys *keys, size_t from, size_t to, size_t depth, unsigned byte)
{
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if ((unsigned char)keys->list[middle].text[depth] < byte)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* Keeps the keys that begin with the text so far, a byte more in each step. The one that ends there is the first of them. */
size_t label_keys_find(const struct label_keys *keys, const char *text, size_t length)
{
	size_t from = 0, to = keys->count, found = 0;
	for (size_t depth = 0; depth < length && text[depth] != '\0'; depth++) {
		unsigned byte = (unsigned char)text[depth];
		if (byte == '-' && depth > 0 && from < to && keys->list[from].text[depth] == '\0')
			found = depth;
		from = lower_bound(keys, from, to, depth, byte);
		to = lower_bound(keys, from, to, depth, byte + 1);
		if (from == to)
			break;
	}
	return found;
}
