/* The readers of /v1/events: each is a response that writes events from the log, and is suspended while there are none. */
#ifndef WARREN_API_EVENT_STREAM_H
#define WARREN_API_EVENT_STREAM_H

#include "api/auth.h"
#include "service/registry/events.h"

struct api_streams;

/* Subscribes to the log, which must live until api_streams_end. */
struct api_streams *api_streams_create(struct events *events);
/* After the last reader is gone. */
void api_streams_free(struct api_streams *streams);
/* Sends each reader a heartbeat, so that a client that is gone is noticed. */
void api_streams_beat(struct api_streams *streams);
/* Ends each reader whose token has expired or was revoked. One thread. */
void api_streams_check(struct api_streams *streams, struct api_auth *auth);
/* Tells every reader that the daemon stops, and ends it; new ones end at once. Unsubscribes from the log. */
void api_streams_end(struct api_streams *streams);

#endif
