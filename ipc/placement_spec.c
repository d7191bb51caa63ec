#include "ipc/placement_spec.h"

#include <stdlib.h>
#include <string.h>

#include "ipc/message.h"

void placement_spec_free(struct placement_spec *placement)
{
	if (placement == NULL)
		return;
	spec_labels_free(placement->labels, placement->label_count);
	free(placement);
}

void placement_spec_encode(struct message_writer *writer, const struct placement_spec *placement)
{
	message_put_string(writer, placement->node);
	spec_labels_encode(writer, placement->labels, placement->label_count);
	message_put_u8(writer, placement->stops);
}

struct placement_spec *placement_spec_decode(struct message_reader *reader)
{
	char *node = message_get_string(reader, PLACEMENT_SPEC_NODE - 1);
	size_t count = 0;
	struct spec_label *labels = spec_labels_decode(reader, &count);
	struct placement_spec *placement = calloc(1, sizeof(*placement));
	bool stops = message_get_u8(reader) != 0;
	reader->failed |= placement == NULL || node == NULL || count > PLACEMENT_SPEC_LABELS_MAX;
	if (placement == NULL || node == NULL || reader->failed) {
		spec_labels_free(labels, count);
		free(placement);
		placement = NULL;
	} else {
		*placement = (struct placement_spec){ .labels = labels, .label_count = count, .stops = stops };
		memcpy(placement->node, node, strlen(node) + 1);
	}
	free(node);
	return placement;
}
