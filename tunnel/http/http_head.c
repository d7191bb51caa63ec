#include "tunnel/http/http_head.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CONNECTION_OPTIONS_MAX 64 /* each is compared with every field */
#define LENGTH_DIGITS_MAX 19

static const struct {
	const char *name;
	enum http_field_kind kind;
} known_fields[] = {
	{ "host", HTTP_FIELD_HOST },
	{ "content-length", HTTP_FIELD_CONTENT_LENGTH },
	{ "transfer-encoding", HTTP_FIELD_TRANSFER_ENCODING },
	{ "connection", HTTP_FIELD_CONNECTION },
	{ "proxy-connection", HTTP_FIELD_PROXY_CONNECTION },
	{ "proxy-authorization", HTTP_FIELD_PROXY_AUTHORIZATION },
	{ "keep-alive", HTTP_FIELD_KEEP_ALIVE },
	{ "te", HTTP_FIELD_TE },
	{ "trailer", HTTP_FIELD_TRAILER },
	{ "upgrade", HTTP_FIELD_UPGRADE },
	{ "expect", HTTP_FIELD_EXPECT },
	{ "max-forwards", HTTP_FIELD_MAX_FORWARDS },
};

bool http_is_token_byte(unsigned char c)
{
	static const uint32_t token_bytes[8] = { 0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff };
	return (token_bytes[c / 32] >> (c % 32) & 1) != 0;
}

bool http_is_blank_byte(unsigned char c)
{
	return c == ' ' || c == '\t';
}

bool http_is_value_byte(unsigned char c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

bool http_is_token(struct http_text text)
{
	for (size_t i = 0; i < text.length; i++)
		if (!http_is_token_byte((unsigned char)text.bytes[i]))
			return false;
	return text.length > 0;
}

bool http_text_is(struct http_text text, const char *word)
{
	return text.length == strlen(word) && strncasecmp(text.bytes, word, text.length) == 0;
}

/* A server's may have a CR too many. */
static bool is_empty_line(const char *line, size_t length, bool lenient)
{
	while (lenient && length > 1 && line[length - 1] == '\r')
		length--;
	return length == 0 || (length == 1 && line[0] == '\r');
}

enum http_progress http_head_find(struct http_head_search *search, const char *bytes, size_t length, size_t *head)
{
	/* A plain HTTP port receives TLS and other bytes: refuse them at once, not at the deadline. */
	bool is_end = length > 0 && (bytes[0] == '\r' || (bytes[0] == '\n' && search->lenient));
	if (length > 0 && !is_end && !http_is_token_byte((unsigned char)bytes[0]))
		return HTTP_REFUSED;
	while (search->scanned < length) {
		const char *lf = memchr(bytes + search->scanned, '\n', length - search->scanned);
		if (lf == NULL) {
			search->scanned = length;
			break;
		}
		size_t at = (size_t)(lf - bytes);
		bool has_cr = at > search->line && bytes[at - 1] == '\r';
		search->too_long = at >= HTTP_HEAD_MAX;
		/* RFC 9112, 2.2 would allow a bare LF, but one parser's line end is another's data. */
		if (search->too_long || (!has_cr && !search->lenient))
			return HTTP_REFUSED;
		bool empty = is_empty_line(bytes + search->line, at - search->line, search->lenient);
		search->line = search->scanned = at + 1;
		if (empty && search->begun) {
			*head = search->scanned;
			return HTTP_WHOLE;
		}
		search->begun = search->begun || !empty;
	}
	search->too_long = length >= HTTP_HEAD_MAX;
	return search->too_long ? HTTP_REFUSED : HTTP_MORE;
}

struct http_text http_head_line(struct http_text *rest)
{
	const char *lf = memchr(rest->bytes, '\n', rest->length);
	size_t length = (size_t)(lf - rest->bytes);
	bool has_cr = length > 0 && lf[-1] == '\r';
	struct http_text line = { .bytes = rest->bytes, .length = length - has_cr };
	rest->bytes += length + 1;
	rest->length -= length + 1;
	return line;
}

int http_head_version(struct http_text text, bool *old)
{
	if (text.length != 8 || strncasecmp(text.bytes, "HTTP/", 5) != 0 || text.bytes[6] != '.')
		return -1;
	char major = text.bytes[5], minor = text.bytes[7];
	if (major < '0' || major > '9' || minor < '0' || minor > '9')
		return -1;
	*old = minor == '0';
	return major == '1';
}

enum http_field_kind http_field_kind(struct http_text name)
{
	static const char proxy[] = "proxy-";
	for (size_t i = 0; i < sizeof(known_fields) / sizeof(known_fields[0]); i++)
		if (http_text_is(name, known_fields[i].name))
			return known_fields[i].kind;
	if (name.length >= sizeof(proxy) - 1 && strncasecmp(name.bytes, proxy, sizeof(proxy) - 1) == 0)
		return HTTP_FIELD_PROXY_OTHER;
	return HTTP_FIELD_OTHER;
}

static struct http_text trim(struct http_text text)
{
	while (text.length > 0 && http_is_blank_byte((unsigned char)text.bytes[0])) {
		text.bytes++;
		text.length--;
	}
	while (text.length > 0 && http_is_blank_byte((unsigned char)text.bytes[text.length - 1]))
		text.length--;
	return text;
}

static bool is_hop_kind(enum http_field_kind kind)
{
	switch (kind) {
	case HTTP_FIELD_TRANSFER_ENCODING:
	case HTTP_FIELD_CONNECTION:
	case HTTP_FIELD_PROXY_CONNECTION:
	case HTTP_FIELD_PROXY_AUTHORIZATION:
	case HTTP_FIELD_PROXY_OTHER:
	case HTTP_FIELD_KEEP_ALIVE:
	case HTTP_FIELD_TE:
	case HTTP_FIELD_TRAILER:
	case HTTP_FIELD_UPGRADE: return true;
	case HTTP_FIELD_OTHER:
	case HTTP_FIELD_HOST:
	case HTTP_FIELD_CONTENT_LENGTH:
	case HTTP_FIELD_EXPECT:
	case HTTP_FIELD_MAX_FORWARDS: break;
	}
	return false;
}

static void classify(struct http_field *field)
{
	field->kind = http_field_kind(field->name);
	field->hop = is_hop_kind(field->kind);
}

static bool field_read(struct http_field *field, struct http_text line)
{
	const char *colon = memchr(line.bytes, ':', line.length);
	if (colon == NULL)
		return false;
	size_t name = (size_t)(colon - line.bytes);
	field->name = (struct http_text){ .bytes = line.bytes, .length = name };
	/* A line that starts with a space is folded (RFC 9112, 5.2), and not a token. */
	if (!http_is_token(field->name))
		return false;
	field->value = trim((struct http_text){ .bytes = colon + 1, .length = line.length - name - 1 });
	for (size_t i = 0; i < field->value.length; i++)
		if (!http_is_value_byte((unsigned char)field->value.bytes[i]))
			return false;
	classify(field);
	return true;
}

int http_fields_read(struct http_fields *fields, struct http_text rest)
{
	fields->count = 0;
	while (rest.length > 0) {
		struct http_text line = http_head_line(&rest);
		if (line.length == 0)
			return 0;
		if (fields->count == HTTP_FIELD_MAX)
			return HTTP_FIELDS_TOO_MANY;
		if (!field_read(&fields->list[fields->count], line))
			return HTTP_FIELDS_MALFORMED;
		fields->count++;
	}
	return HTTP_FIELDS_MALFORMED;
}

void http_text_blank(char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!http_is_value_byte((unsigned char)bytes[i]))
			bytes[i] = ' ';
}

