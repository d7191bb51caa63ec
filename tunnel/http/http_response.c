#include "tunnel/http/http_response.h"

#include <string.h>
#include <strings.h>

static bool refuse(struct http_response *response, enum http_error error, const char *detail)
{
	response->fault = (struct http_fault){ .status = 502, .error = error, .detail = detail };
	return false;
}

/* HTTP-version SP status-code [SP reason] (RFC 9112, 4). Taken as well: lower case, other blanks, another byte behind the code, and codes
 * that nobody has defined (RFC 9110, 15). */
static bool read_status_line(struct http_response *response, struct http_text line, bool *old)
{
	size_t at = 8;
	if (line.length < at || http_head_version((struct http_text){ .bytes = line.bytes, .length = at }, old) != 1)
		return refuse(response, HTTP_ERROR_HTTP_PROTOCOL_ERROR, "malformed status line");
	while (at < line.length && http_is_blank_byte((unsigned char)line.bytes[at]))
		at++;
	size_t code = at;
	for (; at < line.length && line.bytes[at] >= '0' && line.bytes[at] <= '9' && response->status < 1000; at++)
		response->status = response->status * 10 + (unsigned)(line.bytes[at] - '0');
	if (code == 8 || at - code != 3 || response->status < 100)
		return refuse(response, HTTP_ERROR_HTTP_PROTOCOL_ERROR, "malformed status line");
	at += at < line.length;
	while (at < line.length && http_is_blank_byte((unsigned char)line.bytes[at]))
		at++;
	response->reason = (struct http_text){ .bytes = line.bytes + at, .length = line.length - at };
	return true;
}

/* Every coding must be chunked, once or more often: some servers say so twice, and nobody chunks twice (RFC 9112, 7.1). Empty elements and
 * `identity` (RFC 2616, 3.6) say nothing. */
static bool read_coding(struct http_text list, enum http_framing *framing)
{
	while (list.length > 0) {
		struct http_text coding = http_text_element(&list);
		if (coding.length == 0 || http_text_is(coding, "identity"))
			continue;
		if (!http_text_is(coding, "chunked") || *framing == HTTP_FRAMING_LENGTH)
			return false;
		*framing = HTTP_FRAMING_CHUNKED;
	}
	return true;
}

/* A number, and what servers are seen to write around it as long as nobody can read another one: leading zeros, a fraction of zero, words
 * without a digit behind a space or semicolon. */
static bool read_number(struct http_text text, uint64_t *number)
{
	size_t digits = 0;
	while (digits < text.length && text.bytes[digits] >= '0' && text.bytes[digits] <= '9')
		digits++;
	bool is_fraction = digits < text.length && text.bytes[digits] == '.';
	bool is_word = digits < text.length && (text.bytes[digits] == ';' || http_is_blank_byte((unsigned char)text.bytes[digits]));
	if (digits < text.length && !is_fraction && !is_word)
		return false;
	for (size_t i = digits + 1; i < text.length; i++) {
		bool is_digit = text.bytes[i] >= '0' && text.bytes[i] <= '9';
		if (is_word ? is_digit : text.bytes[i] != '0')
			return false;
	}
	text.length = digits;
	for (; text.length > 1 && text.bytes[0] == '0'; text.length--)
		text.bytes++;
	return http_text_length(text, number);
}

/* The same length may be given twice (RFC 9110, 8.6). */
static bool read_length(struct http_text list, enum http_framing *framing, uint64_t *length)
{
	while (list.length > 0) {
		struct http_text element = http_text_element(&list);
		uint64_t read;
		if (element.length == 0)
			continue;
		if (!read_number(element, &read) || *framing == HTTP_FRAMING_CHUNKED)
			return false;
		if (*framing == HTTP_FRAMING_LENGTH && read != *length)
			return false;
		*framing = HTTP_FRAMING_LENGTH;
		*length = read;
	}
	return true;
}

/* False for what is ambiguous: two lengths, a length and chunks, a length or a coding that we do not know. */
static bool read_declared(const struct http_fields *fields, enum http_framing *framing, uint64_t *length)
{
	*framing = HTTP_FRAMING_NONE;
	*length = 0;
	for (size_t i = 0; i < fields->count; i++) {
		const struct http_field *field = &fields->list[i];
		if (field->kind == HTTP_FIELD_CONTENT_LENGTH && !read_length(field->value, framing, length))
			return false;
		if (field->kind == HTTP_FIELD_TRANSFER_ENCODING && !read_coding(field->value, framing))
			return false;
	}
	return true;
}

/* RFC 9112, 6.3, in its order. */
static bool read_framing(struct http_response *response, const struct http_asked *asked)
{
	enum http_framing declared;
	if (!read_declared(&response->fields, &declared, &response->length))
		return refuse(response, HTTP_ERROR_HTTP_RESPONSE_TRANSFER_CODING, "ambiguous or malformed framing of the response");
	bool never_has_body = response->status < 200 || response->status == 204;
	response->has_length = declared == HTTP_FRAMING_LENGTH && !never_has_body;
	if (never_has_body || asked->head || response->status == 304)
		response->framing = HTTP_FRAMING_NONE;
	else
		response->framing = declared == HTTP_FRAMING_NONE ? HTTP_FRAMING_CLOSE : declared;
	return true;
}

