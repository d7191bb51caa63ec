#include "command/event_lines.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command/member.h"
#include "command/memory.h"
#include "command/problem_text.h"
#include "command/invocation.h"
#include "command/terminal_text.h"

#define LINE_MAX_LENGTH ((size_t)1 << 20)
#define SHOWN 1000       /* of the past */
#define PAUSE_MAX 16     /* seconds between attempts to connect again */
#define QUIET_TIMEOUT 10 /* seconds to read the past */
#define AWAIT_PAUSE_MS 100

bool event_lines_feed(struct event_lines *lines, const char *bytes, size_t length)
{
	while (length > 0) {
		const char *end = memchr(bytes, '\n', length);
		size_t piece = end != NULL ? (size_t)(end - bytes) : length;
		if (lines->length + piece > LINE_MAX_LENGTH)
			return false;
		lines->rest = memory_resize(lines->rest, lines->length + piece + 1);
		memcpy(lines->rest + lines->length, bytes, piece);
		lines->length += piece;
		lines->rest[lines->length] = '\0';
		if (end == NULL)
			return true;
		bool goes_on = lines->on_line(lines->owner, lines->rest, lines->length);
		lines->length = 0;
		if (!goes_on)
			return false;
		bytes += piece + 1;
		length -= piece + 1;
	}
	return true;
}

void event_lines_clear(struct event_lines *lines)
{
	free(lines->rest);
	lines->rest = NULL;
	lines->length = 0;
}

struct reader {
	const struct invocation *invocation;
	int64_t last;     /* the latest id that was seen; -1: none */
	int64_t until;    /* the id to stop at; INT64_MAX: never, -1: at the first line, which tells the latest id */
	bool has_failed;  /* the daemon ended the stream with a problem, which was told */
	unsigned timeout; /* seconds; 0: without end */
	bool is_quiet;    /* nothing is printed: the first event ends the stream */
	json_t *found;    /* that event */
};

static void print_members(FILE *to, json_t *event)
{
	static const char *const shown[] = { "id", "at", "type", "tunnel", "pool" };
	const char *name;
	json_t *value;
	json_object_foreach (event, name, value) {
		bool is_shown = json_is_null(value) || (json_is_string(value) && *json_string_value(value) == '\0');
		for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
			is_shown |= strcmp(shown[i], name) == 0;
		if (is_shown)
			continue;
		char *text = member_line(value);
		fprintf(to, "  %s=%s", name, text);
		free(text);
	}
}

static void print_event(const struct reader *reader, json_t *event)
{
	char *line = NULL;
	size_t length;
	FILE *to = open_memstream(&line, &length);
	if (to == NULL)
		return;
	const char *subject = member_text(event, "tunnel"), *at = member_text(event, "at");
	if (*subject == '\0')
		subject = member_text(event, "pool");
	fprintf(to, "%.10s %.8s  %-16s  %s", at, strlen(at) > 11 ? at + 11 : "", member_text(event, "type"), *subject != '\0' ? subject : "-");
	print_members(to, event);
	fclose(to);
	if (reader->invocation->has_colour && strstr(line, "state=up") != NULL)
		fputs("\033[32m", stdout);
	terminal_text_write(stdout, line);
	fputs(reader->invocation->has_colour ? "\033[0m\n" : "\n", stdout);
	free(line);
}

static void take_event(struct reader *reader, json_t *event, const char *line, size_t length)
{
	if (reader->is_quiet)
		reader->found = json_incref(event);
	else if (reader->invocation->is_json)
		invocation_print_bytes(line, length);
	else
		print_event(reader, event);
}

static bool on_line(void *owner, const char *line, size_t length)
{
	struct reader *reader = owner;
	json_t *event = json_loadb(line, length, 0, NULL);
	const json_t *id = json_object_get(event, "id");
	if (json_object_get(event, "code") != NULL) {
		if (!reader->is_quiet)
			terminal_text_line(stderr, "warren: %s", member_text(event, "detail"));
		reader->has_failed = true;
	} else if (json_is_integer(id)) {
		reader->last = json_integer_value(id);
		if (strcmp(member_text(event, "type"), "heartbeat") != 0)
			take_event(reader, event, line, length);
	}
	json_decref(event);
	return fflush(stdout) == 0 && !reader->has_failed && reader->found == NULL && reader->last < reader->until;
}

