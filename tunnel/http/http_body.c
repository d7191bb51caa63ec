#include "tunnel/http/http_body.h"

#include <string.h>

#define SIZE_DIGITS_MAX 16

void http_body_init(struct http_body *body, enum http_framing framing, uint64_t length)
{
	*body = (struct http_body){ .state = HTTP_BODY_ENDED };
	switch (framing) {
	case HTTP_FRAMING_NONE: return;
	case HTTP_FRAMING_LENGTH:
		body->left = length;
		body->state = length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_ENDED;
		return;
	case HTTP_FRAMING_CHUNKED: body->state = HTTP_BODY_SIZE; return;
	case HTTP_FRAMING_CLOSE: body->state = HTTP_BODY_CLOSE; return;
	}
}

void http_body_init_mended(struct http_body *body, enum http_framing framing, uint64_t length)
{
	http_body_init(body, framing, length);
	body->mends = true;
}

static int hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* RFC 9112, 7.1: only hex digits, and white space before an extension; programs disagree on the meaning of other bytes. */
static enum http_body_state step_size(struct http_body *body, unsigned char c)
{
	int digit = hex_digit(c);
	if (digit < 0) {
		body->spent = 0;
		if (body->digits == 0)
			return HTTP_BODY_FAILED;
		if (c == ';')
			return HTTP_BODY_EXTENSION;
		if (http_is_blank_byte(c))
			return HTTP_BODY_SIZE_BLANK;
		return c == '\r' ? HTTP_BODY_SIZE_LF : HTTP_BODY_FAILED;
	}
	if (++body->digits > SIZE_DIGITS_MAX)
		return HTTP_BODY_FAILED;
	body->left = body->left << 4 | (unsigned)digit;
	return body->left <= INT64_MAX ? HTTP_BODY_SIZE : HTTP_BODY_FAILED;
}

static enum http_body_state step_size_blank(struct http_body *body, unsigned char c)
{
	if (c == ';')
		return HTTP_BODY_EXTENSION;
	if (c == '\r' && body->mends)
		return HTTP_BODY_SIZE_LF;
	return http_is_blank_byte(c) && ++body->spent <= HTTP_BODY_EXTENSION_MAX ? HTTP_BODY_SIZE_BLANK : HTTP_BODY_FAILED;
}

static enum http_body_state step_extension(struct http_body *body, unsigned char c)
{
	if (c == '\r')
		return HTTP_BODY_SIZE_LF;
	return http_is_value_byte(c) && ++body->spent <= HTTP_BODY_EXTENSION_MAX ? HTTP_BODY_EXTENSION : HTTP_BODY_FAILED;
}

static enum http_body_state step_size_end(struct http_body *body, unsigned char c)
{
	body->spent = 0;
	if (c != '\n')
		return HTTP_BODY_FAILED;
	return body->left > 0 ? HTTP_BODY_DATA : HTTP_BODY_TRAILER;
}

static enum http_body_state step_data_end(struct http_body *body, unsigned char c)
{
	body->digits = 0;
	return c == '\n' ? HTTP_BODY_SIZE : HTTP_BODY_FAILED;
}

/* A trailer must not contain framing, routing or hop-by-hop fields, which belong to a head (RFC 9110, 6.5.1; X3). */
static bool is_trailer_allowed(const struct http_body *body)
{
	return http_field_kind((struct http_text){ .bytes = body->name, .length = body->name_length }) == HTTP_FIELD_OTHER;
}

static enum http_body_state step_trailer_name(struct http_body *body, unsigned char c)
{
	if (c == ':')
		return body->name_length > 0 && is_trailer_allowed(body) ? HTTP_BODY_TRAILER_VALUE : HTTP_BODY_FAILED;
	if (!http_is_token_byte(c))
		return HTTP_BODY_FAILED;
	if (body->name_length < HTTP_BODY_NAME_MAX)
		body->name[body->name_length++] = (char)c;
	return HTTP_BODY_TRAILER_NAME;
}

static enum http_body_state step_trailer(struct http_body *body, unsigned char c)
{
	if (++body->spent > HTTP_BODY_TRAILER_MAX)
		return HTTP_BODY_FAILED;
	if (body->state == HTTP_BODY_TRAILER) {
		body->name_length = 0;
		return c == '\r' ? HTTP_BODY_LAST_LF : step_trailer_name(body, c);
	}
	if (body->state == HTTP_BODY_TRAILER_NAME)
		return step_trailer_name(body, c);
	if (c == '\r')
		return HTTP_BODY_TRAILER_LF;
	return http_is_value_byte(c) ? HTTP_BODY_TRAILER_VALUE : HTTP_BODY_FAILED;
}

