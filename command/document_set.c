#include "command/document_set.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "command/memory.h"

static bool ends_with(const char *text, const char *ending)
{
	size_t length = strlen(text), tail = strlen(ending);
	return length > tail && strcmp(text + length - tail, ending) == 0;
}

/* Takes the document, in any case. */
static bool add(struct document_set *set, struct document *document, const char *path, bool is_pool, char failure[DOCUMENT_FAILURE_MAX])
{
	const char *id = document->id;
	for (size_t i = 0; id != NULL && i < set->count; i++)
		if (set->is_pool[i] == is_pool && strcmp(set->list[i].id, id) == 0) {
			snprintf(failure, DOCUMENT_FAILURE_MAX, "%s and %s both describe %s", set->paths[i], path, id);
			document_clear(document);
			return false;
		}
	if (id == NULL) {
		snprintf(failure, DOCUMENT_FAILURE_MAX, "%s: there is no id, neither in it nor from its name", path);
		document_clear(document);
		return false;
	}
	size_t count = set->count + 1;
	set->list = memory_resize(set->list, count * sizeof(*set->list));
	set->paths = memory_resize(set->paths, count * sizeof(*set->paths));
	set->is_pool = memory_resize(set->is_pool, count * sizeof(*set->is_pool));
	set->list[set->count] = *document;
	set->paths[set->count] = memory_copy(path);
	set->is_pool[set->count] = is_pool;
	set->count = count;
	*document = (struct document){ 0 };
	return true;
}

/* Each element of a saved state becomes a document of its own. */
static bool add_elements(struct document_set *set, const json_t *list, const char *path, bool is_pool, char failure[DOCUMENT_FAILURE_MAX])
{
	size_t index;
	json_t *element;
	json_array_foreach (list, index, element) {
		const char *id = json_string_value(json_object_get(element, "id"));
		struct document document = { .json = json_incref(element), .id = id != NULL ? memory_copy(id) : NULL };
		if (!add(set, &document, path, is_pool, failure))
			return false;
	}
	return true;
}

static bool add_file(struct document_set *set, const char *path, char failure[DOCUMENT_FAILURE_MAX])
{
	struct document document;
	if (!document_read(&document, path, failure))
		return false;
	const json_t *tunnels = json_object_get(document.json, "tunnels"), *pools = json_object_get(document.json, "pools");
	if (!json_is_array(tunnels) && !json_is_array(pools))
		return add(set, &document, path, ends_with(path, ".pool.json"), failure);
	bool is_fine = add_elements(set, tunnels, path, false, failure) && add_elements(set, pools, path, true, failure);
	document_clear(&document);
	return is_fine;
}

static int is_wanted(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && (ends_with(entry->d_name, ".conf") || ends_with(entry->d_name, ".json"));
}

static bool add_folder(struct document_set *set, const char *path, char failure[DOCUMENT_FAILURE_MAX])
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_wanted, alphasort);
	bool is_fine = count > 0;
	if (count < 0)
		snprintf(failure, DOCUMENT_FAILURE_MAX, "%s cannot be read: %s", path, strerror(errno));
	else if (count == 0)
		snprintf(failure, DOCUMENT_FAILURE_MAX, "%s has no NAME.conf, NAME.json or NAME.pool.json", path);
	for (int i = 0; i < count; i++) {
		char *file = memory_print("%s/%s", path, entries[i]->d_name);
		is_fine = is_fine && add_file(set, file, failure);
		free(file);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return is_fine;
}

bool document_set_add(struct document_set *set, const char *path, char failure[DOCUMENT_FAILURE_MAX])
{
	struct stat status;
	bool is_folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
	return is_folder ? add_folder(set, path, failure) : add_file(set, path, failure);
}

void document_set_clear(struct document_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		document_clear(&set->list[i]);
		free(set->paths[i]);
	}
	free(set->list);
	free(set->paths);
	free(set->is_pool);
	*set = (struct document_set){ 0 };
}
