/* What a pool has besides its proxy, as JSON. */
#ifndef WARREN_SERVICE_SPEC_SPEC_POOL_JSON_H
#define WARREN_SERVICE_SPEC_SPEC_POOL_JSON_H

#include "ipc/pool_spec.h"
#include "service/spec/json_writer.h"

/* Adds its members to the spec's object. */
void spec_pool_to_json(struct json_writer *writer, json_t *object, const struct spec_pool *pool);

#endif
