/* The filters and pages of lists, from query parameters. */
#ifndef WARREN_API_LISTING_H
#define WARREN_API_LISTING_H

#include "api/request.h"

struct api_listing {
	struct snapshot **snapshots;
	size_t count;
	bool more;
};

/* The tunnels that label=, state=, page_size= and page_token= ask for; without `is_paged` all of them. False when a problem was replied. */
bool api_listing_get(struct api_request *request, bool is_paged, struct api_listing *listing);
void api_listing_clear(struct api_listing *listing);
/* The opaque name of the place after an id. */
void api_listing_put_token(struct text *text, const char *id);

#endif
