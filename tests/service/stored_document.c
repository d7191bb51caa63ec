#include "tests/service/stored_document.h"

#include <stdlib.h>
#include <string.h>

#include "service/registry/snapshot_json.h"

struct snapshot *stored_document(const char *text)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	*snapshot = (struct snapshot){ .references = 1, .spec_json = strdup(text) };
	return snapshot;
}

json_t *__wrap_snapshot_to_json(struct json_writer *writer, const struct snapshot *snapshot);
json_t *__wrap_snapshot_to_json(struct json_writer *writer, const struct snapshot *snapshot)
{
	json_error_t error;
	json_t *document = json_loads(snapshot->spec_json, 0, &error);
	writer->failed |= document == NULL;
	return document;
}
