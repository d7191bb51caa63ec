/* The checks of a request's head. libmicrohttpd 0.9.75 accepts two lengths, a length with chunks, and two hosts, so the framing headers
 * are counted here. Other malformed syntax that it accepts (bare LF, folded lines, blanks before a colon) does no harm: each answer is
 * based on this one parse, and the connection is never shared with another parser. */
#include "api/request_check.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const header_names[] = {
	[API_HEADER_HOST] = "Host",
	[API_HEADER_CONTENT_LENGTH] = "Content-Length",
	[API_HEADER_TRANSFER_ENCODING] = "Transfer-Encoding",
	[API_HEADER_CONTENT_TYPE] = "Content-Type",
	[API_HEADER_AUTHORIZATION] = "Authorization",
	[API_HEADER_ORIGIN] = "Origin",
	[API_HEADER_EXPECT] = "Expect",
	[API_HEADER_ACCEPT] = "Accept",
	[API_HEADER_IF_MATCH] = "If-Match",
	[API_HEADER_IF_NONE_MATCH] = "If-None-Match",
	[API_HEADER_LAST_EVENT_ID] = "Last-Event-ID",
};
_Static_assert(sizeof(header_names) / sizeof(header_names[0]) == API_HEADER_COUNT, "a name for each header");

struct reading {
	struct api_request *request;
	struct api_forwarded_headers forwarded;
	const char *twice;
};

static struct api_header_lines *lines_of(struct api_forwarded_headers *headers, const char *name)
{
	if (strcasecmp(name, "X-Forwarded-For") == 0)
		return &headers->x_for;
	if (strcasecmp(name, "X-Forwarded-Proto") == 0)
		return &headers->x_proto;
	if (strcasecmp(name, "X-Forwarded-Host") == 0)
		return &headers->x_host;
	return strcasecmp(name, "Forwarded") == 0 ? &headers->forwarded : NULL;
}

static enum MHD_Result read_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void)kind;
	struct reading *reading = context;
	const char **headers = reading->request->headers;
	struct api_header_lines *lines = lines_of(&reading->forwarded, name);
	if (lines != NULL && value != NULL)
		api_header_lines_add(lines, value);
	for (size_t i = 0; i < API_HEADER_COUNT; i++) {
		if (strcasecmp(header_names[i], name) != 0)
			continue;
		const char **at = &headers[i];
		/* Accept is a list that may be split over several lines (RFC 9110, 5.3); the first is enough here. */
		if (*at != NULL && i != API_HEADER_ACCEPT)
			reading->twice = header_names[i];
		if (*at == NULL)
			*at = value != NULL ? value : "";
	}
	return MHD_YES;
}

/* Where the request comes from: a trusted proxy says for whom it speaks. */
static void note_origin(struct api_request *request, const struct api_forwarded_headers *headers)
{
	api_http_connection_from(request->client, request->from);
	if (!api_http_connection_is_proxy(request->client))
		return;
	api_forwarded_read(headers, &request->api->proxies, &request->forwarded);
	if (request->forwarded.client[0] != '\0')
		memcpy(request->from, request->forwarded.client, sizeof(request->from));
}

static bool check_framing(struct api_request *request)
{
	struct reading reading = { .request = request };
	MHD_get_connection_values(request->connection, MHD_HEADER_KIND, read_header, &reading);
	note_origin(request, &reading.forwarded);
	const char *length = request->headers[API_HEADER_CONTENT_LENGTH], *encoding = request->headers[API_HEADER_TRANSFER_ENCODING];
	const char *fault = NULL;
	if (reading.twice != NULL)
		fault = "A header that may appear only once is repeated.";
	else if (request->headers[API_HEADER_HOST] == NULL)
		fault = "The Host header is missing.";
	else if (length != NULL && encoding != NULL)
		fault = "Content-Length and Transfer-Encoding are both present.";
	else if (length != NULL && (*length == '\0' || strlen(length) > 18 || strspn(length, "0123456789") != strlen(length)))
		fault = "Content-Length is not a number.";
	else if (encoding != NULL && strcasecmp(encoding, "chunked") != 0)
		fault = "The only supported Transfer-Encoding is chunked.";
	if (fault == NULL) {
		for (const char *c = length != NULL ? length : ""; *c; c++)
			request->body_expected = request->body_expected * 10 + (uint64_t)(*c - '0');
		return true;
	}
	problem_set(&request->problem, PROBLEM_INVALID_REQUEST, "%s", fault);
	request->must_close = true;
	return false;
}

