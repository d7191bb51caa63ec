/* A ring of the latest events under one mutex; the subscribers' wake functions are called outside of it, under a lock of their own,
 * so that a reader may call events_next from its wake. */
#include "service/registry/events.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/utf8.h"
#include "ipc/wall_clock.h"

#define EVENT_LONGEST (64u << 10) /* bytes of its JSON text */

/* Kept short, because there are thousands; what is read is written out. */
struct event {
	uint64_t id;
	int64_t at_ms; /* UNIX time; 0: `text` is all of it, as the program before has written it */
	enum event_type type;
	char *text; /* its object's id, which may be empty, and behind the NUL the members; NULL: there was no memory */
};

struct events_subscription {
	struct events_subscription *next;
	void (*wake)(void *owner);
	void *owner;
};

struct events {
	pthread_mutex_t lock;      /* of the ring */
	pthread_mutex_t wake_lock; /* of the subscriptions; held while they are woken, so that unsubscribing waits for that */
	struct events_subscription *subscriptions;
	struct event *ring;
	size_t capacity;
	uint64_t base; /* events up to this one cannot be read */
	uint64_t last_id;
};

static const char *const names[] = {
	[EVENT_TUNNEL_CREATED] = "tunnel.created",
	[EVENT_TUNNEL_CHANGED] = "tunnel.changed",
	[EVENT_TUNNEL_DELETED] = "tunnel.deleted",
	[EVENT_TUNNEL_STATE] = "tunnel.state",
	[EVENT_TUNNEL_HANDSHAKE] = "tunnel.handshake",
	[EVENT_TUNNEL_ENDPOINT] = "tunnel.endpoint",
	[EVENT_TUNNEL_PROBE] = "tunnel.probe",
	[EVENT_TUNNEL_CONDITION] = "tunnel.condition",
	[EVENT_TUNNEL_HEALTH] = "tunnel.health",
	[EVENT_TUNNEL_EXPIRED] = "tunnel.expired",
	[EVENT_POOL_CREATED] = "pool.created",
	[EVENT_POOL_CHANGED] = "pool.changed",
	[EVENT_POOL_DELETED] = "pool.deleted",
	[EVENT_POOL_STATE] = "pool.state",
	[EVENT_WORKER_RESTARTED] = "worker.restarted",
	[EVENT_WORKER_REPLACING] = "worker.replacing",
	[EVENT_WORKER_REPLACED] = "worker.replaced",
	[EVENT_WORKER_REPLACE_FAILED] = "worker.replace_failed",
	[EVENT_DAEMON_UPGRADED] = "daemon.upgraded",
	[EVENT_DAEMON_UPGRADE_FAILED] = "daemon.upgrade_failed",
	[EVENT_NODE_STATE] = "node.state",
	[EVENT_FLEET_CONNECTED] = "fleet.connected",
	[EVENT_FLEET_ISOLATED] = "fleet.isolated",
	[EVENT_FLEET_NEARLY_FULL] = "fleet.nearly_full",
};
static_assert(sizeof(names) / sizeof(names[0]) == EVENT_TYPE_COUNT, "a name for each type");

const char *event_type_name(enum event_type type)
{
	return names[type];
}

struct events *events_create(size_t capacity, uint64_t base)
{
	struct events *events = calloc(1, sizeof(*events));
	if (events == NULL)
		return NULL;
	events->ring = calloc(capacity, sizeof(*events->ring));
	if (events->ring == NULL) {
		free(events);
		return NULL;
	}
	events->capacity = capacity;
	events->base = events->last_id = base;
	pthread_mutex_init(&events->lock, NULL);
	pthread_mutex_init(&events->wake_lock, NULL);
	return events;
}

void events_free(struct events *events)
{
	if (events == NULL)
		return;
	for (size_t i = 0; i < events->capacity; i++)
		free(events->ring[i].text);
	free(events->ring);
	pthread_mutex_destroy(&events->lock);
	pthread_mutex_destroy(&events->wake_lock);
	free(events);
}

static const char *object_of(enum event_type type)
{
	bool is_of_pool = type == EVENT_POOL_CREATED || type == EVENT_POOL_CHANGED || type == EVENT_POOL_DELETED || type == EVENT_POOL_STATE;
	return is_of_pool ? "pool" : "tunnel";
}

static char *write_json(const struct event *event)
{
	if (event->at_ms == 0)
		return strdup(event->text);
	const char *object = event->text, *members = object + strlen(object) + 1, *quote = *object == '\0' ? "" : "\"";
	char at[WALL_CLOCK_TEXT_MAX];
	wall_clock_format(at, event->at_ms);
	char *json = NULL;
	/* An id has only letters, digits, dot, underscore and hyphen, so it needs no escapes. */
	int length =
	    asprintf(&json, "{\"id\":%llu,\"at\":\"%s\",\"type\":\"%s\",\"%s\":%s%s%s%s%s}", (unsigned long long)event->id, at, names[event->type],
	             object_of(event->type), quote, *object == '\0' ? "null" : object, quote, members[0] == '\0' ? "" : ",", members);
	return length < 0 ? NULL : json;
}

static char *join_text(const char *object, const char *members)
{
	size_t length = object == NULL ? 0 : strlen(object), more = strlen(members) + 1;
	char *text = malloc(length + 1 + more);
	if (text == NULL)
		return NULL;
	memcpy(text, object == NULL ? "" : object, length);
	text[length] = '\0';
	memcpy(text + length + 1, members, more);
	return text;
}

