/* Filters and pages of lists, from query parameters. */
#ifndef WARREN_API_LISTING_H
#define WARREN_API_LISTING_H

#include "api/request.h"

struct api_listing {
	struct snapshot **snapshots;
	size_t count;
	bool more;
};

/* Finds the tunnels selected by label=, state=, page_size= and page_token=; without `is_paged` all pages at once. False if a problem was replied. */
bool api_listing_get(struct api_request *request, bool is_paged, struct api_listing *listing);
void api_listing_clear(struct api_listing *listing);
/* The opaque page token for the position after an id. */
void api_listing_put_token(struct text *text, const char *id);

#endif
