#include "service/worker/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/endpoint.h"
#include "ipc/key.h"
#include "ipc/log.h"
#include "ipc/wall_clock.h"
#include "service/registry/status.h"

#define CHECKPOINT_LEAP_SECONDS 600 /* more than handshakes of a tunnel in use are apart */

/* Any report of a worker about one tunnel. */
struct news {
	uint32_t slot;
	uint64_t generation;
	union {
		struct message_state state; /* STATE, LIMIT */
		struct message_handshake handshake;
		struct message_endpoint endpoint;
		struct message_probed probed;
		struct message_condition condition;
		struct message_want_resolve want_resolve;
		struct message_health health;
	};
};

#define DECODER(name)                                                                                                                                \
	static bool decode_##name(struct message_reader *body, struct news *news)                                                                    \
	{                                                                                                                                            \
		bool is_sound = message_decode_##name(body, &news->name);                                                                            \
		news->slot = news->name.slot;                                                                                                        \
		news->generation = news->name.generation;                                                                                            \
		return is_sound;                                                                                                                     \
	}
DECODER(state)
DECODER(handshake)
DECODER(endpoint)
DECODER(probed)
DECODER(condition)
DECODER(want_resolve)
DECODER(health)

static void publish(const struct report *report, enum event_type type, const struct entry *entry, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void publish(const struct report *report, enum event_type type, const struct entry *entry, const char *format, ...)
{
	char *members = NULL;
	va_list arguments;
	va_start(arguments, format);
	int length = vasprintf(&members, format, arguments);
	va_end(arguments);
	if (length < 0)
		members = NULL;
	events_publish(report->events, type, entry->id, members);
	free(members);
}

static void tell_state(const struct report *report, struct entry *entry, struct news *news)
{
	struct message_state *message = &news->state;
	message->reason[sizeof(message->reason) - 1] = '\0';
	if (message->state == TUNNEL_DISABLED && spec_is_expired(&entry->snapshot->spec, wall_clock_ms()))
		snprintf(message->reason, sizeof(message->reason), "expired");
	const struct status_report told = { .generation = message->generation,
		                            .state = (enum tunnel_state)message->state,
		                            .since = (int64_t)counter_read(&slot_tunnel(entry->slot)->state_since) };
	status_set_report(entry->status, &told, message->reason);
	char *reason = events_quote(message->reason, strlen(message->reason));
	char healing[64] = "";
	if (message->healing != MESSAGE_HEALING_NONE)
		snprintf(healing, sizeof(healing), ",\"healing\":\"%s\",\"count\":%u", message_healing_name((enum message_healing)message->healing),
		         message->count);
	publish(report, EVENT_TUNNEL_STATE, entry, "\"state\":\"%s\",\"reason\":%s,\"generation\":%llu%s", tunnel_state_name(message->state),
	        reason == NULL ? "\"\"" : reason, (unsigned long long)message->generation, healing);
	free(reason);
	log_line(LOG_DEBUG, entry->id, "state %s%s%s", tunnel_state_name(message->state), message->reason[0] ? ": " : "", message->reason);
	report->told(report->owner, entry);
}

/* The seconds of a TAI64N label. */
static uint64_t seconds_of(const uint8_t label[12])
{
	uint64_t seconds = 0;
	for (int i = 0; i < 8; i++)
		seconds = seconds << 8 | label[i];
	return seconds;
}

static void tell_handshake(const struct report *report, struct entry *entry, struct news *news)
{
	struct message_handshake *message = &news->handshake;
	if (spec_peer_find(&entry->snapshot->spec, &message->peer) == NULL)
		return;
	/* It never steps back (W8). */
	if (memcmp(message->last_timestamp, entry->timestamp_floor, sizeof(entry->timestamp_floor)) > 0) {
		/* A clock that was set may be set back: after a leap the peer would refuse all that is not later. */
		if (seconds_of(message->last_timestamp) - seconds_of(entry->timestamp_floor) > CHECKPOINT_LEAP_SECONDS)
			checkpointer_hurry(report->checkpointer);
		memcpy(entry->timestamp_floor, message->last_timestamp, sizeof(entry->timestamp_floor));
		entry->is_dirty = true;
	}
	char key[KEY_TEXT_SIZE];
	key_format(&message->peer, key);
	publish(report, EVENT_TUNNEL_HANDSHAKE, entry, "\"peer\":\"%s\",\"completed\":%s,\"count\":%u", key, message->completed ? "true" : "false",
	        message->count);
	report->told(report->owner, entry);
}

static void tell_endpoint(const struct report *report, struct entry *entry, struct news *news)
{
	struct message_endpoint *message = &news->endpoint;
	if (spec_peer_find(&entry->snapshot->spec, &message->peer) == NULL)
		return;
	char key[KEY_TEXT_SIZE], endpoint[64];
	key_format(&message->peer, key);
	endpoint_format(&message->endpoint, endpoint);
	publish(report, EVENT_TUNNEL_ENDPOINT, entry, "\"peer\":\"%s\",\"endpoint\":\"%s\",\"count\":%u", key, endpoint, message->count);
}

static bool has_round_trip(const struct message_probed *message)
{
	return message->received > 0 && message->rtt_avg_ms >= 0 && message->rtt_avg_ms < 1e9;
}

static void keep_result(const struct entry *entry, const struct message_probed *message)
{
	struct status_probe probe = { .ok = message->ok,
		                      .at = wall_clock_ms(),
		                      .failures = message->failures,
		                      .rtt_ms = has_round_trip(message) ? message->rtt_avg_ms : -1,
		                      .exit_ip = message->exit_ip };
	snprintf(probe.detail, sizeof(probe.detail), "%.*s", (int)sizeof(probe.detail) - 1, message->detail);
	status_set_probe(entry->status, &probe);
}

static void tell_probed(const struct report *report, struct entry *entry, struct news *news)
{
	struct message_probed *message = &news->probed;
	/* The registry has another probe before the worker does: that result is the old one's. */
	if (message->request == 0 && message->generation == entry->snapshot->generation)
		keep_result(entry, message);
	char exit_ip[NETWORK_TEXT_SIZE + 16] = "null";
	if (message->exit_ip.family != 0) {
		char address[NETWORK_TEXT_SIZE];
		network_format_address(&message->exit_ip, address);
		snprintf(exit_ip, sizeof(exit_ip), "\"%s\"", address);
	}
	char *detail = events_quote(message->detail, strnlen(message->detail, sizeof(message->detail)));
	char round_trip[32] = "null";
	if (has_round_trip(message))
		snprintf(round_trip, sizeof(round_trip), "%.3f", message->rtt_avg_ms);
	publish(report, EVENT_TUNNEL_PROBE, entry,
	        "\"ok\":%s,\"sent\":%u,\"received\":%u,\"rtt_avg_ms\":%s,\"failures_in_a_row\":%u,\"exit_ip\":%s,\"detail\":%s",
	        message->ok ? "true" : "false", message->sent, message->received, round_trip, message->failures, exit_ip,
	        detail == NULL ? "\"\"" : detail);
	free(detail);
	report->told(report->owner, entry);
}

static void tell_limit(const struct report *report, struct entry *entry, struct news *news)
{
	(void)news;
	log_line(LOG_WARN, entry->id, "limits.total_bytes is used up");
	checkpointer_write(report->checkpointer);
}

static void tell_condition(const struct report *report, struct entry *entry, struct news *news)
{
	struct message_condition *message = &news->condition;
	enum message_condition_type type = (enum message_condition_type)message->type;
	char detail[160];
	message_condition_detail(type, message->value, detail);
	publish(report, EVENT_TUNNEL_CONDITION, entry, "\"condition\":\"%s\",\"holds\":%s,\"detail\":\"%s\"", message_condition_name(type),
	        message->value != 0 ? "true" : "false", message->value != 0 ? detail : "");
	if (message->value != 0)
		log_line(LOG_WARN, entry->id, "%s: %s", message_condition_name(type), detail);
}

static void tell_health(const struct report *report, struct entry *entry, struct news *news)
{
	static const char *const values[] = { [TUNNEL_HEALTH_UNKNOWN] = "null", [TUNNEL_HEALTHY] = "true", [TUNNEL_UNHEALTHY] = "false" };
	publish(report, EVENT_TUNNEL_HEALTH, entry, "\"healthy\":%s", values[news->health.health]);
	report->told(report->owner, entry);
}

static void tell_want_resolve(const struct report *report, struct entry *entry, struct news *news)
{
	struct message_want_resolve *message = &news->want_resolve;
	peer_lookup_again(report->lookups, entry, &message->peer);
}

static bool take_want(const struct report *report, struct worker *worker, enum message_type type, struct message_reader *body)
{
	struct message_want message;
	return message_decode_want(body, &message) && broker_take(report->broker, worker, type, &message);
}

typedef void teller(const struct report *report, struct entry *entry, struct news *news);

/* The registry has a change's generation before the worker does: what it tells until then is of the tunnel, too. */
static bool is_current(const struct entry *entry, uint64_t generation)
{
	return entry->snapshot->generation == generation || (entry->old_generation != 0 && entry->old_generation == generation);
}

/* What is of another tunnel or an earlier generation is out of date, which is no fault. A pool has no such news: its state is found here. */
static bool take(const struct report *report, const struct worker *worker, struct news *news, teller *tell)
{
	struct entry *entry = slot_table_at(report->slots, worker_index(worker), news->slot);
	if (entry != NULL && object_key_kind(entry->key) == SPEC_TUNNEL && is_current(entry, news->generation))
		tell(report, entry, news);
	return true;
}

bool report_take(const struct report *report, struct worker *worker, enum message_type type, struct message_reader *body)
{
	struct news news = { .generation = 0 };
	/* A number that is none of ours comes here too, so the type is no enumerator for the compiler's check. */
	switch ((int)type) {
	case MESSAGE_STATE: return decode_state(body, &news) && news.state.state < TUNNEL_STATE_COUNT && take(report, worker, &news, tell_state);
	case MESSAGE_HANDSHAKE: return decode_handshake(body, &news) && take(report, worker, &news, tell_handshake);
	case MESSAGE_ENDPOINT: return decode_endpoint(body, &news) && take(report, worker, &news, tell_endpoint);
	case MESSAGE_PROBED: return decode_probed(body, &news) && take(report, worker, &news, tell_probed);
	case MESSAGE_LIMIT: return decode_state(body, &news) && take(report, worker, &news, tell_limit);
	case MESSAGE_CONDITION: return decode_condition(body, &news) && take(report, worker, &news, tell_condition);
	case MESSAGE_HEALTH: return decode_health(body, &news) && take(report, worker, &news, tell_health);
	case MESSAGE_WANT_RESOLVE: return decode_want_resolve(body, &news) && take(report, worker, &news, tell_want_resolve);
	case MESSAGE_ENDED: return access_log_take(report->access_log, worker, body);
	case MESSAGE_WANT_UDP:
	case MESSAGE_WANT_DIAL:
	case MESSAGE_WANT_RELAY: return take_want(report, worker, type, body);
	}
	return false;
}

void report_worker_died(const struct report *report, struct worker *worker)
{
	char members[64];
	uint64_t now = (uint64_t)wall_clock_ms();
	for (uint32_t slot = 0; slot < COUNTERS_TUNNELS; slot++) {
		const struct entry *entry = slot_table_at(report->slots, worker_index(worker), slot);
		if (entry == NULL)
			continue;
		/* Nobody writes there until the next process is given the tunnel. */
		struct counters_tunnel *counters = slot_tunnel(entry->slot);
		counters_zero_gauges(counters);
		if (counter_read(&counters->state) != TUNNEL_DISABLED) {
			counter_set(&counters->state, TUNNEL_STARTING);
			counter_set(&counters->state_since, now);
		}
		status_set_report(entry->status, &(struct status_report){ .state = TUNNEL_STARTING }, "the worker is being replaced");
	}
	snprintf(members, sizeof(members), "\"worker\":%u", worker_index(worker));
	events_publish(report->events, EVENT_WORKER_RESTARTED, NULL, members);
}
