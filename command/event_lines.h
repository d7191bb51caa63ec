/* The daemon's events, one on a line (application/x-ndjson), from the stream that the API keeps open. */
#ifndef WARREN_COMMAND_EVENT_LINES_H
#define WARREN_COMMAND_EVENT_LINES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command/command.h"

/* Cuts a stream of bytes into lines. */
struct event_lines {
	/* A whole line, without its end; false ends the stream. */
	bool (*on_line)(void *owner, const char *line, size_t length);
	void *owner;
	char *rest; /* of a line that is not whole yet */
	size_t length;
};
/* False if the stream is to end: `on_line` said so, or a line is longer than any event. */
bool event_lines_feed(struct event_lines *lines, const char *bytes, size_t length);
void event_lines_clear(struct event_lines *lines);

/* Prints what the daemon still has, the last thousand at most; or, if it follows, all that happens from now on, over restarts of the daemon. */
enum exit_code event_lines_show(struct invocation *invocation, bool follows);

/* The id of the latest event, 0 if there was none yet; -1 after a failure was told. */
int64_t event_lines_latest(struct invocation *invocation);
/* The first event after the id `since` that a filter lets pass (parameters of /v1/events, as "type=daemon.upgraded"): a new reference. Waits over
 * ends of the stream, as at a restart of the daemon. NULL if there is none within so many seconds; prints nothing. */
json_t *event_lines_await(struct invocation *invocation, int64_t since, const char *filter, unsigned seconds);

#endif
