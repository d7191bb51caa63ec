/* Event streams: server-sent events (the HTML standard, 9.2) or JSON lines, by Accept.
 *
 * A stream's `woken` is set by publishers, and cleared before the stream reads the log. If it finds nothing, it sleeps only if `woken` is still
 * clear under the lock, so that an event between the read and the sleep is never missed. The log is read outside the lock, because a publisher
 * wakes streams while it holds a lock of its own. */
#include "api/event_stream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api/clock.h"
#include "api/event_filter.h"
#include "api/handlers.h"
#include "api/problem_json.h"
#include "api/reply.h"
#include "ipc/wall_clock.h"

#define BLOCK 16384
#define BATCH ((size_t)65536) /* bytes written at a time, before the client's socket is polled again */

struct stream {
	struct stream *next, *previous;
	struct api_streams *all;
	struct MHD_Connection *connection;
	bool is_sse;
	struct service *service;
	struct api_event_filter filter;
	struct api_caller caller; /* the filter has its access */
	bool is_last;             /* the final event is in `pending`: nothing follows */
	uint64_t after;           /* the latest event that was written */
	struct text pending;
	size_t sent; /* of pending */
	/* under the lock */
	bool woken, asleep, beat;
	bool is_checked; /* by api_streams_check, since it began */
	bool is_over;    /* the caller may not read any more */
};

struct api_streams {
	pthread_mutex_t lock;
	struct events *events;
	struct events_subscription *subscription;
	struct stream *first;
	bool is_ending;
	uint64_t revocations; /* that the readers were checked for; api_streams_check's alone */
};

static void wake(struct stream *stream)
{
	stream->woken = true;
	if (!stream->asleep)
		return;
	stream->asleep = false;
	MHD_resume_connection(stream->connection);
}

static void wake_all(void *owner)
{
	struct api_streams *all = owner;
	pthread_mutex_lock(&all->lock);
	for (struct stream *stream = all->first; stream != NULL; stream = stream->next)
		wake(stream);
	pthread_mutex_unlock(&all->lock);
}

struct api_streams *api_streams_create(struct events *events)
{
	struct api_streams *all = calloc(1, sizeof(*all));
	if (all == NULL)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	all->events = events;
	all->subscription = events_subscribe(events, wake_all, all);
	if (all->subscription != NULL)
		return all;
	pthread_mutex_destroy(&all->lock);
	free(all);
	return NULL;
}

/* Waits for wake-ups in progress, so it must not hold the lock. */
static void unsubscribe(struct api_streams *streams)
{
	if (streams->subscription != NULL)
		events_unsubscribe(streams->events, streams->subscription);
	streams->subscription = NULL;
}

void api_streams_free(struct api_streams *streams)
{
	if (streams == NULL)
		return;
	unsubscribe(streams);
	pthread_mutex_destroy(&streams->lock);
	free(streams);
}

void api_streams_beat(struct api_streams *streams)
{
	pthread_mutex_lock(&streams->lock);
	for (struct stream *stream = streams->first; stream != NULL; stream = stream->next) {
		stream->beat = true;
		wake(stream);
	}
	pthread_mutex_unlock(&streams->lock);
}

void api_streams_check(struct api_streams *streams, struct api_auth *auth)
{
	int64_t now = wall_clock_ms();
	uint64_t revocations = api_auth_revocations(auth);
	bool are_revoked = revocations != streams->revocations;
	streams->revocations = revocations;
	pthread_mutex_lock(&streams->lock);
	for (struct stream *stream = streams->first; stream != NULL; stream = stream->next) {
		bool has_expired = stream->caller.expires_at != 0 && now >= stream->caller.expires_at;
		bool is_due = are_revoked || has_expired || !stream->is_checked;
		stream->is_checked = true;
		if (stream->is_over || !is_due || api_auth_holds(auth, &stream->caller))
			continue;
		stream->is_over = true;
		wake(stream);
	}
	pthread_mutex_unlock(&streams->lock);
}

