#include "tunnel/http_response.h"

#include <string.h>

static bool refuse(struct http_response *response, enum http_error error, const char *detail)
{
	response->fault = (struct http_fault){ .status = 502, .error = error, .detail = detail };
	return false;
}

/* HTTP-version SP status-code [SP reason] (RFC 9112, 4; many leave out the last space together with the reason). */
static bool read_status_line(struct http_response *response, struct http_text line, bool *old)
{
	if (line.length < 12 || http_head_version((struct http_text){ .bytes = line.bytes, .length = 8 }, old) != 1 || line.bytes[8] != ' ')
		return refuse(response, HTTP_ERROR_HTTP_PROTOCOL_ERROR, "malformed status line");
	for (size_t i = 9; i < 12; i++) {
		if (line.bytes[i] < '0' || line.bytes[i] > '9')
			return refuse(response, HTTP_ERROR_HTTP_PROTOCOL_ERROR, "malformed status line");
		response->status = response->status * 10 + (unsigned)(line.bytes[i] - '0');
	}
	if (response->status < 100 || response->status > 599 || (line.length > 12 && line.bytes[12] != ' '))
		return refuse(response, HTTP_ERROR_HTTP_PROTOCOL_ERROR, "malformed status line");
	if (line.length > 13)
		response->reason = (struct http_text){ .bytes = line.bytes + 13, .length = line.length - 13 };
	for (size_t i = 0; i < response->reason.length; i++)
		if (!http_is_value_byte((unsigned char)response->reason.bytes[i]))
			return refuse(response, HTTP_ERROR_HTTP_PROTOCOL_ERROR, "malformed status line");
	return true;
}

/* RFC 9112, 6.3, in its order. */
static bool read_framing(struct http_response *response, const struct http_asked *asked, bool old)
{
	enum http_framing declared;
	if (http_fields_framing(&response->fields, &declared, &response->length) < 0)
		return refuse(response, HTTP_ERROR_HTTP_RESPONSE_TRANSFER_CODING, "ambiguous or malformed framing of the response");
	if (declared == HTTP_FRAMING_CHUNKED && old)
		return refuse(response, HTTP_ERROR_HTTP_RESPONSE_TRANSFER_CODING, "a transfer coding in HTTP/1.0");
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
		return refuse(response, HTTP_ERROR_HTTP_UPGRADE_FAILED, "an upgrade that nobody asked for");
	return true;
}

static bool read_head(struct http_response *response, const struct http_asked *asked, struct http_text head)
{
	bool old = false;
	struct http_connection_options options;
	if (!read_status_line(response, http_head_line(&head), &old))
		return false;
	int result = http_fields_read(&response->fields, head, true);
	if (result == HTTP_FIELDS_TOO_MANY)
		return refuse(response, HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE, "the response has too many fields");
	if (result < 0 || http_fields_connection(&response->fields, &options) < 0)
		return refuse(response, HTTP_ERROR_HTTP_PROTOCOL_ERROR, "malformed field line in the response");
	if (!read_framing(response, asked, old) || !read_switch(response, asked))
		return false;
	response->keep_alive = response->framing != HTTP_FRAMING_CLOSE && !response->upgraded && !options.close && (!old || options.keep_alive);
	return true;
}

enum http_progress http_response_read(struct http_response *response, const struct http_asked *asked, struct http_head_search *search,
                                      const char *bytes, size_t length)
{
	size_t head;
	enum http_progress progress = http_head_find(search, bytes, length, &head);
	if (progress == HTTP_MORE)
		return HTTP_MORE;
	*response = (struct http_response){ 0 };
	if (progress == HTTP_REFUSED) {
		if (search->too_long)
			refuse(response, HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE, "the response's head is too long");
		else
			refuse(response, HTTP_ERROR_HTTP_PROTOCOL_ERROR, "the server does not speak HTTP/1.1");
		return HTTP_REFUSED;
	}
	response->length_of_head = head;
	return read_head(response, asked, (struct http_text){ .bytes = bytes, .length = head }) ? HTTP_WHOLE : HTTP_REFUSED;
}

bool http_response_keeps_client(const struct http_response *response, const struct http_asked *asked)
{
	return asked->keep_alive && response->framing != HTTP_FRAMING_CLOSE && !response->upgraded;
}

static void put_response_fields(struct http_writer *writer, const struct http_response *response)
{
	for (size_t i = 0; i < response->fields.count; i++) {
		const struct http_field *field = &response->fields.list[i];
		/* Written anew, from what was understood. */
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
