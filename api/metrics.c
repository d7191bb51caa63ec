/* /metrics in the Prometheus text format. Samples of a family must stand together, so one pass over the tunnels writes each family
 * into a text of its own, and the texts are joined at the end. */
#include <stdio.h>

#include "api/handlers.h"
#include "api/listing.h"
#include "api/reply.h"
#include "api/tunnel_json.h"
#include "ipc/network.h"

enum family {
	FAMILY_WG_SENT,
	FAMILY_WG_RECEIVED,
	FAMILY_WG_HANDSHAKE,
	FAMILY_UP,
	FAMILY_CONDITION,
	FAMILY_INFO,
	FAMILY_OPEN,
	FAMILY_TOTAL,
	FAMILY_BYTES,
	FAMILY_HANDSHAKES,
	FAMILY_HEALS,
	FAMILY_DROPPED,
	FAMILY_PROBES,
	FAMILY_COUNT
};

static const struct {
	const char *name, *type, *help;
} families[] = {
	[FAMILY_WG_SENT] = { "wireguard_sent_bytes_total", "counter",
	                     "Bytes sent to the peer: UDP payload of all messages. The label interface is the id of the tunnel." },
	[FAMILY_WG_RECEIVED] = { "wireguard_received_bytes_total", "counter", "Bytes received from the peer: UDP payload of all messages." },
	[FAMILY_WG_HANDSHAKE] = { "wireguard_latest_handshake_seconds", "gauge", "UNIX time of the peer's latest handshake." },
	[FAMILY_UP] = { "warren_tunnel_up", "gauge", "1 when the tunnel's state is up." },
	[FAMILY_CONDITION] = { "warren_tunnel_condition", "gauge", "1 while the condition holds, as in status.conditions." },
	[FAMILY_INFO] = { "warren_tunnel_info", "gauge", "Listening addresses and peer endpoints of the tunnel." },
	[FAMILY_OPEN] = { "warren_proxy_connections", "gauge", "Open proxied connections." },
	[FAMILY_TOTAL] = { "warren_proxy_connections_total", "counter", "Proxied connections requested, by result." },
	[FAMILY_BYTES] = { "warren_proxy_bytes_total", "counter", "Payload through the proxy and forwards." },
	[FAMILY_HANDSHAKES] = { "warren_handshakes_total", "counter", "Handshakes by result." },
	[FAMILY_HEALS] = { "warren_heals_total", "counter", "Actions taken to reach a silent peer again." },
	[FAMILY_DROPPED] = { "warren_dropped_packets_total", "counter", "Packets dropped, by reason." },
	[FAMILY_PROBES] = { "warren_probes_total", "counter", "Probes by result." },
};
_Static_assert(sizeof(families) / sizeof(families[0]) == FAMILY_COUNT, "a name for each family");

struct page {
	struct text texts[FAMILY_COUNT];
	struct text labels; /* scratch: of the peer at hand */
	uint64_t states[TUNNEL_STATE_COUNT];
};

#define SAMPLE_MAX 256 /* a name, an id and the labels below are shorter */

/* A page may have hundreds of thousands of these, so the room is reserved once. An id has only letters, digits and ._-, so it needs no escapes. */
static void put_sample(struct page *page, enum family family, const char *tunnel, const char *labels, uint64_t value)
{
	struct text *text = &page->texts[family];
	char *room = text_reserve(text, SAMPLE_MAX), *at = room;
	if (room == NULL)
		return;
	at = stpcpy(at, families[family].name);
	at = stpcpy(at, "{tunnel=\"");
	at = stpcpy(at, tunnel);
	at = stpcpy(at, labels);
	at = stpcpy(at, "} ");
	at += text_format_u64(at, value);
	*at++ = '\n';
	text->length += (size_t)(at - room);
}

static void put_allowed_ips(struct text *text, const struct spec_peer *peer)
{
	for (size_t i = 0; i < peer->allowed_ip_count; i++) {
		char address[NETWORK_TEXT_SIZE];
		network_format_address(&peer->allowed_ips[i], address);
		if (i > 0)
			text_put_char(text, ',');
		text_put(text, address);
		text_put_char(text, '/');
		text_put_u64(text, peer->allowed_ips[i].prefix);
	}
}

static void write_peer(struct page *page, const struct snapshot *snapshot, size_t index)
{
	const struct counters_peer *counters = api_tunnel_peer_counters(snapshot, index);
	if (counters == NULL)
		return;
	struct text *labels = &page->labels;
	labels->length = 0;
	text_put(labels, "{interface=\"");
	text_put(labels, snapshot->id);
	text_put(labels, "\",public_key=\"");
	text_put_base64(labels, snapshot->spec.peers[index].public_key.bytes, 32);
	text_put(labels, "\",allowed_ips=\"");
	put_allowed_ips(labels, &snapshot->spec.peers[index]);
	text_put(labels, "\"} ");
	uint64_t handshake = counter_read(&counters->last_handshake_at);
	const uint64_t values[] = { counter_read(&counters->bytes_sent), counter_read(&counters->bytes_received), handshake };
	for (enum family f = FAMILY_WG_SENT; f <= (handshake > 0 ? FAMILY_WG_HANDSHAKE : FAMILY_WG_RECEIVED); f++) {
		struct text *text = &page->texts[f];
		text_put(text, families[f].name);
		text_put_n(text, labels->bytes != NULL ? labels->bytes : "", labels->length);
		if (f == FAMILY_WG_HANDSHAKE)
			text_put_milli(text, values[f]);
		else
			text_put_u64(text, values[f]);
		text_put_char(text, '\n');
		text->failed |= labels->failed;
	}
}