void api_streams_end(struct api_streams *streams)
{
	pthread_mutex_lock(&streams->lock);
	streams->is_ending = true;
	for (struct stream *stream = streams->first; stream != NULL; stream = stream->next)
		wake(stream);
	pthread_mutex_unlock(&streams->lock);
	unsubscribe(streams);
}

static void put_event(struct stream *stream, uint64_t id, enum event_type type, const char *json)
{
	struct text *text = &stream->pending;
	if (stream->is_sse)
		text_printf(text, "id: %llu\nevent: %s\ndata: ", (unsigned long long)id, event_type_name(type));
	text_put(text, json);
	text_put(text, stream->is_sse ? "\n\n" : "\n");
}

/* A heartbeat is not in the log: it carries the id of the latest event, so that readers see no gap in the ids. */
static void put_beat(struct stream *stream)
{
	struct text *text = &stream->pending;
	text_put(text, stream->is_sse ? "event: heartbeat\ndata: " : "");
	text_printf(text, "{\"id\":%llu,\"at\":", (unsigned long long)stream->after);
	text_put_json_time(text, wall_clock_ms());
	text_put(text, ",\"type\":\"heartbeat\",\"tunnel\":null}\n");
	text_put(text, stream->is_sse ? "\n" : "");
}

static void put_goodbye(struct stream *stream, enum problem_code code, const char *why)
{
	struct problem problem;
	problem_init(&problem);
	problem_set(&problem, code, "%s", why);
	text_put(&stream->pending, stream->is_sse ? "event: problem\ndata: " : "");
	api_problem_write(&stream->pending, &problem, (unsigned)problem_code_status(code), NULL, NULL);
	text_put(&stream->pending, stream->is_sse ? "\n\n" : "\n");
	problem_clear(&problem);
	stream->is_last = true;
}

/* Moves events from the log into `pending`. */
static void fill(struct stream *stream)
{
	while (stream->pending.length < BATCH && !stream->is_last) {
		uint64_t id;
		enum event_type type;
		char *json;
		switch (events_next(stream->all->events, stream->after, &id, &type, &json)) {
		case EVENTS_NONE: return;
		case EVENTS_EXPIRED: put_goodbye(stream, PROBLEM_EVENTS_EXPIRED, "The reader was too slow; events were lost."); return;
		case EVENTS_GOT:
			if (api_event_filter_passes(&stream->filter, stream->service, type, json))
				put_event(stream, id, type, json);
			stream->after = id;
			free(json);
			break;
		}
	}
}

/* False if there is nothing to write and the stream went to sleep. */
static bool look(struct stream *stream)
{
	struct api_streams *all = stream->all;
	for (;;) {
		pthread_mutex_lock(&all->lock);
		bool is_ending = all->is_ending, is_beat = stream->beat, is_over = stream->is_over;
		stream->woken = stream->beat = false;
		pthread_mutex_unlock(&all->lock);
		if (is_over && !stream->is_last)
			put_goodbye(stream, PROBLEM_UNAUTHORIZED, "The token has expired or was revoked.");
		fill(stream);
		if (is_beat && !stream->is_last)
			put_beat(stream);
		if (is_ending && !stream->is_last)
			put_goodbye(stream, PROBLEM_WORKER_UNAVAILABLE, PROBLEM_LEAVING);
		if (stream->pending.length > 0 || stream->is_last || stream->pending.failed)
			return true;
		pthread_mutex_lock(&all->lock);
		if (!stream->woken) {
			MHD_suspend_connection(stream->connection);
			stream->asleep = true;
			pthread_mutex_unlock(&all->lock);
			return false;
		}
		pthread_mutex_unlock(&all->lock);
	}
}

static ssize_t read_stream(void *context, uint64_t position, char *out, size_t room)
{
	(void)position;
	struct stream *stream = context;
	if (stream->sent == stream->pending.length) {
		if (stream->is_last)
			return MHD_CONTENT_READER_END_OF_STREAM;
		stream->pending.length = stream->sent = 0;
		if (!look(stream))
			return 0;
	}
	if (stream->pending.failed)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	size_t count = stream->pending.length - stream->sent;
	count = count < room ? count : room;
	memcpy(out, stream->pending.bytes + stream->sent, count);
	stream->sent += count;
	return (ssize_t)count;
}

