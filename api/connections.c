/* /v1/connections: those of all tunnels, or of one, listed and ended. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/listing.h"
#include "api/reply.h"
#include "api/suspended_request.h"
#include "ipc/place.h"

/* Filters. */

static bool read_protocol(struct api_request *request, struct query_filter *filter)
{
	const char *written = api_request_target_parameter(&request->target, "protocol");
	filter->protocol = QUERY_ANY_PROTOCOL;
	for (unsigned i = 0; written != NULL && i < QUERY_PROTOCOLS; i++)
		if (strcmp(query_protocol_name(i), written) == 0)
			filter->protocol = (uint8_t)i;
	if (written == NULL || filter->protocol != QUERY_ANY_PROTOCOL)
		return true;
	api_reply_failure(request, PROBLEM_INVALID_REQUEST,
	                  "The query parameter \"protocol\" must be http, connect, socks5, socks4, udp, forward or unknown.");
	return false;
}

/* An address with or without a port. */
static bool parse_client(const char *text, union wireguard_endpoint *client)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct spec_place place = { .kind = SPEC_PLACE_NONE };
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return endpoint_from((struct sockaddr *)&v4, client);
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		return endpoint_from((struct sockaddr *)&v6, client);
	bool is_address = place_parse(text, &place) && place.kind == SPEC_PLACE_INET && place_address(&place, client);
	place_clear(&place);
	return is_address;
}

static bool read_client(struct api_request *request, struct query_filter *filter)
{
	const char *written = api_request_target_parameter(&request->target, "client");
	if (written == NULL || parse_client(written, &filter->client))
		return true;
	api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"client\" must be an IP address, with or without a port.");
	return false;
}

/* Some lists take several tunnels; here the second would be one that nobody looks at. */
static bool is_given_twice(struct api_request *request, const char *name)
{
	unsigned count = 0;
	for (size_t i = 0; i < request->target.parameter_count; i++)
		count += strcmp(request->target.parameters[i].name, name) == 0;
	return count > 1;
}

/* False, with a reply, if it is empty or given twice. One that no connection can have matches none. */
static bool read_text(struct api_request *request, const char *name, char *to, size_t size, bool *matches_none)
{
	const char *written = api_request_target_parameter(&request->target, name);
	if (written == NULL)
		return true;
	if (*written == '\0' || is_given_twice(request, name)) {
		api_reply_failure(request, PROBLEM_INVALID_REQUEST, "The query parameter \"%s\" is empty or given twice.", name);
		return false;
	}
	*matches_none |= strlen(written) >= size;
	snprintf(to, size, "%s", written);
	return true;
}

static bool read_filter(struct api_request *request, struct connection_listing *listing)
{
	struct query_filter *filter = &listing->filter;
	bool *none = &listing->matches_none;
	if (!read_protocol(request, filter) || !read_client(request, filter) ||
	    !read_text(request, "user", filter->user, sizeof(filter->user), none) ||
	    !read_text(request, "target", filter->target, sizeof(filter->target), none) ||
	    !read_text(request, "tunnel", listing->tunnel, sizeof(listing->tunnel), none) ||
	    !read_text(request, "pool", listing->pool, sizeof(listing->pool), none))
		return false;
	/* A target is in lower case (target.h), except the path of a forward's unix socket. */
	bool is_path = strncmp(filter->target, "unix:", 5) == 0;
	for (char *at = filter->target; *at != '\0' && !is_path; at++)
		*at = (char)tolower((unsigned char)*at);
	return true;
}

/* Sending. */

typedef void finisher(struct api_request *request, struct mutation *mutation);

static struct mutation *make(struct api_request *request)
{
	struct mutation *mutation = mutation_create(MUTATION_CONNECTIONS, 0);
	if (mutation != NULL)
		mutation->listing = calloc(1, sizeof(*mutation->listing));
	if (mutation != NULL && mutation->listing != NULL) {
		mutation->listing->filter.protocol = QUERY_ANY_PROTOCOL;
		return mutation;
	}
	mutation_free(mutation);
	api_reply_out_of_memory(request);
	return NULL;
}

