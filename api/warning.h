/* What a spec says that will not do what its author means. It is no fault: the tunnel runs. */
#ifndef WARREN_API_WARNING_H
#define WARREN_API_WARNING_H

#include <jansson.h>

#include "ipc/spec.h"

/* Appends {"code", "detail"} for each inner address that no peer's allowed_ips cover. `*warnings` is made when it is NULL and there is one
 * to tell; without memory it is not told. Nothing for a spec without peers: they are still to come. */
void api_warning_add_routes(json_t **warnings, const struct spec *spec);
/* Appends that the tunnel `id` has the same key towards the same peer. */
void api_warning_add_twin(json_t **warnings, const char *id);

#endif
