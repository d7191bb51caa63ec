/* Writes what pools have of their own as JSON: their status, with members that are read from the service. */
#ifndef WARREN_API_POOL_JSON_H
#define WARREN_API_POOL_JSON_H

#include "api/text.h"
#include "api/request.h"

void api_pool_write_status(struct text *text, const struct api_request *request, const struct snapshot *snapshot);
/* The list of members, with brackets; returns how many are up. `id` is the pool's. */
size_t api_pool_write_members(struct text *text, const struct api_request *request, const char *id);

#endif