static void write_info(struct page *page, const struct snapshot *snapshot)
{
	struct text *text = &page->texts[FAMILY_INFO];
	text_put(text, "warren_tunnel_info{tunnel=\"");
	text_put(text, snapshot->id);
	text_put(text, "\",listen=\"");
	for (size_t i = 0; i < snapshot->listen_count; i++) {
		if (i > 0)
			text_put_char(text, ',');
		text_put_label(text, snapshot->listen[i]);
	}
	text_put(text, "\",endpoint=\"");
	for (size_t i = 0, written = 0; i < snapshot->spec.peer_count; i++) {
		size_t before = text->length;
		if (written > 0)
			text_put_char(text, ',');
		if (api_tunnel_put_endpoint(text, snapshot, i))
			written++;
		else if (!text->failed)
			text->length = before;
	}
	text_put(text, "\"} 1\n");
}

static void write_connections(struct page *page, const char *id, const struct counters_tunnel *c)
{
	static const char *const open[] = { "\",protocol=\"http\"",   "\",protocol=\"connect\"", "\",protocol=\"socks5\"",
		                            "\",protocol=\"socks4\"", "\",protocol=\"forward\"", "\",protocol=\"unknown\"" };
	_Static_assert(sizeof(open) / sizeof(open[0]) == COUNTERS_PROTOCOLS, "labels for each protocol");
	for (size_t p = 0; p < COUNTERS_PROTOCOLS; p++) {
		char labels[64];
		uint64_t done = counter_read(&c->connections_ok[p]), failed = counter_read(&c->connections_failed_by_protocol[p]);
		/* Connections that never sent a byte are rare: no series until there is one. */
		if (p == COUNTERS_UNKNOWN && done == 0 && failed == 0)
			continue;
		size_t length = strlen(open[p]);
		memcpy(labels, open[p], length + 1);
		put_sample(page, FAMILY_OPEN, id, labels, counter_read(&c->connections_open[p]));
		snprintf(labels + length, sizeof(labels) - length, ",result=\"ok\"");
		put_sample(page, FAMILY_TOTAL, id, labels, done);
		snprintf(labels + length, sizeof(labels) - length, ",result=\"failed\"");
		put_sample(page, FAMILY_TOTAL, id, labels, failed);
	}
}

static void write_conditions(struct page *page, const struct snapshot *snapshot)
{
	const struct counters_tunnel *c = snapshot->counters;
	uint64_t limit = snapshot->spec.limits.total_bytes;
	if (limit > 0 && counter_read(&c->total_bytes_used) >= limit)
		put_sample(page, FAMILY_CONDITION, snapshot->id, "\",type=\"limit_reached\"", 1);
	for (unsigned i = 0; i < MESSAGE_CONDITIONS; i++) {
		char labels[64];
		snprintf(labels, sizeof(labels), "\",type=\"%s\"", message_condition_name((enum message_condition_type)i));
		if (counter_read(&c->conditions[i]) != 0)
			put_sample(page, FAMILY_CONDITION, snapshot->id, labels, 1);
	}
}

static void write_heals(struct page *page, const char *id, const struct counters_tunnel *c)
{
	for (unsigned h = MESSAGE_HEALING_HANDSHAKE; h < MESSAGE_HEALINGS; h++) {
		uint64_t count = counter_read(&c->healed[h]);
		if (count > 0)
			text_printf(&page->texts[FAMILY_HEALS], "warren_heals_total{tunnel=\"%s\",remedy=\"%s\"} %llu\n", id, message_healing_name(h),
			            (unsigned long long)count);
	}
}

static void write_dropped(struct page *page, const char *id, const struct counters_tunnel *c)
{
	struct text *text = &page->texts[FAMILY_DROPPED];
	for (unsigned d = 0; d < COUNTERS_DROPS; d++) {
		uint64_t count = counter_read(&c->dropped[d]);
		if (count > 0)
			text_printf(text, "warren_dropped_packets_total{tunnel=\"%s\",reason=\"%s\"} %llu\n", id, counters_drop_name(d),
			            (unsigned long long)count);
	}
}