static bool on_bytes(void *owner, const char *bytes, size_t length)
{
	return event_lines_feed(owner, bytes, length);
}

/* One connection. The answer's status, 0 if there was none. */
static long read_stream(struct invocation *invocation, struct reader *reader, const char *path, const char *last_event_id, bool tells)
{
	struct event_lines lines = { .on_line = on_line, .owner = reader };
	struct api_client_answer answer;
	struct api_client_request request = {
		.path = path, .last_event_id = last_event_id, .on_bytes = on_bytes, .owner = &lines, .timeout = reader->timeout
	};
	bool is_whole = api_client_ask(invocation->client, &request, &answer);
	long status = answer.status;
	if (tells && status == 0 && !is_whole) {
		api_client_explain(invocation->client);
		invocation->code = EXIT_UNREACHABLE;
	} else if (tells && status / 100 != 2) {
		problem_text_write(stderr, &request, &answer);
		invocation->code = EXIT_REFUSED;
	}
	api_client_answer_clear(&answer);
	event_lines_clear(&lines);
	return status;
}

int64_t event_lines_latest(struct invocation *invocation)
{
	/* The first line of a stream that starts now tells the latest id. */
	struct reader reader = { .invocation = invocation, .last = -1, .until = -1, .timeout = QUIET_TIMEOUT, .is_quiet = true };
	long status = read_stream(invocation, &reader, "/v1/events", NULL, true);
	json_decref(reader.found);
	if (status == 200 && reader.last < 0)
		invocation_fail(invocation, EXIT_REFUSED, "the stream of events ended before it told the latest one");
	return status == 200 ? reader.last : -1;
}

static time_t seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

json_t *event_lines_await(struct invocation *invocation, int64_t since, const char *filter, unsigned seconds)
{
	struct reader reader = { .invocation = invocation, .last = since, .until = INT64_MAX, .is_quiet = true };
	char *path = memory_print("/v1/events?since=%lld&%s", (long long)since, filter);
	time_t now = seconds_now(), end = now + (time_t)seconds;
	for (; reader.found == NULL && now < end; now = seconds_now()) {
		reader.timeout = (unsigned)(end - now);
		reader.has_failed = false;
		read_stream(invocation, &reader, path, NULL, false);
		if (reader.found == NULL)
			nanosleep(&(struct timespec){ .tv_nsec = AWAIT_PAUSE_MS * 1000000L }, NULL);
	}
	free(path);
	return reader.found;
}

static enum exit_code show_past(struct invocation *invocation)
{
	int64_t latest = event_lines_latest(invocation);
	if (latest <= 0)
		return invocation->code;
	struct reader reader = { .invocation = invocation, .last = -1, .until = latest, .timeout = QUIET_TIMEOUT };
	char *path = memory_print("/v1/events?since=%lld", (long long)(latest > SHOWN ? latest - SHOWN : 0));
	long status = read_stream(invocation, &reader, path, NULL, false);
	free(path);
	/* After a restart fewer are there; 0 means all. */
	if (status != 200)
		read_stream(invocation, &reader, "/v1/events?since=0", NULL, true);
	return invocation->code;
}

static enum exit_code follow(struct invocation *invocation)
{
	struct reader reader = { .invocation = invocation, .last = -1, .until = INT64_MAX };
	if (read_stream(invocation, &reader, "/v1/events", NULL, true) / 100 != 2)
		return invocation->code;
	/* As long as somebody reads. */
	for (unsigned pause = 1; ferror(stdout) == 0; pause = pause < PAUSE_MAX ? 2 * pause : PAUSE_MAX) {
		char id[24];
		fprintf(stderr, "warren: the stream of events ended; trying again in %u s\n", pause);
		sleep(pause);
		snprintf(id, sizeof(id), "%lld", (long long)reader.last);
		reader.has_failed = false;
		long status = read_stream(invocation, &reader, "/v1/events", reader.last >= 0 ? id : NULL, false);
		if (status == 410) {
			fputs("warren: events were lost; going on from now\n", stderr);
			reader.last = -1;
		}
		if (status / 100 == 2)
			pause = 1;
	}
	return invocation->code;
}

enum exit_code event_lines_show(struct invocation *invocation, bool follows)
{
	return follows ? follow(invocation) : show_past(invocation);
}
