/* The readers of /v1/events: each is a response that writes what the event log has and sleeps, suspended, while it has nothing. */
#ifndef WARREN_API_EVENT_STREAM_H
#define WARREN_API_EVENT_STREAM_H

#include "service/registry/events.h"

struct api_streams;

/* Subscribes to the log, which must live until api_streams_end. */
struct api_streams *api_streams_create(struct events *events);
/* After the last reader is gone. */
void api_streams_free(struct api_streams *streams);
/* Each reader gets a heartbeat, so that a client that is gone is noticed. */
void api_streams_beat(struct api_streams *streams);
/* Every reader is told that the daemon stops and ends; new ones end at once. The log is left. */
void api_streams_end(struct api_streams *streams);

#endif