static bool check_size(struct api_request *request)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	if (info == NULL || info->header_size <= CHECK_HEAD_MAX)
		return true;
	problem_set(&request->problem, PROBLEM_INVALID_REQUEST, "The header is larger than %u bytes.", CHECK_HEAD_MAX);
	request->status_override = MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
	request->must_close = true;
	return false;
}

static bool check_target(struct api_request *request)
{
	switch ((enum target_error)api_request_target_parse(&request->target, request->raw)) {
	case TARGET_OK: return true;
	case TARGET_MALFORMED: problem_set(&request->problem, PROBLEM_INVALID_REQUEST, "The request target is malformed."); return false;
	case TARGET_TOO_DEEP: problem_set(&request->problem, PROBLEM_NOT_FOUND, "There is no resource at this path."); return false;
	case TARGET_OUT_OF_MEMORY: break;
	}
	problem_out_of_memory(&request->problem);
	return false;
}

static bool check_origin(struct api_request *request)
{
	const struct api *api = request->api;
	const char *host = request->headers[API_HEADER_HOST];
	const struct sockaddr *local = api_http_connection_local(request->client);
	bool is_ours = api_host_is_ours(&api->hosts, host, local);
	/* The proxy's word for Host must be allowed as Host itself must. */
	if (request->forwarded.host[0] != '\0') {
		host = request->forwarded.host;
		is_ours = is_ours && api_host_is_ours(&api->hosts, host, local);
	}
	if (is_ours && request->target.authority != NULL)
		is_ours = api_host_is_ours(&api->hosts, request->target.authority, local);
	if (!is_ours) {
		problem_set(&request->problem, PROBLEM_MISDIRECTED, "The Host header does not name this API; allow a name with --allowed-host.");
		return false;
	}
	bool is_tls = request->forwarded.is_tls || (api->tls && !api_http_connection_is_unix(request->client));
	if (api_host_origin_is_ours(&api->hosts, request->headers[API_HEADER_ORIGIN], host, is_tls))
		return true;
	problem_set(&request->problem, PROBLEM_FORBIDDEN, "The Origin header names another site than Host; allow it with --allowed-origin.");
	return false;
}

static bool check_route(struct api_request *request)
{
	bool is_known;
	request->route = api_route_find(request->method, &request->target, request->parameters, &is_known);
	if (request->route == NULL && !is_known) {
		problem_set(&request->problem, PROBLEM_NOT_FOUND, "There is no resource at this path.");
		return false;
	}
	if (request->route == NULL) {
		struct text allowed;
		text_init(&allowed);
		api_route_allow(&request->target, &allowed);
		problem_set(&request->problem, PROBLEM_METHOD_NOT_ALLOWED, "This path supports %.*s only.", allowed.failed ? 0 : (int)allowed.length,
		            allowed.bytes != NULL ? allowed.bytes : "");
		text_clear(&allowed);
		return false;
	}
	/* A reserve connection is for health checks, which are routes outside /v1 that need no token. */
	bool is_health = strcmp(request->route->path, "/livez") == 0 || strcmp(request->route->path, "/readyz") == 0;
	if (api_http_connection_is_reserve(request->client) && !is_health) {
		problem_set(&request->problem, PROBLEM_TOO_MANY_REQUESTS, "There are too many connections.");
		return false;
	}
	return true;
}

/* Each scope includes the ones before it. */
static unsigned highest(unsigned scopes)
{
	unsigned scope = SCOPE_ADMIN;
	while (scope > SCOPE_METRICS && (scopes & scope) == 0)
		scope >>= 1;
	return scope;
}

static void note_object(struct api_request *request)
{
	if (request->parameters[0] != NULL)
		snprintf(request->object, sizeof(request->object), "%s", request->parameters[0]);
}

static void grant(struct api_caller *caller, enum api_via via, unsigned scope)
{
	*caller = (struct api_caller){ .via = via, .scopes = scope_with_included(scope), .access = access_whole() };
}

static bool check_scope(struct api_request *request)
{
	const struct api *api = request->api;
	struct api_caller *caller = &request->caller;
	note_object(request);
	bool is_operator = api_http_connection_is_operator(request->client);
	bool is_member = api_http_connection_is_member(request->client);
	if (is_operator || api->no_auth)
		grant(caller, is_operator ? API_VIA_SOCKET : API_VIA_NO_AUTH, SCOPE_ADMIN);
	else if (is_member)
		grant(caller, API_VIA_SOCKET, SCOPE_WRITE);
	else
		api_auth_identify(api->auth, request->headers[API_HEADER_AUTHORIZATION], caller);
	if (caller->via == API_VIA_SOCKET)
		snprintf(caller->name, sizeof(caller->name), "uid %u", (unsigned)api_http_connection_uid(request->client));
	if (request->route->scope == SCOPE_NONE || (caller->scopes & request->route->scope))
		return true;
	if (caller->has_expired)
		problem_set(&request->problem, PROBLEM_UNAUTHORIZED, "The token has expired.");
	else if (caller->scopes == SCOPE_NONE)
		problem_set(&request->problem, PROBLEM_UNAUTHORIZED,
		            "Send a valid token: Authorization: Bearer TOKEN. The first one is in admin.token in the daemon's state directory.");
	else
		problem_set(&request->problem, PROBLEM_FORBIDDEN, "This needs the scope %s; the token has %s.", scope_name(request->route->scope),
		            scope_name(highest(caller->scopes)));
	return false;
}

