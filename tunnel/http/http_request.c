#include "tunnel/http/http_request.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define METHOD_MAX 32
#define HTTP_PORT 80

static bool refuse(struct http_request *request, uint16_t status, const char *detail)
{
	request->fault = (struct http_fault){ .status = status, .error = HTTP_ERROR_HTTP_REQUEST_ERROR, .detail = detail };
	return false;
}

static struct http_text cut(struct http_text *rest, char at)
{
	const char *found = memchr(rest->bytes, at, rest->length);
	size_t length = found == NULL ? rest->length : (size_t)(found - rest->bytes);
	struct http_text part = { .bytes = rest->bytes, .length = length };
	size_t taken = found == NULL ? length : length + 1;
	rest->bytes += taken;
	rest->length -= taken;
	return part;
}

/* Encoded line ends and NULs mean something in a query (a form's text area sends them), in a path they are an attack (X4). */
static bool is_hidden_control(const char *bytes, size_t left)
{
	if (left < 3 || bytes[0] != '%' || bytes[1] != '0')
		return false;
	return bytes[2] == '0' || bytes[2] == 'a' || bytes[2] == 'A' || bytes[2] == 'd' || bytes[2] == 'D';
}

static bool is_path(struct http_text path)
{
	const char *query = memchr(path.bytes, '?', path.length);
	size_t path_end = query == NULL ? path.length : (size_t)(query - path.bytes);
	for (size_t i = 0; i < path.length; i++) {
		unsigned char c = (unsigned char)path.bytes[i];
		if (c <= 0x20 || c == 0x7f || c == '#')
			return false;
		if (i < path_end && is_hidden_control(path.bytes + i, path_end - i))
			return false;
	}
	return true;
}

/* RFC 3986, 3.2.1. Other bytes could be a host for another parser (X4). */
static bool is_userinfo(const char *bytes, size_t length)
{
	static const char marks[] = "-._~%!$&'()*+,;=:";
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)bytes[i]) && memchr(marks, bytes[i], sizeof(marks) - 1) == NULL)
			return false;
	return true;
}

/* The authority without userinfo, which is for the client alone to use (RFC 9110, 4.2.4). */
static bool drop_userinfo(struct http_text *authority)
{
	const char *at = memchr(authority->bytes, '@', authority->length);
	if (at == NULL)
		return true;
	size_t length = (size_t)(at - authority->bytes);
	if (!is_userinfo(authority->bytes, length))
		return false;
	authority->bytes += length + 1;
	authority->length -= length + 1;
	return true;
}

static bool read_absolute(struct http_request *request, struct http_text target)
{
	static const char scheme[] = "http://";
	size_t skip = sizeof(scheme) - 1, authority = 0;
	if (target.length > 0 && (target.bytes[0] == '/' || target.bytes[0] == '*'))
		return refuse(request, 400, "this is a proxy: the request target must be an absolute URL");
	if (target.length < skip || strncasecmp(target.bytes, scheme, skip) != 0)
		return refuse(request, 400, "only http:// URLs are forwarded; use CONNECT for others");
	const char *rest = target.bytes + skip;
	size_t length = target.length - skip;
	while (authority < length && rest[authority] != '/' && rest[authority] != '?' && rest[authority] != '#')
		authority++;
	struct http_text place = { .bytes = rest, .length = authority };
	if (!drop_userinfo(&place) || target_parse_authority(&request->target, place.bytes, place.length, HTTP_PORT) < 0)
		return refuse(request, 400, "malformed host or port in the request target");
	request->path = (struct http_text){ .bytes = rest + authority, .length = length - authority };
	if (!is_path(request->path))
		return refuse(request, 400, "malformed path in the request target");
	return true;
}

static bool read_target(struct http_request *request, struct http_text target)
{
	if (!request->asked.connect)
		return read_absolute(request, target);
	if (target_parse_authority(&request->target, target.bytes, target.length, 0) < 0)
		return refuse(request, 400, "CONNECT needs a well-formed host and port");
	return true;
}

static bool read_request_line(struct http_request *request, struct http_text line)
{
	struct http_text rest = line;
	request->method = cut(&rest, ' ');
	if (!http_is_token(request->method))
		return refuse(request, 400, "malformed request line");
	request->asked.head = request->method.length == 4 && memcmp(request->method.bytes, "HEAD", 4) == 0;
	request->asked.connect = request->method.length == 7 && memcmp(request->method.bytes, "CONNECT", 7) == 0;
	struct http_text target = cut(&rest, ' ');
	int version = http_head_version(rest, &request->asked.old);
	/* RFC 9112, 2.3: the name is case-sensitive. */
	if (version < 0 || memcmp(rest.bytes, "HTTP", 4) != 0)
		return refuse(request, 400, "malformed request line");
	if (version == 0)
		return refuse(request, 505, "only HTTP/1.0 and HTTP/1.1 are supported");
	if (request->method.length > METHOD_MAX)
		return refuse(request, 501, "unknown method");
	return read_target(request, target);
}

