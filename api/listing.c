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

static bool read_state(struct api_request *request, int *state)
{
	const char *written = api_request_target_parameter(&request->target, "state");
	*state = -1;
	if (written == NULL)
		return true;
	for (int i = 0; i < TUNNEL_STATE_COUNT; i++)
		if (strcmp(tunnel_state_name((enum tunnel_state)i), written) == 0)
			*state = i;
	if (*state >= 0)
		return true;
	api_reply_failure(request, PROBLEM_INVALID_REQUEST,
	                  "The query parameter \"state\" must be disabled, starting, handshaking, up, stale or failed.");
	return false;
}

static bool read_token(struct api_request *request, char after[64], bool *given)
{
	const char *written = api_request_target_parameter(&request->target, "page_token");
	*given = written != NULL && *written;
	if (!*given)
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

bool api_listing_get(struct api_request *request, bool is_paged, struct api_listing *listing)
{
	struct tunnel_list_filter filter = { .state = -1 };
	struct label *labels;
	char after[64];
	uint64_t size = is_paged ? PAGE_DEFAULT : 0;
	bool has_token;
	*listing = (struct api_listing){ 0 };
	if (!api_request_number(request, "page_size", 1, PAGE_MAX, &size) || !read_state(request, &filter.state) ||
	    !read_token(request, after, &has_token) || !api_request_labels(request, &labels, &filter.label_count))
		return false;
	filter.labels = labels;
	filter.after = has_token ? after : NULL;
	filter.limit = (size_t)size;
	listing->count = service_list(request->api->service, &filter, &listing->snapshots, &listing->more);
	labels_free(labels, filter.label_count);
	if (listing->count != TUNNEL_LIST_FAILED)
		return true;
	*listing = (struct api_listing){ 0 };
	api_reply_failure(request, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	return false;
}

void api_listing_clear(struct api_listing *listing)
{
	for (size_t i = 0; i < listing->count; i++)
		snapshot_release(listing->snapshots[i]);
	free(listing->snapshots);
	*listing = (struct api_listing){ 0 };
}
