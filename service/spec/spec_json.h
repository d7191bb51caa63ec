/* Specs as JSON. A new reference, or NULL when out of memory; secrets only on request. */
#ifndef WARREN_SERVICE_SPEC_SPEC_JSON_H
#define WARREN_SERVICE_SPEC_SPEC_JSON_H

#include <jansson.h>

#include "ipc/spec.h"

json_t *spec_to_json(const struct spec *spec, bool secrets);
json_t *spec_peer_to_json(const struct spec_peer *peer, bool secrets);

#endif
