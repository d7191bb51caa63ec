/* Filters and pages of lists, from query parameters. */
#ifndef WARREN_API_LISTING_H
#define WARREN_API_LISTING_H

#include "api/request.h"

struct api_listing {
	struct snapshot **snapshots;
	size_t count;
	bool more;
};

/* Finds the tunnels or pools selected by label=, state=, healthy=, tunnel=, page_size= and page_token=; without `is_paged` all pages at once. False
 * if a problem was replied. */
bool api_listing_get(struct api_request *request, enum spec_kind kind, bool is_paged, struct api_listing *listing);
void api_listing_clear(struct api_listing *listing);
/* Reads page_size= and page_token=; `after` is what was put into the token, empty without one. False if a problem was replied. */
bool api_listing_read_page(struct api_request *request, uint64_t *size, char after[64]);
/* The opaque page token for the position after an id. */
void api_listing_put_token(struct text *text, const char *id);

#endif
