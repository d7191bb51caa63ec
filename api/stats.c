/* Statistics, read directly from the shared counters, so that a hung worker delays nobody. */
#include "api/handlers.h"
#include "api/listing.h"
#include "api/reply.h"
#include "api/tunnel_json.h"
#include "ipc/wall_clock.h"

/* The counters of one tunnel, or sums over many. */
struct numbers {
	uint64_t bytes_sent, bytes_received, throughput_sent, throughput_received;
	uint64_t wire_bytes_sent, wire_bytes_received, packets_sent, packets_received;
	uint64_t handshakes, handshake_failures, open, total, probes_ok, probes_failed;
	uint64_t dropped[COUNTERS_DROPS], failed[COUNTERS_FAILURES];
};

static void add_counters(struct numbers *to, const struct counters_tunnel *from)
{
	to->bytes_sent += counter_read(&from->bytes_sent);
	to->bytes_received += counter_read(&from->bytes_received);
	to->throughput_sent += counter_read(&from->throughput_sent);
	to->throughput_received += counter_read(&from->throughput_received);
	to->wire_bytes_sent += counter_read(&from->wire_bytes_sent);
	to->wire_bytes_received += counter_read(&from->wire_bytes_received);
	to->packets_sent += counter_read(&from->packets_sent);
	to->packets_received += counter_read(&from->packets_received);
	to->handshakes += counter_read(&from->handshakes);
	to->handshake_failures += counter_read(&from->handshake_failures);
	to->probes_ok += counter_read(&from->probes_ok);
	to->probes_failed += counter_read(&from->probes_failed);
	to->open += counters_open_connections(from);
	for (size_t i = 0; i < COUNTERS_PROTOCOLS; i++)
		to->total += counter_read(&from->connections_ok[i]) + counter_read(&from->connections_failed_by_protocol[i]);
	for (size_t i = 0; i < COUNTERS_DROPS; i++)
		to->dropped[i] += counter_read(&from->dropped[i]);
	for (size_t i = 0; i < COUNTERS_FAILURES; i++)
		to->failed[i] += counter_read(&from->connections_failed[i]);
}

static void put_number(struct text *text, const char *name, uint64_t value)
{
	text_put(text, ",\"");
	text_put(text, name);
	text_put(text, "\":");
	text_put_u64(text, value);
}

static void put_entry(struct text *text, size_t index, const char *name, uint64_t value)
{
	text_put(text, index > 0 ? ",\"" : "\"");
	text_put(text, name);
	text_put(text, "\":");
	text_put_u64(text, value);
}

/* Members with a comma before each. */
static void write_numbers(struct text *text, const struct numbers *n)
{
	put_number(text, "bytes_sent", n->bytes_sent);
	put_number(text, "bytes_received", n->bytes_received);
	put_number(text, "throughput_sent", n->throughput_sent);
	put_number(text, "throughput_received", n->throughput_received);
	put_number(text, "wire_bytes_sent", n->wire_bytes_sent);
	put_number(text, "wire_bytes_received", n->wire_bytes_received);
	put_number(text, "packets_sent", n->packets_sent);
	put_number(text, "packets_received", n->packets_received);
	put_number(text, "handshakes", n->handshakes);
	put_number(text, "handshake_failures", n->handshake_failures);
	text_put(text, ",\"dropped\":{");
	for (unsigned i = 0; i < COUNTERS_DROPS; i++)
		put_entry(text, i, counters_drop_name(i), n->dropped[i]);
	text_put(text, "}");
	put_number(text, "connections_open", n->open);
	put_number(text, "connections_total", n->total);
	text_put(text, ",\"connections_failed\":{");
	for (unsigned i = 0; i < COUNTERS_FAILURES; i++)
		put_entry(text, i, counters_failure_name((enum counters_failure)i), n->failed[i]);
	text_put(text, "},\"probes\":{");
	put_entry(text, 0, "ok", n->probes_ok);
	put_entry(text, 1, "failed", n->probes_failed);
	text_put_char(text, '}');
}

static void put_uptime(struct text *text, const struct snapshot_status *status, int64_t now_ms)
{
	bool is_running = status->started_at > 0 && status->state != TUNNEL_DISABLED && now_ms > status->started_at;
	text_put(text, ",\"uptime\":");
	text_put_milli(text, is_running ? (uint64_t)(now_ms - status->started_at) : 0);
}

