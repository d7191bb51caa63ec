/* Metrics of the API: requests by route and status, and their duration. Any thread may call. */
#ifndef WARREN_API_MEASURE_H
#define WARREN_API_MEASURE_H

#include <stdint.h>

#include "api/text.h"

struct api_measure;

struct api_measure *api_measure_create(void);
void api_measure_free(struct api_measure *measure);
/* `route` is an index into the route table; its length stands for requests without a route. */
void api_measure_record(struct api_measure *measure, size_t route, unsigned status, uint64_t duration_us);
void api_measure_write(const struct api_measure *measure, struct text *text);

#endif