/* What can be a target, or is at least a name by its grammar (RFC 3986, 3.2.2). */
static bool is_host(struct http_text value)
{
	struct target target;
	if (value.length == 0 || target_parse_authority(&target, value.bytes, value.length, HTTP_PORT) == 0)
		return true;
	const char *colon = memchr(value.bytes, ':', value.length);
	size_t name = colon == NULL ? value.length : (size_t)(colon - value.bytes);
	if (name == 0 || !is_userinfo(value.bytes, name)) /* which has the same bytes, and the colon */
		return false;
	struct http_text digits = { .bytes = value.bytes + name + 1, .length = colon == NULL ? 0 : value.length - name - 1 };
	uint64_t port;
	return digits.length == 0 || (http_text_length(digits, &port) && port > 0 && port <= UINT16_MAX);
}

/* RFC 9112, 3.2: one Host, well-formed or empty. Its value does not count beside that of the target (3.2.2). */
static bool check_host(struct http_request *request)
{
	size_t count = http_fields_count(&request->fields, HTTP_FIELD_HOST);
	if (count == 0 && request->asked.old)
		return true;
	if (count != 1)
		return refuse(request, 400, "exactly one Host field is required");
	if (!is_host(http_fields_find(&request->fields, HTTP_FIELD_HOST)->value))
		return refuse(request, 400, "malformed Host");
	return true;
}

static bool has_body(const struct http_request *request)
{
	return request->framing == HTTP_FRAMING_CHUNKED || request->length > 0;
}

static bool check_framing(struct http_request *request)
{
	if (http_fields_framing(&request->fields, &request->framing, &request->length) < 0)
		return refuse(request, 400, "ambiguous or malformed framing of the body");
	/* RFC 9112, 6.1: HTTP/1.0 has no codings, so an intermediary may have framed it differently. */
	if (request->framing == HTTP_FRAMING_CHUNKED && request->asked.old)
		return refuse(request, 400, "HTTP/1.0 has no transfer coding");
	if (!request->asked.connect)
		return true;
	/* RFC 9110, 9.3.6: a CONNECT has no content; the bytes after it belong to the tunnel. */
	if (has_body(request))
		return refuse(request, 400, "a CONNECT request has no body");
	request->framing = HTTP_FRAMING_NONE;
	return true;
}

static bool check_connection(struct http_request *request)
{
	struct http_connection_options options;
	http_fields_connection(&request->fields, &options);
	if (options.odd)
		return refuse(request, 400, "malformed Connection");
	/* RFC 9112, 9.3: a proxy keeps no connection to a client of HTTP/1.0. */
	request->asked.keep_alive = !request->asked.old && !options.close;
	/* With a body the protocol switch waits for its end (RFC 9110, 7.8); docker attaches to containers this way. */
	request->asked.upgrade =
	    options.upgrade && !request->asked.old && !request->asked.connect && http_fields_find(&request->fields, HTTP_FIELD_UPGRADE) != NULL;
	return true;
}

static bool check_expect(struct http_request *request)
{
	const struct http_field *expect = http_fields_find(&request->fields, HTTP_FIELD_EXPECT);
	/* RFC 9110, 10.1.1: ignored in HTTP/1.0. */
	if (expect == NULL || request->asked.old)
		return true;
	if (http_fields_count(&request->fields, HTTP_FIELD_EXPECT) > 1 || !http_text_is(expect->value, "100-continue"))
		return refuse(request, 417, "unknown expectation");
	request->expect_continue = has_body(request) && !expect->hop;
	return true;
}

static bool counts_forwards(const struct http_request *request)
{
	return (request->method.length == 5 && memcmp(request->method.bytes, "TRACE", 5) == 0) ||
	       (request->method.length == 7 && memcmp(request->method.bytes, "OPTIONS", 7) == 0);
}

static bool read_forwards(struct http_text value, uint32_t *forwards)
{
	*forwards = 0;
	if (value.length == 0 || value.length > 9)
		return false;
	for (size_t i = 0; i < value.length; i++) {
		if (value.bytes[i] < '0' || value.bytes[i] > '9')
			return false;
		*forwards = *forwards * 10 + (uint32_t)(value.bytes[i] - '0');
	}
	return true;
}