static bool may_repeat(const char *name)
{
	static const char *const names[] = { "label", "listen", "pool", "state", "tunnel", "type" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool check_query(struct api_request *request)
{
	const struct api_request_target *target = &request->target;
	for (size_t i = 0; i < target->parameter_count; i++) {
		const char *name = target->parameters[i].name;
		if (!api_route_knows_query(request->route, name)) {
			problem_set(&request->problem, PROBLEM_INVALID_REQUEST, "Unknown query parameter \"%.64s\".", name);
			return false;
		}
		if (!may_repeat(name) && api_request_target_parameter(target, name) != target->parameters[i].value) {
			problem_set(&request->problem, PROBLEM_INVALID_REQUEST, "The query parameter \"%.64s\" is given twice.", name);
			return false;
		}
	}
	return true;
}

/* A tunnel's conditions are compared where it is changed. What else is written has no ETag, so that no tag can match: the write is
 * refused and not done as if nobody had asked (RFC 9110, 13.1.1). */
static bool check_conditions(struct api_request *request)
{
	const char *match = request->headers[API_HEADER_IF_MATCH], *none_match = request->headers[API_HEADER_IF_NONE_MATCH];
	if (request->route->operation != API_ROUTE_NO_OPERATION || strcmp(request->route->method, "GET") == 0)
		return true;
	if ((match == NULL || strcmp(match, "*") == 0) && (none_match == NULL || strcmp(none_match, "*") != 0))
		return true;
	problem_set(&request->problem, PROBLEM_PRECONDITION_FAILED, "This resource has no ETag to compare with If-Match or If-None-Match.");
	return false;
}

static enum api_body_kind kind_of(const char *content_type)
{
	static const struct {
		const char *name;
		enum api_body_kind kind;
	} types[] = { { "application/json", API_BODY_JSON }, { "application/merge-patch+json", API_BODY_MERGE }, { "text/plain", API_BODY_WGQUICK } };
	size_t length = content_type != NULL ? strcspn(content_type, "; \t") : 0;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strlen(types[i].name) == length && strncasecmp(types[i].name, content_type, length) == 0)
			return types[i].kind;
	return API_BODY_NONE;
}

static bool check_body(struct api_request *request)
{
	unsigned accepted = request->route->body;
	bool has_body = request->body_expected > 0 || request->headers[API_HEADER_TRANSFER_ENCODING] != NULL;
	request->body_cap = accepted & API_BODY_LARGE ? BODY_CAP_LARGE : BODY_CAP;
	if ((accepted & (API_BODY_JSON | API_BODY_MERGE | API_BODY_WGQUICK)) == 0 || (!has_body && accepted & API_BODY_OPTIONAL))
		return true;
	request->kind = kind_of(request->headers[API_HEADER_CONTENT_TYPE]);
	if ((accepted & request->kind) == 0) {
		problem_set(&request->problem, PROBLEM_UNSUPPORTED_MEDIA_TYPE, "The Content-Type must be application/json%s%s.",
		            accepted & API_BODY_MERGE ? " or application/merge-patch+json" : "",
		            accepted & API_BODY_WGQUICK ? " or text/plain (a wg-quick file)" : "");
		return false;
	}
	if (request->body_expected <= request->body_cap)
		return true;
	problem_set(&request->problem, PROBLEM_BODY_TOO_LARGE, "The body is larger than %llu bytes.", (unsigned long long)request->body_cap);
	return false;
}

void api_request_check(struct api_request *request)
{
	request->body_cap = BODY_CAP;
	if (!check_framing(request) || !check_size(request) || !check_target(request))
		return;
	if (atomic_load(&request->api->quiescing)) {
		problem_set(&request->problem, PROBLEM_WORKER_UNAVAILABLE, PROBLEM_LEAVING);
		request->must_close = true;
		return;
	}
	if (!check_origin(request) || !check_route(request) || !check_scope(request) || !check_query(request) || !check_conditions(request))
		return;
	check_body(request);
}