static enum http_body_state step(struct http_body *body, unsigned char c)
{
	switch (body->state) {
	case HTTP_BODY_SIZE: return step_size(body, c);
	case HTTP_BODY_SIZE_BLANK: return step_size_blank(body, c);
	case HTTP_BODY_EXTENSION: return step_extension(body, c);
	case HTTP_BODY_SIZE_LF: return step_size_end(body, c);
	case HTTP_BODY_DATA_CR: return c == '\r' ? HTTP_BODY_DATA_LF : HTTP_BODY_FAILED;
	case HTTP_BODY_DATA_LF: return step_data_end(body, c);
	case HTTP_BODY_TRAILER:
	case HTTP_BODY_TRAILER_NAME:
	case HTTP_BODY_TRAILER_VALUE: return step_trailer(body, c);
	case HTTP_BODY_TRAILER_LF: return c == '\n' ? HTTP_BODY_TRAILER : HTTP_BODY_FAILED;
	case HTTP_BODY_LAST_LF: return c == '\n' ? HTTP_BODY_ENDED : HTTP_BODY_FAILED;
	case HTTP_BODY_LENGTH:
	case HTTP_BODY_CLOSE:
	case HTTP_BODY_DATA:
	case HTTP_BODY_TRAILER_LEFT_OUT:
	case HTTP_BODY_ENDED:
	case HTTP_BODY_FAILED: break;
	}
	return body->state;
}

/* Repairs: white space around a size and control bytes are dropped, a bare LF becomes a line end, other bytes behind a size become an extension, and
 * a trailer field is forwarded only if its name is permitted. */

/* Not behind the last size, which no data follows that could prove it right, and nothing that may belong to the size. */
static bool begins_junk(const struct http_body *body, unsigned char c)
{
	if (body->left == 0 || c == ';' || !http_is_value_byte(c) || http_is_blank_byte(c))
		return false;
	return body->state == HTTP_BODY_SIZE_BLANK ? hex_digit(c) < 0 : body->state == HTTP_BODY_SIZE && body->digits > 0 && c == ',';
}

static bool is_odd(const struct http_body *body, unsigned char c)
{
	switch (body->state) {
	case HTTP_BODY_SIZE: return http_is_blank_byte(c) || (c == '\n' && body->digits > 0) || begins_junk(body, c);
	case HTTP_BODY_SIZE_BLANK: return http_is_blank_byte(c) || c == '\n' || begins_junk(body, c);
	case HTTP_BODY_EXTENSION:
	case HTTP_BODY_TRAILER_VALUE: return !http_is_value_byte(c);
	case HTTP_BODY_DATA_CR: return c == '\n';
	case HTTP_BODY_TRAILER: return c != '\r';
	case HTTP_BODY_TRAILER_NAME:
	case HTTP_BODY_TRAILER_LEFT_OUT: return true;
	case HTTP_BODY_LENGTH:
	case HTTP_BODY_CLOSE:
	case HTTP_BODY_SIZE_LF:
	case HTTP_BODY_DATA:
	case HTTP_BODY_DATA_LF:
	case HTTP_BODY_TRAILER_LF:
	case HTTP_BODY_LAST_LF:
	case HTTP_BODY_ENDED:
	case HTTP_BODY_FAILED: break;
	}
	return false;
}

static bool needs_mending(const struct http_body *body, char c)
{
	return body->mends && is_odd(body, (unsigned char)c);
}

/* A bare LF: as if CR had come before it. */
static struct http_text mend_line_end(struct http_body *body)
{
	if (body->state == HTTP_BODY_DATA_CR)
		body->state = step_data_end(body, '\n');
	else if (body->state == HTTP_BODY_TRAILER)
		body->state = HTTP_BODY_ENDED;
	else if (body->state == HTTP_BODY_TRAILER_VALUE)
		body->state = HTTP_BODY_TRAILER;
	else
		body->state = step_size_end(body, '\n');
	return (struct http_text){ .bytes = "\r\n", .length = 2 };
}

static struct http_text mend_trailer_name(struct http_body *body, unsigned char c)
{
	if (body->state == HTTP_BODY_TRAILER)
		body->name_length = 0;
	body->state = HTTP_BODY_TRAILER_NAME;
	if (http_is_token_byte(c) && body->name_length < HTTP_BODY_NAME_MAX) {
		body->name[body->name_length++] = (char)c;
	} else if (c != ':' || body->name_length == 0 || !is_trailer_allowed(body)) {
		body->state = c == '\n' ? HTTP_BODY_TRAILER : HTTP_BODY_TRAILER_LEFT_OUT;
	} else {
		body->state = HTTP_BODY_TRAILER_VALUE;
		body->name[body->name_length] = ':';
		return (struct http_text){ .bytes = body->name, .length = body->name_length + 1u };
	}
	return (struct http_text){ .bytes = "", .length = 0 };
}

