/* Heads of requests and responses from strangers. What is taken must be the same however it was cut, and what is written from it must be
 * a head by the letter of RFC 9112, with the same framing and nothing hop by hop in it. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/http/http_request.h"
#include "tunnel/http/http_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct http_request request, again;
static struct http_response response;
static struct http_fields fields;
static char written[HTTP_HEAD_ROOM];
static char copy[HTTP_HEAD_MAX + 1]; /* a server's head is repaired in place */

static void demand(bool holds)
{
	if (!holds)
		abort();
}

/* HTTP-version SP three digits SP reason. */
static void check_status_line(struct http_text line)
{
	demand(line.length >= 13 && memcmp(line.bytes, "HTTP/1.1 ", 9) == 0 && line.bytes[12] == ' ');
	demand(line.bytes[9] >= '1' && line.bytes[9] <= '9');
	for (size_t i = 10; i < 12; i++)
		demand(line.bytes[i] >= '0' && line.bytes[i] <= '9');
	for (size_t i = 13; i < line.length; i++)
		demand(http_is_value_byte((unsigned char)line.bytes[i]));
}

/* Method SP origin-form, or an asterisk, SP HTTP-version. */
static void check_request_line(struct http_text line)
{
	const char *first = memchr(line.bytes, ' ', line.length);
	demand(first != NULL && http_is_token((struct http_text){ .bytes = line.bytes, .length = (size_t)(first - line.bytes) }));
	size_t rest = line.length - (size_t)(first + 1 - line.bytes);
	demand(rest > 9 && memcmp(first + 1 + rest - 9, " HTTP/1.1", 9) == 0 && (first[1] == '/' || first[1] == '*'));
	for (size_t i = 0; i < rest - 9; i++)
		demand((unsigned char)first[1 + i] > 0x20 && first[1 + i] != 0x7f);
}

static void check_written(size_t length, enum http_framing framing, uint64_t body_length, bool upgrade, bool is_response)
{
	struct http_head_search search = { 0 };
	struct http_connection_options options;
	enum http_framing declared;
	uint64_t declared_length;
	size_t head = 0;
	demand(length > 0);
	demand(http_head_find(&search, written, length, &head) == HTTP_WHOLE && head == length);
	struct http_text rest = { .bytes = written, .length = length };
	struct http_text line = http_head_line(&rest);
	if (is_response)
		check_status_line(line);
	else
		check_request_line(line);
	demand(http_fields_read(&fields, rest) == 0);
	demand(http_fields_framing(&fields, &declared, &declared_length) == 0);
	demand(declared == framing && declared_length == body_length);
	demand(http_fields_count(&fields, HTTP_FIELD_HOST) == 1 || is_response);
	demand(http_fields_count(&fields, HTTP_FIELD_PROXY_AUTHORIZATION) + http_fields_count(&fields, HTTP_FIELD_PROXY_CONNECTION) +
	           http_fields_count(&fields, HTTP_FIELD_PROXY_OTHER) + http_fields_count(&fields, HTTP_FIELD_KEEP_ALIVE) +
	           http_fields_count(&fields, HTTP_FIELD_TE) + http_fields_count(&fields, HTTP_FIELD_TRAILER) ==
	       0);
	http_fields_connection(&fields, &options);
	demand(!options.odd && options.upgrade == upgrade);
	demand(upgrade || http_fields_count(&fields, HTTP_FIELD_UPGRADE) == 0);
}

static void try_request(const char *text, size_t length)
{
	struct http_head_search search = { 0 }, other = { 0 };
	enum http_progress progress = http_request_read(&request, &search, text, length),
			   result = http_request_read(&again, &other, text, length / 2);
	if (result == HTTP_MORE)
		result = http_request_read(&again, &other, text, length);
	demand(result == progress);
	if (progress == HTTP_MORE)
		return;
	demand(request.fault.status == again.fault.status && request.length_of_head == again.length_of_head);
	if (progress == HTTP_REFUSED) {
		demand(request.fault.status >= 400 && request.fault.detail != NULL);
		return;
	}
	demand(request.target.host[0] != '\0' && request.target.port != 0 && request.length_of_head <= length);
	if (request.asked.connect)
		return;
	size_t head = http_request_write(&request, (length & 1) != 0, written, sizeof(written));
	check_written(head, request.framing, request.length, request.asked.upgrade, false);
}

static void try_response(const char *text, size_t length, const struct http_asked *asked)
{
	struct http_head_search search = { 0 };
	length = length < sizeof(copy) ? length : sizeof(copy);
	memcpy(copy, text, length);
	enum http_progress progress = http_response_read(&response, asked, &search, copy, length);
	if (progress == HTTP_REFUSED)
		demand(response.fault.status == 502 && response.fault.detail != NULL);
	if (progress != HTTP_WHOLE)
		return;
	size_t head = http_response_write(&response, asked, true, written, sizeof(written));
	enum http_framing framing = response.framing == HTTP_FRAMING_CHUNKED && !asked->old ? HTTP_FRAMING_CHUNKED : HTTP_FRAMING_NONE;
	if (response.has_length)
		framing = HTTP_FRAMING_LENGTH;
	check_written(head, framing, response.has_length ? response.length : 0, response.upgraded, true);
	demand(!http_response_keeps_client(&response, asked) || response.framing != HTTP_FRAMING_CLOSE);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	try_request((const char *)bytes, length);
	for (unsigned i = 0; i < 8; i++) {
		struct http_asked asked = { .head = (i & 1) != 0, .upgrade = (i & 2) != 0, .old = (i & 4) != 0, .keep_alive = (i & 4) == 0 };
		try_response((const char *)bytes, length, &asked);
	}
	http_request_clear(&request);
	return 0;
}