/* Joins folded lines, and replaces control bytes by spaces. A folded first line continues no field, and is dropped. */
static void blank_odd_bytes(char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		bool is_folded = bytes[i] == '\n' && i + 1 < length && http_is_blank_byte((unsigned char)bytes[i + 1]);
		if (is_folded && i > 0 && bytes[i - 1] == '\r')
			bytes[i - 1] = ' ';
		bool is_line_end = bytes[i] == '\n' || (bytes[i] == '\r' && i + 1 < length && bytes[i + 1] == '\n');
		if (is_folded || (!is_line_end && !http_is_value_byte((unsigned char)bytes[i])))
			bytes[i] = ' ';
	}
}

/* False for a line that names no field. */
static bool field_repair(struct http_field *field, struct http_text line)
{
	const char *colon = memchr(line.bytes, ':', line.length);
	if (colon == NULL)
		return false;
	size_t name = (size_t)(colon - line.bytes);
	field->name = (struct http_text){ .bytes = line.bytes, .length = name };
	while (field->name.length > 0 && http_is_blank_byte(field->name.bytes[field->name.length - 1]))
		field->name.length--;
	field->value = trim((struct http_text){ .bytes = colon + 1, .length = line.length - name - 1 });
	classify(field);
	return http_is_token(field->name);
}

int http_fields_repair(struct http_fields *fields, char *bytes, size_t length)
{
	struct http_text rest = { .bytes = bytes, .length = length };
	fields->count = 0;
	blank_odd_bytes(bytes, length);
	while (rest.length > 0) {
		struct http_field field;
		if (!field_repair(&field, http_head_line(&rest)))
			continue;
		if (fields->count == HTTP_FIELD_MAX)
			return HTTP_FIELDS_TOO_MANY;
		fields->list[fields->count++] = field;
	}
	return 0;
}

size_t http_fields_count(const struct http_fields *fields, enum http_field_kind kind)
{
	size_t count = 0;
	for (size_t i = 0; i < fields->count; i++)
		count += fields->list[i].kind == kind;
	return count;
}

const struct http_field *http_fields_find(const struct http_fields *fields, enum http_field_kind kind)
{
	for (size_t i = 0; i < fields->count; i++)
		if (fields->list[i].kind == kind)
			return &fields->list[i];
	return NULL;
}

