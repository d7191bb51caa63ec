/* The document of a tunnel or a pool, as it is stored and as a patch is merged into it: labels and spec, secrets included. */
#ifndef WARREN_SERVICE_REGISTRY_SNAPSHOT_JSON_H
#define WARREN_SERVICE_REGISTRY_SNAPSHOT_JSON_H

#include "service/registry/snapshot.h"
#include "service/spec/json_writer.h"

/* A new reference, for json_writer_end. Any thread. */
json_t *snapshot_to_json(struct json_writer *writer, const struct snapshot *snapshot);

#endif
