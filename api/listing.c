/* Reading lists out of the service. */
#include "api/listing.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "api/reply.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000
#define TOKEN_VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

void api_listing_put_token(struct text *text, const char *id)
{
	char token[128];
	sodium_bin2base64(token, sizeof(token), (const unsigned char *)id, strlen(id), TOKEN_VARIANT);
	text_put(text, token);
}

static bool read_state(struct api_request *request, const char *written, unsigned *states)
{
	for (unsigned i = 0; i < TUNNEL_STATE_COUNT; i++)
		if (strcmp(tunnel_state_name((enum tunnel_state)i), written) == 0) {
			*states |= 1u << i;
			return true;
		}
	api_reply_failure(request, PROBLEM_INVALID_REQUEST,
	                  "The query parameter \"state\" must be disabled, starting, handshaking, up, stale or failed.");
	return false;
}

/* Those that may be given several times. `ids` borrows the request's text. */
static bool read_repeated(struct api_request *request, struct tunnel_list_filter *filter, const char *ids[TARGET_PARAMETERS_MAX])
{
	for (size_t i = 0; i < request->target.parameter_count; i++) {
		const struct api_request_target_parameter *parameter = &request->target.parameters[i];
		if (strcmp(parameter->name, "state") == 0 && !read_state(request, parameter->value, &filter->states))
			return false;
		if (strcmp(parameter->name, "tunnel") == 0)
			ids[filter->id_count++] = parameter->value;
	}
	filter->ids = filter->id_count > 0 ? ids : NULL;
	return true;
}

static bool read_token(struct api_request *request, char after[64])
{
	const char *written = api_request_target_parameter(&request->target, "page_token");
	after[0] = '\0';
	if (written == NULL || *written == '\0')
		return true;
	size_t length;
	const char *end;
	if (sodium_base642bin((unsigned char *)after, 63, written, strlen(written), NULL, &length, &end, TOKEN_VARIANT) == 0 && *end == '\0') {
		after[length] = '\0';
		return true;
	}
	api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"page_token\" is not valid.");
	return false;
}

bool api_listing_read_page(struct api_request *request, uint64_t *size, char after[64])
{
	*size = PAGE_DEFAULT;
	return api_request_number(request, "page_size", 1, PAGE_MAX, size) && read_token(request, after);
}

static int compare_ids(const void *a, const void *b)
{
	const struct snapshot *const *first = a, *const *second = b;
	return strcmp((*first)->id, (*second)->id);
}

/* What was cut off is behind what is left: a page of both is the first part of what either has. */
static void cut_page(struct api_listing *listing, size_t limit)
{
	while (limit != 0 && listing->count > limit) {
		snapshot_release(listing->snapshots[--listing->count]);
		listing->more = true;
	}
}

static bool is_wanted(const struct tunnel_list_filter *filter, const struct snapshot *snapshot)
{
	return tunnel_list_accepts(filter, snapshot) && (filter->after == NULL || strcmp(snapshot->id, filter->after) > 0);
}

/* Of all that this node has, in the order of ids, and all of the fleet's records that were read before: what is in both is told as it is here. Only
 * now is it known what is here: what moves from node to node meanwhile would be left out, or be there twice. False when out of memory. */
static bool add_found(struct api_listing *listing, const struct mutation *found, const struct tunnel_list_filter *filter)
{
	size_t here = listing->count, total = here;
	struct snapshot **all = reallocarray(listing->snapshots, here + found->found_count + 1, sizeof(struct snapshot *));
	if (all == NULL)
		return false;
	listing->snapshots = all;
	for (size_t i = 0; i < found->found_count; i++)
		if (bsearch(&found->found[i], all, here, sizeof(struct snapshot *), compare_ids) == NULL)
			all[total++] = snapshot_reference(found->found[i]);
	listing->count = 0;
	for (size_t i = 0; i < total; i++) {
		if (is_wanted(filter, all[i]))
			all[listing->count++] = all[i];
		else
			snapshot_release(all[i]);
	}
	qsort(all, listing->count, sizeof(struct snapshot *), compare_ids);
	cut_page(listing, filter->limit);
	return true;
}

bool api_listing_get(struct api_request *request, enum spec_kind kind, bool is_paged, struct api_listing *listing)
{
	struct tunnel_list_filter filter = { .kind = kind };
	struct selector *selectors;
	const char *ids[TARGET_PARAMETERS_MAX];
	char after[64];
	uint64_t size;
	bool is_healthy = false;
	*listing = (struct api_listing){ 0 };
	if (!read_repeated(request, &filter, ids) || !api_listing_read_page(request, &size, after) ||
	    !api_request_flag(request, "healthy", &is_healthy) || !api_request_selectors(request, &selectors, &filter.selector_count))
		return false;
	filter.selectors = selectors;
	if (api_request_target_parameter(&request->target, "healthy") != NULL)
		filter.healths = 1u << (is_healthy ? TUNNEL_HEALTHY : TUNNEL_UNHEALTHY);
	filter.after = after[0] != '\0' ? after : NULL;
	filter.limit = is_paged ? (size_t)size : 0;
	const struct tunnel_list_filter all_here = { .kind = kind };
	listing->count = service_list(request->api->service, request->caller.access, request->found == NULL ? &filter : &all_here,
	                              &listing->snapshots, &listing->more);
	bool is_read = listing->count != TUNNEL_LIST_FAILED && (request->found == NULL || add_found(listing, request->found, &filter));
	selectors_free(selectors, filter.selector_count);
	if (is_read)
		return true;
	if (listing->count != TUNNEL_LIST_FAILED)
		api_listing_clear(listing);
	*listing = (struct api_listing){ 0 };
	api_reply_out_of_memory(request);
	return false;
}

void api_listing_clear(struct api_listing *listing)
{
	for (size_t i = 0; i < listing->count; i++)
		snapshot_release(listing->snapshots[i]);
	free(listing->snapshots);
	*listing = (struct api_listing){ 0 };
}
