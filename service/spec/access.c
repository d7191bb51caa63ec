#include "service/spec/access.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct access {
	atomic_size_t references;
	struct spec_label *labels;
	size_t count;
};

/* It is not counted. */
static struct access whole;

struct access *access_whole(void)
{
	return &whole;
}

struct access *access_create(const struct spec_label *labels, size_t count)
{
	if (count == 0)
		return access_whole();
	struct access *access = calloc(1, sizeof(*access));
	if (access == NULL)
		return NULL;
	atomic_init(&access->references, 1);
	access->count = count;
	if (labels_copy(&access->labels, labels, count))
		return access;
	free(access);
	return NULL;
}

struct access *access_reference(struct access *access)
{
	if (access != &whole)
		atomic_fetch_add(&access->references, 1);
	return access;
}

void access_release(struct access *access)
{
	if (access == NULL || access == &whole || atomic_fetch_sub(&access->references, 1) > 1)
		return;
	spec_labels_free(access->labels, access->count);
	free(access);
}

bool access_is_whole(const struct access *access)
{
	return access->count == 0;
}

static bool has_label(const struct spec_label *labels, size_t count, const struct spec_label *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(labels[i].key, wanted->key) == 0)
			return strcmp(labels[i].value, wanted->value) == 0;
	return false;
}

bool access_covers(const struct access *access, const struct spec_label *labels, size_t count)
{
	/* A caller without one is a programmer's error, and must not pass for one that may see everything. */
	assert(access != NULL);
	for (size_t i = 0; i < access->count; i++)
		if (!has_label(labels, count, &access->labels[i]))
			return false;
	return true;
}

json_t *access_to_json(const struct access *access)
{
	return labels_to_json(access->labels, access->count);
}
