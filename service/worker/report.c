/* What workers tell without being asked. Nothing of it is trusted: a slot or generation that is not the tunnel's is dropped, names are
 * taken from our own spec, texts are escaped. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/endpoint.h"
#include "ipc/key.h"
#include "ipc/log.h"
#include "service/registry/status.h"
#include "service/registry/wall_clock.h"
#include "service/service_private.h"
#include "service/worker/peer_lookup.h"

#define CHECKPOINT_LEAP_SECONDS 600 /* more than handshakes of a tunnel in use are apart */

static struct entry *entry_of(struct service *service, struct worker *worker, uint32_t slot, uint64_t generation)
{
	struct entry *entry = service_seated(service, worker, slot);
	return entry != NULL && entry->snapshot->generation == generation ? entry : NULL;
}

static void publish(struct service *service, enum event_type type, const struct entry *entry, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void publish(struct service *service, enum event_type type, const struct entry *entry, const char *format, ...)
{
	char *members = NULL;
	va_list arguments;
	va_start(arguments, format);
	int length = vasprintf(&members, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	events_publish(service->events, type, entry->id, members);
	free(members);
}

static bool take_state(struct service *service, struct worker *worker, struct message_reader *body)
{
	struct message_state message;
	if (!message_decode_state(body, &message) || message.state >= TUNNEL_STATE_COUNT)
		return false;
	struct entry *entry = entry_of(service, worker, message.slot, message.generation);
	if (entry == NULL)
		return true;
	message.reason[sizeof(message.reason) - 1] = '\0';
	status_set_reason(entry->status, message.state == TUNNEL_UP, message.reason);
	char *reason = events_quote(message.reason, strlen(message.reason));
	char healing[48] = "";
	if (message.healing != MESSAGE_HEALING_NONE)
		snprintf(healing, sizeof(healing), ",\"healing\":\"%s\"", message_healing_name((enum message_healing)message.healing));
	publish(service, EVENT_TUNNEL_STATE, entry, "\"state\":\"%s\",\"reason\":%s,\"generation\":%llu%s", tunnel_state_name(message.state),
	        reason == NULL ? "\"\"" : reason, (unsigned long long)message.generation, healing);
	free(reason);
	log_line(LOG_DEBUG, entry->id, "state %s%s%s", tunnel_state_name(message.state), message.reason[0] ? ": " : "", message.reason);
	waiter_check_all(service);
	return true;
}

/* The seconds of a TAI64N label. */
static uint64_t seconds_of(const uint8_t label[12])
{
	uint64_t seconds = 0;
	for (int i = 0; i < 8; i++)
		seconds = seconds << 8 | label[i];
	return seconds;
}

static bool take_handshake(struct service *service, struct worker *worker, struct message_reader *body)
{
	struct message_handshake message;
	if (!message_decode_handshake(body, &message))
		return false;
	struct entry *entry = entry_of(service, worker, message.slot, message.generation);
	if (entry == NULL || spec_peer_find(&entry->snapshot->spec, &message.peer) == NULL)
		return true;
	/* It never steps back (W8). */
	if (memcmp(message.last_timestamp, entry->timestamp_floor, sizeof(entry->timestamp_floor)) > 0) {
		/* A clock that was set may be set back: after a leap the peer would refuse all that is not later. */
		if (seconds_of(message.last_timestamp) - seconds_of(entry->timestamp_floor) > CHECKPOINT_LEAP_SECONDS)
			service->checkpoint_soon = true;
		memcpy(entry->timestamp_floor, message.last_timestamp, sizeof(entry->timestamp_floor));
		entry->is_dirty = true;
	}
	char key[KEY_TEXT_SIZE];
	key_format(&message.peer, key);
	publish(service, EVENT_TUNNEL_HANDSHAKE, entry, "\"peer\":\"%s\",\"completed\":%s,\"count\":%u", key, message.completed ? "true" : "false",
	        message.count);
	waiter_check_all(service);
	return true;
}

static bool take_endpoint(struct service *service, struct worker *worker, struct message_reader *body)
{
	struct message_endpoint message;
	if (!message_decode_endpoint(body, &message))
		return false;
	struct entry *entry = entry_of(service, worker, message.slot, message.generation);
	if (entry == NULL || spec_peer_find(&entry->snapshot->spec, &message.peer) == NULL)
		return true;
	char key[KEY_TEXT_SIZE], endpoint[64];
	key_format(&message.peer, key);
	endpoint_format(&message.endpoint, endpoint);
	publish(service, EVENT_TUNNEL_ENDPOINT, entry, "\"peer\":\"%s\",\"endpoint\":\"%s\",\"count\":%u", key, endpoint, message.count);
	return true;
}

static bool take_probed(struct service *service, struct worker *worker, struct message_reader *body)
{
	struct message_probed message;
	if (!message_decode_probed(body, &message))
		return false;
	struct entry *entry = entry_of(service, worker, message.slot, message.generation);
	if (entry == NULL)
		return true;
	char *detail = events_quote(message.detail, strnlen(message.detail, sizeof(message.detail)));
	bool is_number = message.rtt_avg_ms >= 0 && message.rtt_avg_ms < 1e9;
	publish(service, EVENT_TUNNEL_PROBE, entry, "\"ok\":%s,\"sent\":%u,\"received\":%u,\"rtt_avg_ms\":%.3f,\"detail\":%s",
	        message.ok ? "true" : "false", message.sent, message.received, is_number ? message.rtt_avg_ms : 0.0,
	        detail == NULL ? "\"\"" : detail);
	free(detail);
	return true;
}

static bool take_limit(struct service *service, struct worker *worker, struct message_reader *body)
{
	struct message_state message;
	if (!message_decode_state(body, &message))
		return false;
	struct entry *entry = entry_of(service, worker, message.slot, message.generation);
	if (entry == NULL)
		return true;
	log_line(LOG_WARN, entry->id, "limits.total_bytes is used up");
	checkpoint_write(service);
	return true;
}

static bool take_condition(struct service *service, struct worker *worker, struct message_reader *body)
{
	struct message_condition message;
	if (!message_decode_condition(body, &message))
		return false;
	struct entry *entry = entry_of(service, worker, message.slot, message.generation);
	if (entry == NULL)
		return true;
	enum message_condition_type type = (enum message_condition_type)message.type;
	char detail[160];
	message_condition_detail(type, message.value, detail);
	publish(service, EVENT_TUNNEL_CONDITION, entry, "\"condition\":\"%s\",\"holds\":%s,\"detail\":\"%s\"", message_condition_name(type),
	        message.value != 0 ? "true" : "false", message.value != 0 ? detail : "");
	if (message.value != 0)
		log_line(LOG_WARN, entry->id, "%s: %s", message_condition_name(type), detail);
	return true;
}

static bool take_want_resolve(struct service *service, struct worker *worker, struct message_reader *body)
{
	struct message_want_resolve message;
	if (!message_decode_want_resolve(body, &message))
		return false;
	struct entry *entry = entry_of(service, worker, message.slot, message.generation);
	if (entry != NULL)
		peer_lookup_again(service, entry, &message.peer);
	return true;
}

static bool take_want(struct service *service, struct worker *worker, enum message_type type, struct message_reader *body)
{
	struct message_want message;
	return message_decode_want(body, &message) && broker_take(service, worker, type, &message);
}

bool report_take(void *owner, struct worker *worker, enum message_type type, struct message_reader *body)
{
	struct service *service = owner;
	bool is_sound = false;
	/* A number that is none of ours comes here too, so the type is no enumerator for the compiler's check. */
	switch ((int)type) {
	case MESSAGE_STATE: is_sound = take_state(service, worker, body); break;
	case MESSAGE_HANDSHAKE: is_sound = take_handshake(service, worker, body); break;
	case MESSAGE_ENDPOINT: is_sound = take_endpoint(service, worker, body); break;
	case MESSAGE_PROBED: is_sound = take_probed(service, worker, body); break;
	case MESSAGE_LIMIT: is_sound = take_limit(service, worker, body); break;
	case MESSAGE_CONDITION: is_sound = take_condition(service, worker, body); break;
	case MESSAGE_WANT_RESOLVE: is_sound = take_want_resolve(service, worker, body); break;
	case MESSAGE_WANT_UDP:
	case MESSAGE_WANT_DIAL:
	case MESSAGE_WANT_RELAY: is_sound = take_want(service, worker, type, body); break;
	}
	return is_sound;
}

void report_worker_died(struct service *service, struct worker *worker)
{
	char members[64];
	uint64_t now = (uint64_t)wall_clock_ms();
	for (uint32_t slot = 0; slot < COUNTERS_TUNNELS; slot++) {
		const struct entry *entry = service_seated(service, worker, slot);
		if (entry == NULL)
			continue;
		/* Nobody writes there until the next process is given the tunnel. */
		struct counters_tunnel *counters = slot_tunnel(entry->slot);
		counters_zero_gauges(counters);
		if (counter_read(&counters->state) != TUNNEL_DISABLED) {
			counter_set(&counters->state, TUNNEL_STARTING);
			counter_set(&counters->state_since, now);
		}
		status_set_reason(entry->status, false, "the worker is being replaced");
	}
	snprintf(members, sizeof(members), "\"worker\":%u", worker_index(worker));
	events_publish(service->events, EVENT_WORKER_RESTARTED, NULL, members);
}
