/* Reads spec.placement: which nodes of a fleet may run it. */
#include <stdlib.h>
#include <string.h>

#include "ipc/object_id.h"
#include "service/spec/candidate.h"

static void read_node(struct json_reader *reader, const json_t *value, struct placement_spec *placement)
{
	const char *text = json_reader_string(reader, value, "node");
	if (text == NULL)
		return;
	if (object_id_is_valid(text) && strlen(text) < sizeof(placement->node))
		memcpy(placement->node, text, strlen(text) + 1);
	else
		json_reader_fault_at(reader, "node", "invalid_id", "This must be the name of a node of the fleet.");
}

static void read_isolation(struct json_reader *reader, const json_t *value, struct placement_spec *placement)
{
	const char *text = json_reader_string(reader, value, "on_isolation");
	placement->stops = text != NULL && strcmp(text, "stop") == 0;
	if (text != NULL && !placement->stops && strcmp(text, "keep") != 0)
		json_reader_fault_at(reader, "on_isolation", "invalid_value", "This must be keep or stop.");
}

void candidate_read_placement(struct candidate *candidate, struct json_reader *reader, const json_t *spec)
{
	static const char *const known[] = { "node", "labels", "on_isolation", NULL };
	const json_t *value = json_reader_object(reader, spec, "placement");
	struct placement_spec *placement = value == NULL ? NULL : calloc(1, sizeof(*placement));
	if (value == NULL)
		return;
	if (placement == NULL) {
		problem_out_of_memory(reader->problem);
		return;
	}
	candidate->spec.placement = placement;
	size_t mark = json_reader_enter(reader, "placement");
	json_reader_known(reader, value, known, NULL);
	read_node(reader, value, placement);
	placement->label_count = labels_read(reader, value, &placement->labels);
	if (placement->label_count > PLACEMENT_SPEC_LABELS_MAX)
		json_reader_fault_at(reader, "labels", "too_many", "A node can be asked for at most 16 labels.");
	read_isolation(reader, value, placement);
	json_reader_leave(reader, mark);
}