/* RFC 9110, 7.6.2. */
static bool check_forwards(struct http_request *request)
{
	uint32_t forwards;
	const struct http_field *field = http_fields_find(&request->fields, HTTP_FIELD_MAX_FORWARDS);
	if (field == NULL || !counts_forwards(request))
		return true;
	if (http_fields_count(&request->fields, HTTP_FIELD_MAX_FORWARDS) > 1 || !read_forwards(field->value, &forwards))
		return refuse(request, 400, "malformed Max-Forwards");
	if (forwards == 0)
		return refuse(request, 501, "the proxy itself answers neither OPTIONS nor TRACE");
	return true;
}

static void read_credentials(struct http_request *request)
{
	const struct http_field *field = http_fields_find(&request->fields, HTTP_FIELD_PROXY_AUTHORIZATION);
	if (field == NULL || http_fields_count(&request->fields, HTTP_FIELD_PROXY_AUTHORIZATION) > 1)
		return;
	request->has_credentials = credentials_from_basic(&request->credentials, field->value.bytes, field->value.length) == 0;
}

static bool read_head(struct http_request *request, struct http_text head)
{
	struct http_text line;
	do
		line = http_head_line(&head);
	while (line.length == 0);
	if (!read_request_line(request, line))
		return false;
	int result = http_fields_read(&request->fields, head);
	if (result == HTTP_FIELDS_TOO_MANY)
		return refuse(request, 431, "too many fields");
	if (result < 0)
		return refuse(request, 400, "malformed field line");
	return check_host(request) && check_framing(request) && check_connection(request) && check_expect(request) && check_forwards(request);
}

enum http_progress http_request_read(struct http_request *request, struct http_head_search *search, const char *bytes, size_t length)
{
	size_t head;
	enum http_progress progress = http_head_find(search, bytes, length, &head);
	if (progress == HTTP_MORE)
		return HTTP_MORE;
	memset(request, 0, offsetof(struct http_request, fields)); /* the list is large */
	request->fields.count = 0;
	if (progress == HTTP_REFUSED) {
		refuse(request, search->too_long ? 431 : 400, search->too_long ? "the head is too long" : "malformed head");
		return HTTP_REFUSED;
	}
	request->length_of_head = head;
	if (!read_head(request, (struct http_text){ .bytes = bytes, .length = head }))
		return HTTP_REFUSED;
	read_credentials(request);
	return HTTP_WHOLE;
}

void http_request_clear(struct http_request *request)
{
	credentials_clear(&request->credentials);
	request->has_credentials = false;
}

static void put_path(struct http_writer *writer, const struct http_request *request)
{
	bool is_options = request->method.length == 7 && memcmp(request->method.bytes, "OPTIONS", 7) == 0;
	/* RFC 9112, 3.2.1 and 3.2.4 */
	if (request->path.length == 0)
		http_put(writer, is_options ? "*" : "/");
	else if (request->path.bytes[0] == '?')
		http_put(writer, "/");
	http_put_bytes(writer, request->path.bytes, request->path.length);
}

static void put_host(struct http_writer *writer, const struct target *target)
{
	bool is_v6 = strchr(target->host, ':') != NULL;
	http_put(writer, is_v6 ? "Host: [" : "Host: ");
	http_put(writer, target->host);
	http_put(writer, is_v6 ? "]" : "");
	if (target->port != HTTP_PORT) {
		http_put(writer, ":");
		http_put_number(writer, target->port);
	}
	http_put(writer, "\r\n");
}

static void put_request_field(struct http_writer *writer, const struct http_request *request, const struct http_field *field)
{
	uint32_t forwards;
	/* These two are rewritten from the parsed values. */
	if (field->kind == HTTP_FIELD_HOST || field->kind == HTTP_FIELD_CONTENT_LENGTH)
		return;
	if (field->hop && !(field->kind == HTTP_FIELD_UPGRADE && request->asked.upgrade))
		return;
	if (field->kind == HTTP_FIELD_EXPECT && request->asked.old)
		return;
	if (field->kind == HTTP_FIELD_MAX_FORWARDS && counts_forwards(request) && read_forwards(field->value, &forwards)) {
		http_put(writer, "Max-Forwards: ");
		http_put_number(writer, forwards - 1);
		http_put(writer, "\r\n");
		return;
	}
	http_put_field(writer, field);
}

size_t http_request_write(const struct http_request *request, bool keep_alive, char *out, size_t room)
{
	struct http_writer writer = { .out = out, .room = room };
	http_put_bytes(&writer, request->method.bytes, request->method.length);
	http_put(&writer, " ");
	put_path(&writer, request);
	http_put(&writer, " HTTP/1.1\r\n");
	put_host(&writer, &request->target);
	for (size_t i = 0; i < request->fields.count; i++)
		put_request_field(&writer, request, &request->fields.list[i]);
	http_put_framing(&writer, request->framing, request->length);
	if (request->asked.upgrade)
		http_put(&writer, "Connection: upgrade\r\n\r\n");
	else
		http_put(&writer, keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
	return http_writer_result(&writer);
}
