#include "tunnel/http/http_error.h"

#include <assert.h>
#include <string.h>

#include "tunnel/http/http_head.h"

#define DETAIL_MAX 200

static const struct {
	const char *name;
	uint16_t status;
} errors[] = {
	[HTTP_ERROR_NONE] = { "none", 200 },
	[HTTP_ERROR_DNS_TIMEOUT] = { "dns_timeout", 504 },
	[HTTP_ERROR_DNS_ERROR] = { "dns_error", 502 },
	[HTTP_ERROR_DESTINATION_UNAVAILABLE] = { "destination_unavailable", 503 },
	[HTTP_ERROR_DESTINATION_IP_PROHIBITED] = { "destination_ip_prohibited", 403 },
	[HTTP_ERROR_DESTINATION_IP_UNROUTABLE] = { "destination_ip_unroutable", 502 },
	[HTTP_ERROR_CONNECTION_REFUSED] = { "connection_refused", 502 },
	[HTTP_ERROR_CONNECTION_TERMINATED] = { "connection_terminated", 502 },
	[HTTP_ERROR_CONNECTION_TIMEOUT] = { "connection_timeout", 504 },
	[HTTP_ERROR_CONNECTION_READ_TIMEOUT] = { "connection_read_timeout", 504 },
	[HTTP_ERROR_CONNECTION_WRITE_TIMEOUT] = { "connection_write_timeout", 504 },
	[HTTP_ERROR_CONNECTION_LIMIT_REACHED] = { "connection_limit_reached", 503 },
	[HTTP_ERROR_HTTP_REQUEST_ERROR] = { "http_request_error", 400 },
	[HTTP_ERROR_HTTP_REQUEST_DENIED] = { "http_request_denied", 403 },
	[HTTP_ERROR_HTTP_RESPONSE_INCOMPLETE] = { "http_response_incomplete", 502 },
	[HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE] = { "http_response_header_section_size", 502 },
	[HTTP_ERROR_HTTP_RESPONSE_TRANSFER_CODING] = { "http_response_transfer_coding", 502 },
	[HTTP_ERROR_HTTP_UPGRADE_FAILED] = { "http_upgrade_failed", 502 },
	[HTTP_ERROR_HTTP_PROTOCOL_ERROR] = { "http_protocol_error", 502 },
	[HTTP_ERROR_PROXY_INTERNAL_RESPONSE] = { "proxy_internal_response", 503 },
	[HTTP_ERROR_PROXY_INTERNAL_ERROR] = { "proxy_internal_error", 500 },
	[HTTP_ERROR_PROXY_LOOP_DETECTED] = { "proxy_loop_detected", 508 },
};
static_assert(sizeof(errors) / sizeof(errors[0]) == HTTP_ERRORS, "a name and a status for each error");

static const struct {
	uint16_t status;
	const char *phrase;
} phrases[] = {
	{ 200, "OK" },
	{ 400, "Bad Request" },
	{ 403, "Forbidden" },
	{ 407, "Proxy Authentication Required" },
	{ 408, "Request Timeout" },
	{ 417, "Expectation Failed" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
	{ 508, "Loop Detected" },
};

const struct http_fault http_fault_memory = { .error = HTTP_ERROR_PROXY_INTERNAL_RESPONSE, .detail = "out of memory" };
const struct http_fault http_fault_connections = { .error = HTTP_ERROR_CONNECTION_LIMIT_REACHED, .detail = "limits.connections is reached" };
const struct http_fault http_fault_used_up = { .error = HTTP_ERROR_CONNECTION_LIMIT_REACHED, .detail = "limits.total_bytes is used up" };
const struct http_fault http_fault_client_left = { .error = HTTP_ERROR_CONNECTION_TIMEOUT,
	                                           .detail = "the client closed its side before a connection was made" };
const struct http_fault http_fault_long_head = { .status = 431, .error = HTTP_ERROR_HTTP_REQUEST_ERROR, .detail = "the request's head is too long" };

const char *http_error_name(enum http_error error)
{
	return errors[error].name;
}

uint16_t http_error_status(enum http_error error)
{
	return errors[error].status;
}

const char *http_error_phrase(uint16_t status)
{
	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Error";
}

static size_t detail_length(const char *detail)
{
	return detail == NULL ? 0 : strnlen(detail, DETAIL_MAX);
}

/* An sf-string (RFC 8941, 3.3.3). */
static void put_quoted(struct http_writer *writer, const char *detail)
{
	http_put(writer, "; details=\"");
	for (size_t i = 0; i < detail_length(detail); i++) {
		if (detail[i] == '"' || detail[i] == '\\')
			http_put(writer, "\\");
		if (detail[i] >= 0x20 && detail[i] < 0x7f)
			http_put_bytes(writer, &detail[i], 1);
	}
	http_put(writer, "\"");
}

static void put_status(struct http_writer *writer, uint16_t status)
{
	http_put_number(writer, status);
	http_put(writer, " ");
	http_put(writer, http_error_phrase(status));
}

static void put_body(struct http_writer *writer, uint16_t status, const struct http_fault *fault)
{
	put_status(writer, status);
	if (detail_length(fault->detail) > 0)
		http_put(writer, ": ");
	http_put_bytes(writer, fault->detail, detail_length(fault->detail));
	http_put(writer, "\n");
}

size_t http_error_write(char *out, size_t room, const struct http_fault *fault, unsigned options)
{
	char text[DETAIL_MAX + 64];
	struct http_writer head = { .out = out, .room = room }, body = { .out = text, .room = sizeof(text) };
	uint16_t status = fault->status == 0 ? http_error_status(fault->error) : fault->status;
	put_body(&body, status, fault);
	http_put(&head, "HTTP/1.1 ");
	put_status(&head, status);
	http_put(&head, "\r\nProxy-Status: warren; error=");
	http_put(&head, http_error_name(fault->error));
	if (detail_length(fault->detail) > 0)
		put_quoted(&head, fault->detail);
	http_put(&head, "\r\n");
	if (status == 407)
		http_put(&head, "Proxy-Authenticate: Basic realm=\"warren\", charset=\"UTF-8\"\r\n");
	http_put(&head, "Content-Type: text/plain\r\nCache-Control: no-store\r\n");
	http_put_framing(&head, HTTP_FRAMING_LENGTH, body.length);
	http_put(&head, (options & HTTP_ERROR_KEEP_ALIVE) != 0 ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
	if ((options & HTTP_ERROR_NO_BODY) == 0)
		http_put_bytes(&head, text, body.length);
	return http_writer_result(&head);
}

size_t http_error_write_connected(char *out, size_t room)
{
	struct http_writer writer = { .out = out, .room = room };
	http_put(&writer, "HTTP/1.1 200 Connection established\r\n\r\n");
	return http_writer_result(&writer);
}
