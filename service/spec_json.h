/* What spec_to_json (service.h) is made of, for those who need one part. */
#ifndef WARREN_SERVICE_SPEC_JSON_H
#define WARREN_SERVICE_SPEC_JSON_H

#include <jansson.h>

#include "ipc/spec.h"

json_t *spec_peer_to_json(const struct spec_peer *peer, bool secrets);

#endif