static void mark_named(struct http_fields *fields, struct http_text name)
{
	for (size_t i = 0; i < fields->count; i++) {
		struct http_text field = fields->list[i].name;
		if (field.length == name.length && strncasecmp(field.bytes, name.bytes, name.length) == 0)
			fields->list[i].hop = true;
	}
}

struct http_text http_text_element(struct http_text *list)
{
	const char *comma = memchr(list->bytes, ',', list->length);
	size_t length = comma == NULL ? list->length : (size_t)(comma - list->bytes);
	struct http_text element = { .bytes = list->bytes, .length = length };
	size_t taken = comma == NULL ? length : length + 1;
	list->bytes += taken;
	list->length -= taken;
	return trim(element);
}

static void read_options(struct http_fields *fields, struct http_text list, size_t *budget, struct http_connection_options *options)
{
	while (list.length > 0) {
		struct http_text option = http_text_element(&list);
		if (option.length == 0)
			continue;
		options->odd = options->odd || *budget == 0 || !http_is_token(option);
		if (*budget == 0)
			return;
		(*budget)--;
		if (http_text_is(option, "close"))
			options->close = true;
		else if (http_text_is(option, "keep-alive"))
			options->keep_alive = true;
		else if (http_text_is(option, "upgrade"))
			options->upgrade = true;
		else
			mark_named(fields, option);
	}
}

void http_fields_connection(struct http_fields *fields, struct http_connection_options *options)
{
	size_t budget = CONNECTION_OPTIONS_MAX;
	*options = (struct http_connection_options){ 0 };
	for (size_t i = 0; i < fields->count; i++) {
		const struct http_field *field = &fields->list[i];
		if (field->kind != HTTP_FIELD_CONNECTION && field->kind != HTTP_FIELD_PROXY_CONNECTION)
			continue;
		struct http_connection_options read = { 0 };
		read_options(fields, field->value, &budget, &read);
		options->close = options->close || read.close;
		options->odd = options->odd || read.odd;
		/* Proxy-Connection was never standardised: it may close a connection, but not keep one open (RFC 9112, C.2.2). */
		if (field->kind == HTTP_FIELD_PROXY_CONNECTION)
			continue;
		options->keep_alive = options->keep_alive || read.keep_alive;
		options->upgrade = options->upgrade || read.upgrade;
	}
}

bool http_text_length(struct http_text text, uint64_t *length)
{
	*length = 0;
	if (text.length == 0 || text.length > LENGTH_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		if (text.bytes[i] < '0' || text.bytes[i] > '9')
			return false;
		*length = *length * 10 + (uint64_t)(text.bytes[i] - '0');
	}
	return *length <= INT64_MAX;
}

int http_fields_framing(const struct http_fields *fields, enum http_framing *framing, uint64_t *length)
{
	const struct http_field *declared = http_fields_find(fields, HTTP_FIELD_CONTENT_LENGTH);
	const struct http_field *coding = http_fields_find(fields, HTTP_FIELD_TRANSFER_ENCODING);
	*framing = HTTP_FRAMING_NONE;
	*length = 0;
	if (http_fields_count(fields, HTTP_FIELD_CONTENT_LENGTH) + http_fields_count(fields, HTTP_FIELD_TRANSFER_ENCODING) > 1)
		return HTTP_FIELDS_MALFORMED;
	if (coding != NULL) {
		*framing = HTTP_FRAMING_CHUNKED;
		return http_text_is(coding->value, "chunked") ? 0 : HTTP_FIELDS_MALFORMED;
	}
	if (declared != NULL) {
		*framing = HTTP_FRAMING_LENGTH;
		return http_text_length(declared->value, length) ? 0 : HTTP_FIELDS_MALFORMED;
	}
	return 0;
}

void http_put_bytes(struct http_writer *writer, const char *bytes, size_t length)
{
	if (length > writer->room - writer->length)
		writer->failed = true;
	if (writer->failed || length == 0)
		return;
	memcpy(writer->out + writer->length, bytes, length);
	writer->length += length;
}

void http_put(struct http_writer *writer, const char *string)
{
	http_put_bytes(writer, string, strlen(string));
}

void http_put_number(struct http_writer *writer, uint64_t number)
{
	char digits[24];
	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
	http_put(writer, digits);
}

void http_put_field(struct http_writer *writer, const struct http_field *field)
{
	http_put_bytes(writer, field->name.bytes, field->name.length);
	http_put(writer, ": ");
	http_put_bytes(writer, field->value.bytes, field->value.length);
	http_put(writer, "\r\n");
}

void http_put_framing(struct http_writer *writer, enum http_framing framing, uint64_t length)
{
	switch (framing) {
	case HTTP_FRAMING_LENGTH:
		http_put(writer, "Content-Length: ");
		http_put_number(writer, length);
		http_put(writer, "\r\n");
		return;
	case HTTP_FRAMING_CHUNKED: http_put(writer, "Transfer-Encoding: chunked\r\n"); return;
	case HTTP_FRAMING_NONE:
	case HTTP_FRAMING_CLOSE: return;
	}
}

size_t http_writer_result(const struct http_writer *writer)
{
	return writer->failed ? 0 : writer->length;
}