static void free_stream(void *context)
{
	struct stream *stream = context;
	struct api_streams *all = stream->all;
	pthread_mutex_lock(&all->lock);
	if (stream->previous != NULL)
		stream->previous->next = stream->next;
	else
		all->first = stream->next;
	if (stream->next != NULL)
		stream->next->previous = stream->previous;
	pthread_mutex_unlock(&all->lock);
	text_clear(&stream->pending);
	api_event_filter_clear(&stream->filter);
	free(stream);
}

/* Takes what the filter holds, unless it fails. */
static struct stream *create_stream(struct api_request *request, const struct api_event_filter *filter, bool is_sse, uint64_t after)
{
	struct api_streams *all = request->api->streams;
	struct stream *stream = calloc(1, sizeof(*stream));
	if (stream == NULL)
		return NULL;
	*stream = (struct stream){ .all = all,
		                   .connection = request->connection,
		                   .is_sse = is_sse,
		                   .service = request->api->service,
		                   .filter = *filter,
		                   .after = after,
		                   .caller = request->caller };
	stream->caller.access = NULL; /* the request's */
	/* The first bytes are sent at once, so that the client knows that the stream is open. */
	if (is_sse)
		text_put(&stream->pending, "retry: 2000\n\n");
	else
		put_beat(stream);
	pthread_mutex_lock(&all->lock);
	stream->next = all->first;
	if (all->first != NULL)
		all->first->previous = stream;
	all->first = stream;
	pthread_mutex_unlock(&all->lock);
	return stream;
}

/* Where to start: since=, else Last-Event-ID, else from now on. False if a problem was replied. */
static bool read_start(struct api_request *request, uint64_t *after)
{
	struct events *events = request->api->streams->events;
	const char *header = request->headers[API_HEADER_LAST_EVENT_ID];
	*after = events_last_id(events);
	if (!api_request_number(request, "since", 0, INT64_MAX, after))
		return false;
	if (header != NULL && api_request_target_parameter(&request->target, "since") == NULL) {
		if (*header == '\0' || strlen(header) > 18 || strspn(header, "0123456789") != strlen(header)) {
			api_reply_failure(request, PROBLEM_INVALID_REQUEST, "Last-Event-ID must be a number.");
			return false;
		}
		*after = strtoull(header, NULL, 10);
	}
	uint64_t id;
	enum event_type type;
	char *json = NULL;
	enum events_read found = events_next(events, *after, &id, &type, &json);
	if (found == EVENTS_GOT)
		free(json);
	if (found != EVENTS_EXPIRED)
		return true;
	api_reply_failure(request, PROBLEM_EVENTS_EXPIRED, "These events have expired; read the tunnels and continue from now.");
	return false;
}

void api_event_stream_get(struct api_request *request)
{
	uint64_t after;
	struct api_event_filter filter;
	if (!read_start(request, &after) || !api_event_filter_read(request, &filter))
		return;
	const char *accept = request->headers[API_HEADER_ACCEPT];
	bool is_lines = accept != NULL && (strcasestr(accept, "application/x-ndjson") != NULL || strcasestr(accept, "application/ndjson") != NULL ||
	                                   strcasestr(accept, "application/jsonl") != NULL);
	bool is_sse = !is_lines || strcasestr(accept, "text/event-stream") != NULL;
	struct stream *stream = create_stream(request, &filter, is_sse, after);
	if (stream == NULL)
		api_event_filter_clear(&filter);
	struct MHD_Response *response =
	    stream != NULL ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, stream, free_stream) : NULL;
	if (response == NULL && stream != NULL)
		free_stream(stream);
	api_reply_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, is_sse ? "text/event-stream" : "application/x-ndjson");
	api_reply_header(response, "X-Accel-Buffering", "no");
	/* Nothing follows the end of a stream, so the connection is closed. */
	api_reply_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	api_reply_send(request, MHD_HTTP_OK, response);
	api_http_connection_enter(request->api->connections, request->client, CONNECTION_WAITING, api_clock_ms());
}
