/* Which events a reader of /v1/events wants: type=, tunnel=, pool= and label= of its query. */
#ifndef WARREN_API_EVENT_FILTER_H
#define WARREN_API_EVENT_FILTER_H

#include "api/request.h"
#include "service/registry/object_key.h"

struct api_event_filter {
	struct access *access;            /* of the reader, a reference */
	unsigned types;                   /* 1 << enum event_type, any of them; 0: all */
	char (*objects)[OBJECT_KEY_SIZE]; /* keys of tunnels and pools, any of them; owned, like the rest */
	size_t object_count;
	struct selector *selectors; /* all must match */
	size_t selector_count;
};

/* False if a problem was replied; then there is nothing to clear. */
bool api_event_filter_read(struct api_request *request, struct api_event_filter *filter);
void api_event_filter_clear(struct api_event_filter *filter);
/* What the reader's access does not cover never passes. Labels are those that the tunnel has now, or had when it was deleted. An event of neither a
 * tunnel nor a pool passes unless these or labels are asked for, and so does each when memory is out. */
bool api_event_filter_passes(const struct api_event_filter *filter, struct service *service, enum event_type type, const char *json);

#endif
