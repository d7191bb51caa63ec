#include "service/registry/connection_record.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/endpoint.h"
#include "ipc/utf8.h"
#include "ipc/wall_clock.h"

void connection_id_write(const struct connection_id *id, char text[CONNECTION_ID_SIZE])
{
	snprintf(text, CONNECTION_ID_SIZE, "%x-%llx-%llx", id->worker, (unsigned long long)id->term, (unsigned long long)id->number);
}

bool connection_id_read(const char *text, struct connection_id *id)
{
	char *end, again[CONNECTION_ID_SIZE];
	*id = (struct connection_id){ .worker = (unsigned)strtoul(text, &end, 16) };
	if (*end == '-')
		id->term = strtoull(end + 1, &end, 16);
	if (*end == '-')
		id->number = strtoull(end + 1, &end, 16);
	connection_id_write(id, again);
	return strcmp(text, again) == 0;
}

/* Each member is bounded, and so is their sum. */
struct record {
	char *bytes;
	size_t length;
};

static void put_bytes(struct record *record, const char *bytes, size_t length)
{
	assert(record->length + length < CONNECTION_RECORD_MAX);
	memcpy(record->bytes + record->length, bytes, length);
	record->length += length;
}

static void put(struct record *record, const char *text)
{
	put_bytes(record, text, strlen(text));
}

static void put_name(struct record *record, const char *name)
{
	put(record, ",\"");
	put(record, name);
	put(record, "\":");
}

static void put_escaped(struct record *record, unsigned char c)
{
	char text[8];
	if (c == '"' || c == '\\')
		snprintf(text, sizeof(text), "\\%c", c);
	else
		snprintf(text, sizeof(text), "\\u%04x", c);
	put(record, text);
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* RFC 8259, 7. An empty text is null. */
static void put_text(struct record *record, const char *name, const char *text, size_t size)
{
	size_t length = strnlen(text, size - 1);
	put_name(record, name);
	put(record, length == 0 ? "null" : "\"");
	for (size_t i = 0, step; i < length; i += step) {
		for (step = 0; i + step < length && is_plain((unsigned char)text[i + step]);)
			step++;
		put_bytes(record, text + i, step);
		if (step > 0)
			continue;
		size_t run = utf8_length(text + i, length - i);
		step = run == 0 ? 1 : run;
		if (run == 0)
			put(record, UTF8_REPLACEMENT);
		else if (run == 1)
			put_escaped(record, (unsigned char)text[i]);
		else
			put_bytes(record, text + i, run);
	}
	put(record, length == 0 ? "" : "\"");
}

static void put_endpoint(struct record *record, const char *name, const union wireguard_endpoint *endpoint)
{
	char text[64] = "";
	if (endpoint->any.sa_family != AF_UNSPEC)
		endpoint_format(endpoint, text);
	put_text(record, name, text, sizeof(text));
}

/* With leading zeros up to `width`. */
static void put_number(struct record *record, uint64_t number, size_t width)
{
	char digits[20];
	size_t at = sizeof(digits);
	for (; number > 0 || sizeof(digits) - at < width; number /= 10)
		digits[--at] = (char)('0' + number % 10);
	put_bytes(record, digits + at, sizeof(digits) - at);
}

/* No more than readers of JSON take. */
static void put_count(struct record *record, const char *name, uint64_t count)
{
	put_name(record, name);
	put_number(record, count < INT64_MAX ? count : INT64_MAX, 1);
}

/* A time that a worker told is not in the future. */
static uint64_t put_time(struct record *record, const char *name, uint64_t told, uint64_t now_ms)
{
	char text[WALL_CLOCK_TEXT_MAX];
	uint64_t at = told < now_ms ? told : now_ms;
	wall_clock_format(text, (int64_t)at);
	put_text(record, name, text, sizeof(text));
	return at;
}

static void put_end(struct record *record, const struct query_connection *connection, uint64_t now_ms)
{
	static const char *const results[] = { "failed", "ok", "cut", "cut", "cut" };
	static const char *const reasons[] = { "", "", "request", "tunnel", "moved" };
	_Static_assert(sizeof(results) / sizeof(results[0]) == QUERY_RESULTS, "a name for each result");
	_Static_assert(sizeof(reasons) / sizeof(reasons[0]) == QUERY_RESULTS, "a reason for each result");
	const char *reason = reasons[connection->result];
	if (connection->result == QUERY_RESULT_FAILED)
		reason = counters_failure_name((enum counters_failure)connection->failure);
	put_time(record, "closed_at", connection->closed_at, now_ms);
	put_text(record, "result", results[connection->result], 64);
	put_text(record, "reason", reason, 64);
}

size_t connection_record_write(char out[CONNECTION_RECORD_MAX], const struct connection_id *id, const char *tunnel, const char *pool,
                               const struct query_connection *connection, uint64_t now_ms)
{
	struct record record = { .bytes = out };
	char name[CONNECTION_ID_SIZE];
	uint64_t end = connection->closed_at != 0 && connection->closed_at < now_ms ? connection->closed_at : now_ms;
	connection_id_write(id, name);
	put(&record, "{\"id\":\"");
	put(&record, name);
	put(&record, "\"");
	put_text(&record, "tunnel", tunnel == NULL ? "" : tunnel, 64);
	put_text(&record, "pool", pool == NULL ? "" : pool, 64);
	put_text(&record, "protocol", query_protocol_name(connection->protocol), 64);
	put_endpoint(&record, "client", &connection->client);
	put_text(&record, "user", connection->user, sizeof(connection->user));
	put_text(&record, "target", connection->target, sizeof(connection->target));
	put_endpoint(&record, "address", &connection->address);
	uint64_t opened = put_time(&record, "opened_at", connection->opened_at, now_ms), age = end > opened ? end - opened : 0;
	put_name(&record, "age");
	put_number(&record, age / 1000, 1);
	put(&record, ".");
	put_number(&record, age % 1000, 3);
	put_count(&record, "bytes_sent", connection->bytes_sent);
	put_count(&record, "bytes_received", connection->bytes_received);
	put_text(&record, "session", connection->session, sizeof(connection->session));
	if (connection->closed_at != 0)
		put_end(&record, connection, now_ms);
	put(&record, "}");
	return record.length;
}