static bool read_switch(struct http_response *response, const struct http_asked *asked)
{
	response->interim = response->status < 200 && response->status != 101;
	response->upgraded = response->status == 101;
	if (!response->upgraded)
		return true;
	if (!asked->upgrade || http_fields_find(&response->fields, HTTP_FIELD_UPGRADE) == NULL)
		return refuse(response, HTTP_ERROR_HTTP_UPGRADE_FAILED, "an upgrade that was not requested");
	return true;
}

static bool read_head(struct http_response *response, const struct http_asked *asked, char *bytes, size_t length)
{
	bool old = false;
	struct http_connection_options options;
	struct http_text rest = { .bytes = bytes, .length = length }, line;
	do
		line = http_head_line(&rest);
	while (line.length == 0 || line.bytes[0] == '\r');
	if (!read_status_line(response, line, &old))
		return false;
	http_text_blank(bytes + (response->reason.bytes - bytes), response->reason.length);
	if (http_fields_repair(&response->fields, bytes + (rest.bytes - bytes), rest.length) < 0)
		return refuse(response, HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE, "the response has too many fields");
	http_fields_connection(&response->fields, &options);
	if (!read_framing(response, asked) || !read_switch(response, asked))
		return false;
	/* RFC 9112, 6.1: HTTP/1.0 has no codings. Such a connection is not reused. */
	bool may_stay = response->framing != HTTP_FRAMING_CLOSE && !(old && response->framing == HTTP_FRAMING_CHUNKED);
	bool wants_to = !options.close && !options.odd && (!old || options.keep_alive);
	response->keep_alive = may_stay && wants_to && !response->upgraded;
	return true;
}

/* Bytes that do not begin like HTTP are no response, and their end may never come. */
static bool begins_as_http(const char *bytes, size_t length)
{
	static const char start[] = "http/1.";
	while (length > 0 && (bytes[0] == '\r' || bytes[0] == '\n')) {
		bytes++;
		length--;
	}
	return strncasecmp(bytes, start, length < sizeof(start) - 1 ? length : sizeof(start) - 1) == 0;
}

enum http_progress http_response_read(struct http_response *response, const struct http_asked *asked, struct http_head_search *search, char *bytes,
                                      size_t length)
{
	size_t head;
	search->lenient = true;
	enum http_progress progress = begins_as_http(bytes, length) ? http_head_find(search, bytes, length, &head) : HTTP_REFUSED;
	if (progress == HTTP_MORE)
		return HTTP_MORE;
	memset(response, 0, offsetof(struct http_response, fields)); /* the list is large */
	response->fields.count = 0;
	if (progress == HTTP_REFUSED) {
		if (search->too_long)
			refuse(response, HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE, "the response's head is too long");
		else
			refuse(response, HTTP_ERROR_HTTP_PROTOCOL_ERROR, "the server does not speak HTTP/1.1");
		return HTTP_REFUSED;
	}
	response->length_of_head = head;
	return read_head(response, asked, bytes, head) ? HTTP_WHOLE : HTTP_REFUSED;
}

bool http_response_keeps_client(const struct http_response *response, const struct http_asked *asked)
{
	return asked->keep_alive && response->framing != HTTP_FRAMING_CLOSE && !response->upgraded;
}

static void put_response_fields(struct http_writer *writer, const struct http_response *response)
{
	for (size_t i = 0; i < response->fields.count; i++) {
		const struct http_field *field = &response->fields.list[i];
		/* Rewritten from the parsed values. */
		if (field->kind == HTTP_FIELD_CONTENT_LENGTH)
			continue;
		if (field->hop && !(field->kind == HTTP_FIELD_UPGRADE && response->upgraded))
			continue;
		http_put_field(writer, field);
	}
}

size_t http_response_write(const struct http_response *response, const struct http_asked *asked, bool keep_alive, char *out, size_t room)
{
	struct http_writer writer = { .out = out, .room = room };
	http_put(&writer, "HTTP/1.1 ");
	http_put_number(&writer, response->status);
	http_put(&writer, " ");
	http_put_bytes(&writer, response->reason.bytes, response->reason.length);
	http_put(&writer, "\r\n");
	put_response_fields(&writer, response);
	if (response->has_length)
		http_put_framing(&writer, HTTP_FRAMING_LENGTH, response->length);
	else if (!asked->old)
		http_put_framing(&writer, response->framing, 0);
	if (response->upgraded)
		http_put(&writer, "Connection: upgrade\r\n");
	else if (!response->interim)
		http_put(&writer, keep_alive && http_response_keeps_client(response, asked) ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
	http_put(&writer, "\r\n");
	return http_writer_result(&writer);
}