static bool has_problem(struct api_request *request, const struct mutation *mutation)
{
	if (mutation->problem.code == PROBLEM_NONE)
		return false;
	api_reply_problem(request, &mutation->problem, NULL);
	return true;
}

static void put_end(struct text *body, const struct connection_listing *listing)
{
	text_put(body, listing->is_incomplete ? ",\"incomplete\":true}" : "}");
}

static void put_list(struct text *body, const struct connection_listing *listing)
{
	text_put(body, "{\"connections\":[");
	text_put_n(body, listing->json == NULL ? "" : listing->json, listing->length);
	text_put(body, "],\"next_page_token\":\"");
	if (listing->next[0] != '\0')
		api_listing_put_token(body, listing->next);
	text_put(body, "\"");
	put_end(body, listing);
}

static void finish_list(struct api_request *request, struct mutation *mutation)
{
	if (has_problem(request, mutation))
		return;
	struct text body;
	text_init(&body);
	put_list(&body, mutation->listing);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

static void list(struct api_request *request, const char *tunnel)
{
	struct mutation *mutation = make(request);
	if (mutation == NULL)
		return;
	struct connection_listing *listing = mutation->listing;
	uint64_t size = 0;
	if (!api_listing_read_page(request, &size, listing->after) || !read_filter(request, listing)) {
		mutation_free(mutation);
		return;
	}
	if (tunnel != NULL)
		snprintf(listing->tunnel, sizeof(listing->tunnel), "%s", tunnel);
	listing->limit = (size_t)size;
	api_suspended_request_send(request, mutation, finish_list);
}

void api_connections_list(struct api_request *request)
{
	list(request, NULL);
}

void api_connections_list_of_tunnel(struct api_request *request)
{
	struct snapshot *snapshot = api_request_object(request);
	if (snapshot == NULL)
		return;
	list(request, snapshot->id);
	snapshot_release(snapshot);
}

static void finish_one(struct api_request *request, struct mutation *mutation)
{
	const struct connection_listing *listing = mutation->listing;
	if (has_problem(request, mutation))
		return;
	if (listing->count == 0) {
		api_reply_failure(request, PROBLEM_NOT_FOUND, "There is no open connection with this id.");
		return;
	}
	if (listing->ends) {
		api_reply_empty(request, MHD_HTTP_NO_CONTENT);
		return;
	}
	struct text body;
	text_init(&body);
	text_put_n(&body, listing->json, listing->length);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

static void send_one(struct api_request *request, bool ends)
{
	struct mutation *mutation = make(request);
	if (mutation == NULL)
		return;
	struct connection_listing *listing = mutation->listing;
	listing->matches_none = strlen(request->parameters[0]) >= sizeof(listing->id);
	snprintf(listing->id, sizeof(listing->id), "%s", request->parameters[0]);
	listing->limit = 1;
	listing->ends = ends;
	api_suspended_request_send(request, mutation, finish_one);
}

void api_connections_get(struct api_request *request)
{
	send_one(request, false);
}

void api_connections_delete(struct api_request *request)
{
	send_one(request, true);
}

static void finish_delete_where(struct api_request *request, struct mutation *mutation)
{
	if (has_problem(request, mutation))
		return;
	struct text body;
	text_init(&body);
	text_printf(&body, "{\"closed\":%zu", mutation->listing->count);
	put_end(&body, mutation->listing);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_connections_delete_where(struct api_request *request)
{
	bool dry_run = false;
	struct mutation *mutation = make(request);
	if (mutation == NULL)
		return;
	struct connection_listing *listing = mutation->listing;
	if (!api_request_flag(request, "dry_run", &dry_run) || !read_filter(request, listing)) {
		mutation_free(mutation);
		return;
	}
	listing->ends = !dry_run;
	listing->only_counts = true;
	api_suspended_request_send(request, mutation, finish_delete_where);
}
