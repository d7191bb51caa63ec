/* What a tunnel or a pool asks of the node of a fleet that runs it. Validated plain data; it owns its strings. */
#ifndef WARREN_IPC_PLACEMENT_SPEC_H
#define WARREN_IPC_PLACEMENT_SPEC_H

#include <stdbool.h>

#include "ipc/pool_spec.h"

#define PLACEMENT_SPEC_NODE 64        /* bytes of a node's name, with its end */
#define PLACEMENT_SPEC_LABELS_MAX 16u /* that a node must have */

struct placement_spec {
	char node[PLACEMENT_SPEC_NODE]; /* "": any */
	struct spec_label *labels;      /* that the node has; sorted by key */
	size_t label_count;
	bool stops; /* it is silent on a node that is cut off; otherwise it goes on there */
};

struct message_writer;
struct message_reader;

void placement_spec_free(struct placement_spec *placement); /* NULL is allowed */
/* The wire form, which decoding reads into a new one; NULL when out of memory or when it is none, and then the reader has failed. */
void placement_spec_encode(struct message_writer *writer, const struct placement_spec *placement);
struct placement_spec *placement_spec_decode(struct message_reader *reader);

#endif
