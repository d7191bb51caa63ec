/* /metrics in the Prometheus text format. Samples of a family must stand together, so one pass over the tunnels writes each family
 * into a text of its own, and the texts are joined at the end. */
#include <stdio.h>
#include <stdlib.h>

#include "api/handlers.h"
#include "api/listing.h"
#include "api/reply.h"
#include "api/tunnel_json.h"
#include "ipc/network.h"
#include "ipc/program_version.h"

enum family {
	FAMILY_WG_SENT,
	FAMILY_WG_RECEIVED,
	FAMILY_WG_HANDSHAKE,
	FAMILY_UP,
	FAMILY_ENABLED,
	FAMILY_HEALTHY,
	FAMILY_LABELS,
	FAMILY_CONDITION,
	FAMILY_QUOTA,
	FAMILY_QUOTA_USED,
	FAMILY_INFO,
	FAMILY_OPEN,
	FAMILY_TOTAL,
	FAMILY_BYTES,
	FAMILY_HANDSHAKES,
	FAMILY_HEALS,
	FAMILY_DROPPED,
	FAMILY_PROBES,
	FAMILY_PROBE_RTT,
	FAMILY_POOL_MEMBERS,
	FAMILY_POOL_TOTAL,
	FAMILY_POOL_SESSIONS,
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
	[FAMILY_ENABLED] = { "warren_tunnel_enabled", "gauge", "0 when the tunnel's state is disabled, else 1." },
	[FAMILY_HEALTHY] = { "warren_tunnel_healthy", "gauge", "1 when the tunnel is healthy, 0 when it is not; no sample when that is unknown." },
	[FAMILY_LABELS] = { "warren_tunnel_labels", "gauge", "The tunnel's labels, as label_KEY with an underscore for what no name has." },
	[FAMILY_CONDITION] = { "warren_tunnel_condition", "gauge", "1 while the condition holds, as in status.conditions." },
	[FAMILY_QUOTA] = { "warren_tunnel_quota_bytes", "gauge", "limits.total_bytes of a tunnel that has it." },
	[FAMILY_QUOTA_USED] = { "warren_tunnel_quota_used_bytes", "gauge", "Payload that counts towards it; kept over restarts." },
	[FAMILY_INFO] = { "warren_tunnel_info", "gauge", "Listening addresses and peer endpoints of the tunnel." },
	[FAMILY_OPEN] = { "warren_proxy_connections", "gauge", "Open proxied connections." },
	[FAMILY_TOTAL] = { "warren_proxy_connections_total", "counter", "Proxied connections requested, by result." },
	[FAMILY_BYTES] = { "warren_proxy_bytes_total", "counter", "Payload through the proxy and forwards." },
	[FAMILY_HANDSHAKES] = { "warren_handshakes_total", "counter", "Handshakes by result." },
	[FAMILY_HEALS] = { "warren_heals_total", "counter", "Actions taken to reach a silent peer again." },
	[FAMILY_DROPPED] = { "warren_dropped_packets_total", "counter", "Packets dropped, by reason." },
	[FAMILY_PROBES] = { "warren_probes_total", "counter", "Probes by result." },
	[FAMILY_PROBE_RTT] = { "warren_probe_rtt_seconds", "gauge", "Round trip of the last probe, if it succeeded." },
	[FAMILY_POOL_MEMBERS] = { "warren_pool_members", "gauge", "Members of the pool, by state." },
	[FAMILY_POOL_TOTAL] = { "warren_pool_connections_total", "counter", "Connections through the pool, by result." },
	[FAMILY_POOL_SESSIONS] = { "warren_pool_sessions", "gauge", "Sticky keys of the pool that have a tunnel." },
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

static void write_quota(struct page *page, const struct snapshot *snapshot)
{
	uint64_t limit = snapshot->spec.limits.total_bytes;
	if (limit == 0)
		return;
	put_sample(page, FAMILY_QUOTA, snapshot->id, "\"", limit);
	put_sample(page, FAMILY_QUOTA_USED, snapshot->id, "\"", counter_read(&snapshot->counters->total_bytes_used));
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

static void write_health(struct page *page, const struct snapshot *snapshot)
{
	struct snapshot_health health;
	snapshot_health(snapshot, &health);
	if (health.health != TUNNEL_HEALTH_UNKNOWN)
		put_sample(page, FAMILY_HEALTHY, snapshot->id, "\"", health.health == TUNNEL_HEALTHY);
	if (health.has_probe && health.probe.rtt_ms >= 0)
		text_printf(&page->texts[FAMILY_PROBE_RTT], "warren_probe_rtt_seconds{tunnel=\"%s\"} %.6f\n", snapshot->id,
		            health.probe.rtt_ms / 1e3);
}

/* As Prometheus writes names: what a name cannot have is an underscore. */
static void name_label(const char *key, char name[64])
{
	size_t i = 0;
	for (; key[i] != '\0' && i < 63; i++) {
		name[i] = key[i];
		if (strchr("./-", key[i]) != NULL)
			name[i] = '_';
	}
	name[i] = '\0';
}

static bool is_name_taken(const struct snapshot *snapshot, size_t before, const char *name)
{
	char other[64];
	for (size_t i = 0; i < before; i++) {
		name_label(snapshot->labels[i].key, other);
		if (strcmp(other, name) == 0)
			return true;
	}
	return false;
}

/* One for each tunnel, with labels or without, so that a query can be narrowed by it. Of keys that become the same name the first is written: a name
 * that stands twice would spoil the page. */
static void write_labels(struct page *page, const struct snapshot *snapshot)
{
	struct text *text = &page->texts[FAMILY_LABELS];
	char name[64];
	text_printf(text, "warren_tunnel_labels{tunnel=\"%s\"", snapshot->id);
	for (size_t i = 0; i < snapshot->label_count; i++) {
		name_label(snapshot->labels[i].key, name);
		if (is_name_taken(snapshot, i, name))
			continue;
		text_printf(text, ",label_%s=\"", name);
		text_put_label(text, snapshot->labels[i].value);
		text_put_char(text, '"');
	}
	text_put(text, "} 1\n");
}

static void write_tunnel(struct page *page, const struct snapshot *snapshot)
{
	struct snapshot_status status;
	snapshot_status(snapshot, &status);
	page->states[status.state < TUNNEL_STATE_COUNT ? status.state : TUNNEL_FAILED]++;
	put_sample(page, FAMILY_UP, snapshot->id, "\"", status.state == TUNNEL_UP);
	put_sample(page, FAMILY_ENABLED, snapshot->id, "\"", status.state != TUNNEL_DISABLED);
	write_health(page, snapshot);
	write_labels(page, snapshot);
	write_info(page, snapshot);
	for (size_t i = 0; i < snapshot->spec.peer_count; i++)
		write_peer(page, snapshot, i);
	const struct counters_tunnel *c = snapshot->counters;
	if (c == NULL)
		return;
	write_conditions(page, snapshot);
	write_quota(page, snapshot);
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

static void write_pool_members(struct text *text, const struct api_request *request, const char *id)
{
	struct pool_member_view *views;
	size_t count = service_pool_members(request->api->service, request->caller.access, id, &views), states[TUNNEL_STATE_COUNT] = { 0 };
	for (size_t i = 0; count != SERVICE_NO_POOL && i < count; i++)
		states[views[i].state]++;
	free(views);
	for (unsigned state = 0; state < TUNNEL_STATE_COUNT; state++)
		text_printf(text, "warren_pool_members{pool=\"%s\",state=\"%s\"} %zu\n", id, tunnel_state_name((enum tunnel_state)state),
		            states[state]);
}

static void write_pool(struct page *page, const struct api_request *request, const struct snapshot *pool)
{
	uint64_t done = 0, failed = 0;
	for (size_t p = 0; pool->counters != NULL && p < COUNTERS_PROTOCOLS; p++) {
		done += counter_read(&pool->counters->connections_ok[p]);
		failed += counter_read(&pool->counters->connections_failed_by_protocol[p]);
	}
	write_pool_members(&page->texts[FAMILY_POOL_MEMBERS], request, pool->id);
	text_printf(&page->texts[FAMILY_POOL_TOTAL], "warren_pool_connections_total{pool=\"%s\",result=\"ok\"} %llu\n", pool->id,
	            (unsigned long long)done);
	text_printf(&page->texts[FAMILY_POOL_TOTAL], "warren_pool_connections_total{pool=\"%s\",result=\"failed\"} %llu\n", pool->id,
	            (unsigned long long)failed);
	text_printf(&page->texts[FAMILY_POOL_SESSIONS], "warren_pool_sessions{pool=\"%s\"} %zu\n", pool->id,
	            service_pool_session_count(request->api->service, pool->id));
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

/* Numbers of a worker that are not known have no sample. */
static void write_workers(struct text *text, struct service *service, unsigned count)
{
	struct service_worker_usage usage;
	text_put_family(text, "warren_worker_cpu_seconds_total", "counter", "CPU time of the worker and of those that it replaced.");
	for (unsigned i = 0; i < count; i++) {
		service_worker_usage(service, i, &usage);
		if (usage.is_spare && usage.cpu_us == 0)
			continue;
		text_printf(text, "warren_worker_cpu_seconds_total{worker=\"%u\"} %.6f\n", i, (double)usage.cpu_us / 1e6);
	}
	text_put_family(text, "warren_worker_resident_bytes", "gauge", "Resident memory of the worker.");
	for (unsigned i = 0; i < count; i++) {
		service_worker_usage(service, i, &usage);
		if (usage.resident_bytes != 0)
			text_printf(text, "warren_worker_resident_bytes{worker=\"%u\"} %llu\n", i, (unsigned long long)usage.resident_bytes);
	}
}

static void write_fleet(struct text *text, struct service *service)
{
	struct roster_summary summary;
	if (!service_fleet(service, &summary))
		return;
	text_put_family(text, "warren_fleet_connected", "gauge", "0 while this node is cut off from its fleet.");
	text_printf(text, "warren_fleet_connected %d\n", summary.is_connected);
	text_put_family(text, "warren_fleet_lease_seconds", "gauge", "Time until this node is cut off, unless it hears itself through etcd.");
	text_printf(text, "warren_fleet_lease_seconds %.3f\n", (double)summary.lease_ms / 1000);
	text_put_family(text, "warren_fleet_etcd_bytes", "gauge", "Size of the database of etcd, of its fullest member; 0: not known.");
	text_printf(text, "warren_fleet_etcd_bytes %llu\n", (unsigned long long)summary.etcd_bytes);
	text_put_family(text, "warren_fleet_etcd_quota_bytes", "gauge", "The quota of that member, at which etcd takes no heartbeats; 0: not known.");
	text_printf(text, "warren_fleet_etcd_quota_bytes %llu\n", (unsigned long long)summary.etcd_quota);
	text_put_family(text, "warren_fleet_tunnels", "gauge", "Tunnels of the fleet, by the state of their node.");
	for (unsigned s = 0; s < ROSTER_STATES; s++)
		text_printf(text, "warren_fleet_tunnels{state=\"%s\"} %llu\n", roster_state_name((enum roster_state)s),
		            (unsigned long long)summary.tunnels[s]);
	text_printf(text, "warren_fleet_tunnels{state=\"unplaced\"} %llu\n", (unsigned long long)summary.unplaced);
}

static void write_daemon(struct text *text, struct service *service, const struct page *page, bool is_whole)
{
	text_put_family(text, "warren_build_info", "gauge", "The program's version.");
	text_printf(text, "warren_build_info{version=\"%s\"} 1\n", program_version.text);
	text_put_family(text, "warren_tunnels", "gauge", "Tunnels by state.");
	for (unsigned s = 0; s < TUNNEL_STATE_COUNT; s++)
		text_printf(text, "warren_tunnels{state=\"%s\"} %llu\n", tunnel_state_name((enum tunnel_state)s),
		            (unsigned long long)page->states[s]);
	/* What all tunnels together do is not for who may see only some. */
	if (!is_whole)
		return;
	struct service_worker_stats stats = { 0 };
	service_worker_stats(service, &stats);
	text_put_family(text, "warren_workers", "gauge", "Worker processes.");
	text_printf(text, "warren_workers %u\n", stats.workers);
	text_put_family(text, "warren_workers_ready", "gauge", "Worker processes that answer.");
	text_printf(text, "warren_workers_ready %u\n", stats.workers_ready);
	text_put_family(text, "warren_worker_restarts_total", "counter", "Workers replaced.");
	text_printf(text, "warren_worker_restarts_total %llu\n", (unsigned long long)stats.restarts);
	text_put_family(text, "warren_access_log_dropped_total", "counter", "Lines of the access log dropped: the disk or its reader was slow.");
	text_printf(text, "warren_access_log_dropped_total %llu\n", (unsigned long long)stats.access_log_dropped);
	text_put_family(text, "warren_store_writable", "gauge", "0 while the disk is full: tunnels run on, but nothing can be created.");
	text_printf(text, "warren_store_writable %d\n", service_can_store(service));
	write_workers(text, service, stats.places);
	write_fleet(text, service);
	write_connect_histogram(text, &stats);
}

void api_metrics_get(struct api_request *request)
{
	struct api_listing listing, pools;
	if (!api_listing_get(request, SPEC_TUNNEL, false, &listing))
		return;
	if (!api_listing_get(request, SPEC_POOL, false, &pools)) {
		api_listing_clear(&listing);
		return;
	}
	struct page page = { 0 };
	for (size_t i = 0; i < listing.count; i++)
		write_tunnel(&page, listing.snapshots[i]);
	for (size_t i = 0; i < pools.count; i++)
		write_pool(&page, request, pools.snapshots[i]);
	api_listing_clear(&listing);
	api_listing_clear(&pools);
	struct text body;
	text_init(&body);
	size_t length = 0;
	for (size_t f = 0; f < FAMILY_COUNT; f++)
		length += page.texts[f].length;
	text_reserve(&body, length + (length >> 4) + BUFSIZ);
	bool is_whole = access_is_whole(request->caller.access);
	write_daemon(&body, request->api->service, &page, is_whole);
	for (size_t f = 0; f < FAMILY_COUNT; f++) {
		text_put_family(&body, families[f].name, families[f].type, families[f].help);
		text_put_n(&body, page.texts[f].bytes != NULL ? page.texts[f].bytes : "", page.texts[f].length);
		body.failed |= page.texts[f].failed;
		text_clear(&page.texts[f]);
	}
	text_clear(&page.labels);
	if (is_whole) {
		text_put_family(&body, "warren_api_refused_credentials_total", "counter", "Requests with a wrong, expired or missing token.");
		text_printf(&body, "warren_api_refused_credentials_total %llu\n", (unsigned long long)api_audit_refusals(request->api->audit));
		api_measure_write(request->api->measure, &body);
		api_process_write(request->api->process, &body);
	}
	api_reply_send(request, MHD_HTTP_OK, api_reply_create(request, "text/plain; version=0.0.4; charset=utf-8", &body));
}