static struct http_text mend_junk(struct http_body *body, unsigned char c)
{
	body->state = HTTP_BODY_EXTENSION;
	body->name[0] = ';';
	body->name[1] = (char)c;
	return (struct http_text){ .bytes = body->name, .length = c == ',' ? 1 : 2 };
}

static struct http_text mend(struct http_body *body, unsigned char c)
{
	bool is_trailer = body->state == HTTP_BODY_TRAILER || body->state == HTTP_BODY_TRAILER_NAME;
	bool is_left_out = body->state == HTTP_BODY_TRAILER_NAME || body->state == HTTP_BODY_TRAILER_LEFT_OUT;
	if (c == '\n' && !is_left_out)
		return mend_line_end(body);
	if (is_trailer)
		return mend_trailer_name(body, c);
	if (begins_junk(body, c))
		return mend_junk(body, c);
	if (body->state == HTTP_BODY_TRAILER_LEFT_OUT)
		body->state = c == '\n' ? HTTP_BODY_TRAILER : HTTP_BODY_TRAILER_LEFT_OUT;
	else if (body->state == HTTP_BODY_SIZE && body->digits > 0)
		body->state = HTTP_BODY_SIZE_BLANK;
	return (struct http_text){ .bytes = "", .length = 0 };
}

static uint32_t allowance(const struct http_body *body)
{
	bool is_chunk = body->state == HTTP_BODY_SIZE || body->state == HTTP_BODY_SIZE_BLANK || body->state == HTTP_BODY_EXTENSION;
	return is_chunk ? HTTP_BODY_EXTENSION_MAX : HTTP_BODY_TRAILER_MAX;
}

struct http_text http_body_mend(struct http_body *body, char byte)
{
	if (++body->spent <= allowance(body))
		return mend(body, (unsigned char)byte);
	body->state = HTTP_BODY_FAILED;
	return (struct http_text){ .bytes = "", .length = 0 };
}

/* The number of payload bytes at the start, 0 if framing is next. */
static size_t take_payload(struct http_body *body, size_t length)
{
	if (body->state == HTTP_BODY_CLOSE)
		return length;
	if (body->state != HTTP_BODY_LENGTH && body->state != HTTP_BODY_DATA)
		return 0;
	size_t taken = length < body->left ? length : (size_t)body->left;
	body->left -= taken;
	if (body->left == 0)
		body->state = body->state == HTTP_BODY_DATA ? HTTP_BODY_DATA_CR : HTTP_BODY_ENDED;
	return taken;
}

size_t http_body_feed(struct http_body *body, const char *bytes, size_t length)
{
	size_t at = 0;
	while (at < length && body->state != HTTP_BODY_ENDED && body->state != HTTP_BODY_FAILED) {
		size_t payload = take_payload(body, length - at);
		at += payload;
		if (payload == 0 && needs_mending(body, bytes[at]))
			break;
		if (payload == 0)
			body->state = step(body, (unsigned char)bytes[at++]);
	}
	return body->state == HTTP_BODY_FAILED ? 0 : at;
}

size_t http_body_decode(struct http_body *body, char *bytes, size_t length, size_t *payload)
{
	size_t at = 0;
	*payload = 0;
	while (at < length && body->state != HTTP_BODY_ENDED && body->state != HTTP_BODY_FAILED) {
		size_t run = take_payload(body, length - at);
		if (run == 0 && needs_mending(body, bytes[at])) {
			http_body_mend(body, bytes[at++]);
			continue;
		}
		if (run == 0) {
			body->state = step(body, (unsigned char)bytes[at++]);
			continue;
		}
		memmove(bytes + *payload, bytes + at, run);
		*payload += run;
		at += run;
	}
	if (body->state != HTTP_BODY_FAILED)
		return at;
	*payload = 0;
	return 0;
}

bool http_body_finish(struct http_body *body, struct http_text *rest)
{
	*rest = (struct http_text){ .bytes = "", .length = 0 };
	if (body->state == HTTP_BODY_TRAILER && body->mends)
		*rest = mend_line_end(body);
	body->state = body->state == HTTP_BODY_CLOSE || body->state == HTTP_BODY_ENDED ? HTTP_BODY_ENDED : HTTP_BODY_FAILED;
	return body->state == HTTP_BODY_ENDED;
}
