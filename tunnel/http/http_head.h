/* Common parts of request and response heads: where a head ends, its fields, and which of them are hop-by-hop. Slices point into the
 * caller's bytes and live as long as those. A client's head is parsed strictly. A server's head is repaired where its meaning is clear, since
 * only one server and one client are affected and the head is rewritten. */
#ifndef WARREN_TUNNEL_HTTP_HTTP_HEAD_H
#define WARREN_TUNNEL_HTTP_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 65536
#define HTTP_FIELD_MAX 1024
#define HTTP_HEAD_ROOM (HTTP_HEAD_MAX + 1024 + 2 * HTTP_FIELD_MAX) /* always enough to write a head that was read */

struct http_text {
	const char *bytes;
	size_t length;
};

enum http_progress {
	HTTP_MORE, /* well-formed so far, not at its end */
	HTTP_WHOLE,
	HTTP_REFUSED, /* see the fault; the connection cannot be used after it */
};

/* Fields that the proxy itself understands. */
enum http_field_kind {
	HTTP_FIELD_OTHER,
	HTTP_FIELD_HOST,
	HTTP_FIELD_CONTENT_LENGTH,
	HTTP_FIELD_TRANSFER_ENCODING,
	HTTP_FIELD_CONNECTION,
	HTTP_FIELD_PROXY_CONNECTION,
	HTTP_FIELD_PROXY_AUTHORIZATION,
	HTTP_FIELD_PROXY_OTHER,
	HTTP_FIELD_KEEP_ALIVE,
	HTTP_FIELD_TE,
	HTTP_FIELD_TRAILER,
	HTTP_FIELD_UPGRADE,
	HTTP_FIELD_EXPECT,
	HTTP_FIELD_MAX_FORWARDS,
};

struct http_field {
	struct http_text name;
	struct http_text value; /* without the white space around it */
	enum http_field_kind kind;
	bool hop; /* is not forwarded: by its kind, or named in Connection */
};

struct http_fields {
	size_t count;
	struct http_field list[HTTP_FIELD_MAX];
};

enum http_framing {
	HTTP_FRAMING_NONE,
	HTTP_FRAMING_LENGTH,
	HTTP_FRAMING_CHUNKED,
	HTTP_FRAMING_CLOSE, /* a response that ends with the connection */
};

/* How far a head has been scanned, kept by the connection between reads so that no byte is scanned twice. Zero it for the next head. */
struct http_head_search {
	size_t scanned;
	size_t line;   /* where the current line starts */
	bool begun;    /* a line that is not empty was seen */
	bool too_long; /* why it was refused: over HTTP_HEAD_MAX */
	bool lenient;  /* a line may end with LF alone, an empty one with several CR; set before the first call */
};

/* Looks for the end of the head in `bytes` (always the same head from its first byte, `length` growing). HTTP_WHOLE sets *head to
 * its length. Empty lines in front are part of it (RFC 9112, 2.2). HTTP_REFUSED: no head can start so, a bare LF where that is no line
 * end, or too long. */
enum http_progress http_head_find(struct http_head_search *search, const char *bytes, size_t length, size_t *head);

bool http_text_is(struct http_text text, const char *word); /* ASCII case is ignored */
bool http_is_token(struct http_text text);                  /* RFC 9110, 5.6.2 */
bool http_is_token_byte(unsigned char c);
bool http_is_blank_byte(unsigned char c); /* SP or HTAB (RFC 9110, 5.6.3) */
/* No control byte but HT, so neither CR, LF nor NUL (RFC 9110, 5.5). */
bool http_is_value_byte(unsigned char c);
void http_text_blank(char *bytes, size_t length); /* makes spaces of all but value bytes */
/* The next line of `rest`, without its end, which must be there; `rest` moves on. */
struct http_text http_head_line(struct http_text *rest);
/* The next element of a comma-separated list, trimmed; empty ones occur (RFC 9110, 5.6.1). `list` moves on. */
struct http_text http_text_element(struct http_text *list);
/* «HTTP/1.x» in any case: 1, and *old for HTTP/1.0. 0: another major version. -1: no version. */
int http_head_version(struct http_text text, bool *old);

enum http_fields_error {
	HTTP_FIELDS_MALFORMED = -1,
	HTTP_FIELDS_TOO_MANY = -2,
};
/* Reads field lines up to the empty line. 0 or an http_fields_error. */
int http_fields_read(struct http_fields *fields, struct http_text rest) __attribute__((warn_unused_result));
/* The same of a server's head, in whose bytes it repairs: folded lines and control bytes become spaces (RFC 9112, 5.2; RFC 9110, 5.5), white
 * space before a colon goes away (RFC 9112, 5.1), and a line that names no field is left out. 0 or HTTP_FIELDS_TOO_MANY. */
int http_fields_repair(struct http_fields *fields, char *bytes, size_t length) __attribute__((warn_unused_result));
enum http_field_kind http_field_kind(struct http_text name);
size_t http_fields_count(const struct http_fields *fields, enum http_field_kind kind);
/* The first field of this kind, or NULL. */
const struct http_field *http_fields_find(const struct http_fields *fields, enum http_field_kind kind);

struct http_connection_options {
	bool close;
	bool keep_alive;
	bool upgrade;
	bool odd; /* an option is not a token, or there are too many */
};
/* Reads Connection and Proxy-Connection, and marks what is hop by hop (RFC 9110, 7.6.1). */
void http_fields_connection(struct http_fields *fields, struct http_connection_options *options);
/* A decimal number without a sign, at most INT64_MAX. */
bool http_text_length(struct http_text text, uint64_t *length);
/* What Content-Length and Transfer-Encoding say: HTTP_FRAMING_NONE without either. 0 or HTTP_FIELDS_MALFORMED for all that two readers
 * could read in two ways (RFC 9112, 6.3): both, two of one, a list, a sign, another coding. */
int http_fields_framing(const struct http_fields *fields, enum http_framing *framing, uint64_t *length) __attribute__((warn_unused_result));

/* Appends to a bounded buffer; an overflow is sticky. */
struct http_writer {
	char *out;
	size_t room;
	size_t length;
	bool failed;
};
void http_put_bytes(struct http_writer *writer, const char *bytes, size_t length);
void http_put(struct http_writer *writer, const char *string);
void http_put_number(struct http_writer *writer, uint64_t number);
void http_put_field(struct http_writer *writer, const struct http_field *field);
/* Writes Content-Length or Transfer-Encoding, as the framing needs; nothing for the other two. */
void http_put_framing(struct http_writer *writer, enum http_framing framing, uint64_t length);
size_t http_writer_result(const struct http_writer *writer); /* the length, or 0 after an overflow */

#endif