static void write_stats(struct text *text, const struct snapshot *snapshot, const struct numbers *numbers, int64_t now_ms)
{
	struct snapshot_status status;
	snapshot_status(snapshot, &status);
	int64_t last = api_tunnel_last_handshake(snapshot);
	text_put(text, "{\"id\":");
	text_put_json(text, snapshot->id);
	put_number(text, "generation", snapshot->generation);
	text_put(text, ",\"state\":");
	text_put_json(text, tunnel_state_name(status.state));
	text_put(text, ",\"health\":");
	api_tunnel_write_health(text, snapshot);
	put_uptime(text, &status, now_ms);
	put_number(text, "bytes_used", snapshot->counters != NULL ? counter_read(&snapshot->counters->total_bytes_used) : 0);
	write_numbers(text, numbers);
	text_put(text, ",\"last_handshake_at\":");
	text_put_json_time(text, last);
	text_put(text, ",\"last_handshake_age\":");
	api_tunnel_put_age(text, last, now_ms);
	text_put(text, ",\"peers\":");
	api_tunnel_write_peers(text, snapshot, now_ms);
	text_put_char(text, '}');
}

void api_stats_one(struct api_request *request)
{
	struct snapshot *snapshot = api_request_object(request);
	if (snapshot == NULL)
		return;
	struct numbers numbers = { 0 };
	if (snapshot->counters != NULL)
		add_counters(&numbers, snapshot->counters);
	struct text body;
	text_init(&body);
	write_stats(&body, snapshot, &numbers, wall_clock_ms());
	snapshot_release(snapshot);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

static void add_numbers(struct numbers *to, const struct numbers *from)
{
	_Static_assert(sizeof(*to) % sizeof(uint64_t) == 0, "numbers hold nothing but numbers");
	uint64_t *sums = (uint64_t *)to;
	const uint64_t *terms = (const uint64_t *)from;
	for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
		sums[i] += terms[i];
}

void api_stats_all(struct api_request *request)
{
	struct api_listing listing;
	if (!api_listing_get(request, SPEC_TUNNEL, false, &listing))
		return;
	struct numbers totals = { 0 };
	struct text body;
	text_init(&body);
	int64_t now_ms = wall_clock_ms();
	text_put(&body, "{\"tunnels\":[");
	for (size_t i = 0; i < listing.count; i++) {
		struct numbers numbers = { 0 };
		if (listing.snapshots[i]->counters != NULL)
			add_counters(&numbers, listing.snapshots[i]->counters);
		if (i > 0)
			text_put_char(&body, ',');
		write_stats(&body, listing.snapshots[i], &numbers, now_ms);
		add_numbers(&totals, &numbers);
	}
	text_printf(&body, "],\"totals\":{\"tunnels\":%zu", listing.count);
	write_numbers(&body, &totals);
	text_put(&body, "}}");
	api_listing_clear(&listing);
	api_reply_json(request, MHD_HTTP_OK, &body);
}

static void put_bits_sent(struct text *text, const struct history_point *point)
{
	text_put_u64(text, (uint64_t)point->sent * 8);
}

static void put_bits_received(struct text *text, const struct history_point *point)
{
	text_put_u64(text, (uint64_t)point->received * 8);
}

static void put_open(struct text *text, const struct history_point *point)
{
	text_put_u64(text, point->connections);
}

static void put_rtt(struct text *text, const struct history_point *point)
{
	if (point->rtt_us == 0)
		text_put(text, "null");
	else
		text_put_milli(text, point->rtt_us);
}

static void put_series(struct text *text, const struct history *history, const char *name,
                       void (*put)(struct text *text, const struct history_point *point))
{
	text_printf(text, ",\"%s\":[", name);
	for (size_t i = 0; i < history->count; i++) {
		if (i > 0)
			text_put_char(text, ',');
		put(text, history_at(history, i));
	}
	text_put_char(text, ']');
}

static void put_bound(struct text *text, const char *name, const struct history *history, int64_t at)
{
	text_printf(text, ",\"%s\":", name);
	if (history->count == 0)
		text_put(text, "null");
	else
		text_put_json_time(text, at);
}

void api_stats_history(struct api_request *request)
{
	struct snapshot *snapshot = api_request_object(request);
	if (snapshot == NULL)
		return;
	struct history history;
	if (!snapshot_history(snapshot, &history))
		history = (struct history){ .count = 0 };
	snapshot_release(snapshot);
	struct text body;
	text_init(&body);
	text_printf(&body, "{\"step\":%d", HISTORY_STEP_MS / 1000);
	put_bound(&body, "since", &history, history.until - (int64_t)history.count * HISTORY_STEP_MS);
	put_bound(&body, "until", &history, history.until);
	put_series(&body, &history, "throughput_sent", put_bits_sent);
	put_series(&body, &history, "throughput_received", put_bits_received);
	put_series(&body, &history, "connections_open", put_open);
	put_series(&body, &history, "rtt_ms", put_rtt);
	text_put_char(&body, '}');
	api_reply_json(request, MHD_HTTP_OK, &body);
}