char *events_quote(const char *text, size_t length)
{
	/* Six for each byte at most, as in \u001f. */
	char *quoted = malloc(6 * length + 3), *at = quoted;
	if (quoted == NULL)
		return NULL;
	*at++ = '"';
	for (size_t i = 0; i < length;) {
		unsigned char c = (unsigned char)text[i];
		size_t run = utf8_length(text + i, length - i);
		if (run == 0)
			at = stpcpy(at, UTF8_REPLACEMENT);
		else if (c < 0x20 || c == 0x7f)
			at += sprintf(at, "\\u%04x", c);
		else if (c == '"' || c == '\\')
			at += sprintf(at, "\\%c", c);
		else
			at = mempcpy(at, text + i, run);
		i += run == 0 ? 1 : run;
	}
	stpcpy(at, "\"");
	return quoted;
}

void events_publish(struct events *events, enum event_type type, const char *object, const char *members)
{
	pthread_mutex_lock(&events->lock);
	uint64_t id = events->last_id + 1;
	struct event *event = &events->ring[id % events->capacity];
	free(event->text);
	*event = (struct event){ .id = id, .at_ms = wall_clock_ms(), .type = type, .text = members == NULL ? NULL : join_text(object, members) };
	events->last_id = id;
	if (event->text == NULL)
		events->base = id;
	pthread_mutex_unlock(&events->lock);

	pthread_mutex_lock(&events->wake_lock);
	for (struct events_subscription *s = events->subscriptions; s != NULL; s = s->next)
		s->wake(s->owner);
	pthread_mutex_unlock(&events->wake_lock);
}

uint64_t events_last_id(struct events *events)
{
	pthread_mutex_lock(&events->lock);
	uint64_t id = events->last_id;
	pthread_mutex_unlock(&events->lock);
	return id;
}

static uint64_t oldest_of(const struct events *events)
{
	return events->last_id - events->base >= events->capacity ? events->last_id - events->capacity + 1 : events->base + 1;
}

void events_save(struct events *events, struct message_writer *writer)
{
	pthread_mutex_lock(&events->lock);
	uint64_t oldest = oldest_of(events);
	message_put_u64(writer, oldest - 1);
	message_put_u64(writer, events->last_id);
	for (uint64_t id = oldest; id <= events->last_id; id++) {
		const struct event *event = &events->ring[id % events->capacity];
		char *json = write_json(event);
		message_put_u8(writer, (uint8_t)event->type);
		message_put_string(writer, json);
		writer->failed |= json == NULL;
		free(json);
	}
	pthread_mutex_unlock(&events->lock);
}

bool events_load(struct events *events, struct message_reader *reader)
{
	pthread_mutex_lock(&events->lock);
	events->base = message_get_u64(reader);
	events->last_id = message_get_u64(reader);
	bool is_sound = !reader->failed && events->last_id >= events->base && events->last_id - events->base <= events->capacity;
	for (uint64_t id = events->base + 1; is_sound && id <= events->last_id; id++) {
		struct event *event = &events->ring[id % events->capacity];
		unsigned type = message_get_u8(reader);
		free(event->text);
		*event = (struct event){ .id = id, .type = (enum event_type)type, .text = message_get_string(reader, EVENT_LONGEST) };
		is_sound = type < EVENT_TYPE_COUNT && event->text != NULL;
	}
	pthread_mutex_unlock(&events->lock);
	return is_sound;
}

static enum events_read copy_event(const struct event *event, uint64_t *id, enum event_type *type, char **json)
{
	*json = write_json(event);
	if (*json == NULL)
		return EVENTS_NONE;
	*id = event->id;
	*type = event->type;
	return EVENTS_GOT;
}

enum events_read events_next(struct events *events, uint64_t after, uint64_t *id, enum event_type *type, char **json)
{
	enum events_read result = EVENTS_NONE;
	pthread_mutex_lock(&events->lock);
	uint64_t oldest = oldest_of(events);
	if (after == 0)
		after = events->base;
	/* An id from an earlier run of the daemon: the events missed since are unknown. */
	if (after > events->last_id || after + 1 < oldest)
		result = EVENTS_EXPIRED;
	else if (after < events->last_id)
		result = copy_event(&events->ring[(after + 1) % events->capacity], id, type, json);
	pthread_mutex_unlock(&events->lock);
	return result;
}

struct events_subscription *events_subscribe(struct events *events, void (*wake)(void *owner), void *owner)
{
	assert(wake != NULL);
	struct events_subscription *subscription = malloc(sizeof(*subscription));
	if (subscription == NULL)
		return NULL;
	pthread_mutex_lock(&events->wake_lock);
	*subscription = (struct events_subscription){ .next = events->subscriptions, .wake = wake, .owner = owner };
	events->subscriptions = subscription;
	pthread_mutex_unlock(&events->wake_lock);
	return subscription;
}

void events_unsubscribe(struct events *events, struct events_subscription *subscription)
{
	if (subscription == NULL)
		return;
	pthread_mutex_lock(&events->wake_lock);
	struct events_subscription **at = &events->subscriptions;
	while (*at != subscription)
		at = &(*at)->next;
	*at = subscription->next;
	pthread_mutex_unlock(&events->wake_lock);
	free(subscription);
}
