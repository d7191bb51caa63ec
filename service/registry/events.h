/* The event log in memory: a ring of the latest events as JSON text, ids rising by one, with readers that are woken.
 * Any thread may call. */
#ifndef WARREN_SERVICE_REGISTRY_EVENTS_H
#define WARREN_SERVICE_REGISTRY_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/message.h"

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
	EVENT_TUNNEL_HEALTH,
	EVENT_TUNNEL_EXPIRED,
	EVENT_POOL_CREATED,
	EVENT_POOL_CHANGED,
	EVENT_POOL_DELETED,
	EVENT_POOL_STATE,
	EVENT_WORKER_RESTARTED,
	EVENT_WORKER_REPLACING,
	EVENT_WORKER_REPLACED,
	EVENT_WORKER_REPLACE_FAILED,
	EVENT_DAEMON_UPGRADED,
	EVENT_DAEMON_UPGRADE_FAILED,
	EVENT_NODE_STATE,
	EVENT_FLEET_CONNECTED,
	EVENT_FLEET_ISOLATED,
	EVENT_FLEET_NEARLY_FULL,
	EVENT_TYPE_COUNT
};
const char *event_type_name(enum event_type type); /* "tunnel.created" */

/* The first event's id is `base` + 1. */
struct events *events_create(size_t capacity, uint64_t base);
void events_free(struct events *events);
/* Makes a JSON string of any bytes, malloc'ed, with quotes: control characters are escaped, invalid UTF-8 becomes U+FFFD. For the members
 * of an event. NULL when out of memory. */
char *events_quote(const char *text, size_t length);
/* `members` is the inside of a JSON object without braces ("\"state\":\"up\",\"reason\":\"\""), or empty; `object` is the id of the tunnel, or of the
 * pool, and may be NULL. One that memory was missing for (`members` is NULL then, if that was before) has an id too, and its readers get
 * EVENTS_EXPIRED, so that they read anew. */
void events_publish(struct events *events, enum event_type type, const char *object, const char *members);
uint64_t events_last_id(struct events *events);
enum events_read { EVENTS_NONE, EVENTS_GOT, EVENTS_EXPIRED };
/* The first event with an id greater than `after` (0: than `base`): its id, type and JSON text (malloc'ed). */
enum events_read events_next(struct events *events, uint64_t after, uint64_t *id, enum event_type *type, char **json);
/* For the program that takes this one's place: the ring, and the number that follows. False when it cannot be read, or out of memory. */
void events_save(struct events *events, struct message_writer *writer);
bool events_load(struct events *events, struct message_reader *reader);
/* `wake` is called after each publish, from the publisher's thread, until removed. */
struct events_subscription;
struct events_subscription *events_subscribe(struct events *events, void (*wake)(void *owner), void *owner);
void events_unsubscribe(struct events *events, struct events_subscription *subscription);

#endif
