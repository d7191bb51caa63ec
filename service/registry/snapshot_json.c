#include "service/registry/snapshot_json.h"

#include "service/spec/labels.h"
#include "service/spec/spec_json.h"

json_t *snapshot_to_json(struct json_writer *writer, const struct snapshot *snapshot)
{
	json_t *document = json_object();
	json_writer_set(writer, document, "labels", labels_to_json(snapshot->labels, snapshot->label_count));
	json_writer_set(writer, document, "spec", spec_to_json(&snapshot->spec, true));
	return document;
}
