/* The event log in memory: a ring of the latest events as JSON text, ids rising by one, with readers that are woken.
 * Any thread may call. */
#ifndef WARREN_SERVICE_REGISTRY_EVENTS_H
#define WARREN_SERVICE_REGISTRY_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct events;

enum event_type {
	EVENT_TUNNEL_CREATED,
	EVENT_TUNNEL_CHANGED,
	EVENT_TUNNEL_DELETED,
	EVENT_TUNNEL_STATE,
	EVENT_TUNNEL_HANDSHAKE,
	EVENT_TUNNEL_ENDPOINT,
	EVENT_TUNNEL_PROBE,
	EVENT_TUNNEL_CONDITION,
	EVENT_WORKER_RESTARTED,
	EVENT_HEARTBEAT,
	EVENT_TYPE_COUNT
};
const char *event_type_name(enum event_type type); /* "tunnel.created" */

/* The first event's id is `base` + 1. */
struct events *events_create(size_t capacity, uint64_t base);
void events_free(struct events *events);
/* Makes a JSON string of any bytes, malloc'ed, with quotes: control characters are escaped, invalid UTF-8 becomes U+FFFD. For the members
 * of an event. NULL when out of memory. */
char *events_quote(const char *text, size_t length);
/* `members` is the inside of a JSON object without braces ("\"state\":\"up\",\"reason\":\"\""), or empty; `tunnel` may be NULL. One that
 * memory was missing for (`members` is NULL then, if that was before) has an id too, and its readers get EVENTS_EXPIRED, so that they read anew. */
void events_publish(struct events *events, enum event_type type, const char *tunnel, const char *members);
uint64_t events_last_id(struct events *events);
enum events_read { EVENTS_NONE, EVENTS_GOT, EVENTS_EXPIRED };
/* The first event with an id greater than `after` (0: than `base`): its id, type and JSON text (malloc'ed). */
enum events_read events_next(struct events *events, uint64_t after, uint64_t *id, enum event_type *type, char **json);
/* `wake` is called after each publish, from the publisher's thread, until removed. */
struct events_subscription;
struct events_subscription *events_subscribe(struct events *events, void (*wake)(void *owner), void *owner);
void events_unsubscribe(struct events *events, struct events_subscription *subscription);

#endif