static void write_tunnel(struct page *page, const struct snapshot *snapshot)
{
	struct snapshot_status status;
	snapshot_status(snapshot, &status);
	page->states[status.state < TUNNEL_STATE_COUNT ? status.state : TUNNEL_FAILED]++;
	put_sample(page, FAMILY_UP, snapshot->id, "\"", status.state == TUNNEL_UP);
	write_info(page, snapshot);
	for (size_t i = 0; i < snapshot->spec.peer_count; i++)
		write_peer(page, snapshot, i);
	const struct counters_tunnel *c = snapshot->counters;
	if (c == NULL)
		return;
	write_conditions(page, snapshot);
	write_connections(page, snapshot->id, c);
	put_sample(page, FAMILY_BYTES, snapshot->id, "\",direction=\"sent\"", counter_read(&c->bytes_sent));
	put_sample(page, FAMILY_BYTES, snapshot->id, "\",direction=\"received\"", counter_read(&c->bytes_received));
	put_sample(page, FAMILY_HANDSHAKES, snapshot->id, "\",result=\"ok\"", counter_read(&c->handshakes));
	put_sample(page, FAMILY_HANDSHAKES, snapshot->id, "\",result=\"failed\"", counter_read(&c->handshake_failures));
	write_heals(page, snapshot->id, c);
	write_dropped(page, snapshot->id, c);
	if (snapshot->spec.probe.type == SPEC_PROBE_NONE)
		return;
	put_sample(page, FAMILY_PROBES, snapshot->id, "\",result=\"ok\"", counter_read(&c->probes_ok));
	put_sample(page, FAMILY_PROBES, snapshot->id, "\",result=\"failed\"", counter_read(&c->probes_failed));
}

static void write_connect_histogram(struct text *text, const struct service_worker_stats *stats)
{
	text_put_family(text, "warren_proxy_connect_duration_seconds", "histogram",
	                "Time from a client's request to the connection inside the tunnel.");
	uint64_t below = 0;
	for (size_t b = 0; b < COUNTERS_BUCKETS; b++) {
		below += stats->connect_buckets[b];
		if (b < COUNTERS_BUCKETS - 1)
			text_printf(text, "warren_proxy_connect_duration_seconds_bucket{le=\"%g\"} %llu\n", counters_bucket_bounds[b],
			            (unsigned long long)below);
		else
			text_printf(text, "warren_proxy_connect_duration_seconds_bucket{le=\"+Inf\"} %llu\n", (unsigned long long)below);
	}
	text_put(text, "warren_proxy_connect_duration_seconds_sum ");
	text_put_double(text, stats->connect_sum);
	text_printf(text, "\nwarren_proxy_connect_duration_seconds_count %llu\n", (unsigned long long)below);
}

static void write_daemon(struct text *text, struct service *service, const struct page *page)
{
	text_put_family(text, "warren_build_info", "gauge", "The program's version.");
	text_put(text, "warren_build_info{version=\"" WARREN_VERSION "\"} 1\n");
	text_put_family(text, "warren_tunnels", "gauge", "Tunnels by state.");
	for (unsigned s = 0; s < TUNNEL_STATE_COUNT; s++)
		text_printf(text, "warren_tunnels{state=\"%s\"} %llu\n", tunnel_state_name((enum tunnel_state)s),
		            (unsigned long long)page->states[s]);
	struct service_worker_stats stats = { 0 };
	service_worker_stats(service, &stats);
	text_put_family(text, "warren_workers", "gauge", "Worker processes.");
	text_printf(text, "warren_workers %u\n", stats.workers);
	text_put_family(text, "warren_workers_ready", "gauge", "Worker processes that answer.");
	text_printf(text, "warren_workers_ready %u\n", stats.workers_ready);
	text_put_family(text, "warren_worker_restarts_total", "counter", "Workers replaced.");
	text_printf(text, "warren_worker_restarts_total %llu\n", (unsigned long long)stats.restarts);
	write_connect_histogram(text, &stats);
}

void api_metrics_get(struct api_request *request)
{
	struct api_listing listing;
	if (!api_listing_get(request, false, &listing))
		return;
	struct page page = { 0 };
	for (size_t i = 0; i < listing.count; i++)
		write_tunnel(&page, listing.snapshots[i]);
	api_listing_clear(&listing);
	struct text body;
	text_init(&body);
	size_t length = 0;
	for (size_t f = 0; f < FAMILY_COUNT; f++)
		length += page.texts[f].length;
	text_reserve(&body, length + (length >> 4) + BUFSIZ);
	write_daemon(&body, request->api->service, &page);
	for (size_t f = 0; f < FAMILY_COUNT; f++) {
		text_put_family(&body, families[f].name, families[f].type, families[f].help);
		text_put_n(&body, page.texts[f].bytes != NULL ? page.texts[f].bytes : "", page.texts[f].length);
		body.failed |= page.texts[f].failed;
		text_clear(&page.texts[f]);
	}
	text_clear(&page.labels);
	api_measure_write(request->api->measure, &body);
	api_process_write(request->api->process, &body);
	api_reply_send(request, MHD_HTTP_OK, api_reply_create(request, "text/plain; version=0.0.4; charset=utf-8", &body));
}
