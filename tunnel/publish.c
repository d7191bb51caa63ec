#include "tunnel/publish.h"

#include "tunnel/condition.h"

/* The update interval of a busy tunnel's figures; after a rest they are updated at once. */
#define EVERY (50 * LOOP_MILLISECOND)

void publish_soon(struct tunnel *tunnel, uint64_t now)
{
	uint64_t at = tunnel->published_at + EVERY;
	if (at < tunnel->publish_at)
		tunnel->publish_at = at;
	publish_tick(tunnel, now);
}

/* Adds the difference since the last update, because the counters continue from those of an earlier worker. */
static void add_new(counter *to, uint64_t figure, uint64_t *counted)
{
	if (figure != *counted)
		counter_add(to, figure - *counted);
	*counted = figure;
}

void publish_socket(struct tunnel *tunnel)
{
	if (tunnel->udp == NULL && tunnel->carrier == NULL)
		return;
	const struct udp_counts *counts = tunnel->udp != NULL ? udp_socket_counts(tunnel->udp) : carrier_counts(tunnel->carrier);
	struct counters_tunnel *counters = tunnel->counters;
	add_new(&counters->wire_bytes_sent, counts->bytes_sent, &tunnel->counted.bytes_sent);
	add_new(&counters->wire_bytes_received, counts->bytes_received, &tunnel->counted.bytes_received);
	add_new(&counters->packets_sent, counts->datagrams_sent, &tunnel->counted.datagrams_sent);
	add_new(&counters->packets_received, counts->datagrams_received, &tunnel->counted.datagrams_received);
	add_new(&counters->dropped[COUNTERS_DROP_SEND], counts->refused, &tunnel->counted.refused);
}

void publish_peer(struct tunnel_peer *peer, uint64_t now)
{
	struct wireguard_peer_stats stats;
	wireguard_peer_stats(peer->peer, &stats, now);
	add_new(&peer->counters->bytes_sent, stats.bytes_sent, &peer->counted_sent);
	add_new(&peer->counters->bytes_received, stats.bytes_received, &peer->counted_received);
	if (stats.round_trip > 0)
		counter_set(&peer->counters->round_trip_us, stats.round_trip / 1000);
}

static void publish_rates(struct tunnel *tunnel, uint64_t now)
{
	struct counters_tunnel *counters = tunnel->counters;
	uint64_t seconds = (now - tunnel->rate_at) / LOOP_SECOND;
	if (seconds == 0)
		return;
	tunnel->rate_at += seconds * LOOP_SECOND;
	counter_set(&counters->throughput_sent, throughput_pass(&tunnel->rate_sent, seconds, counter_read(&counters->bytes_sent)));
	counter_set(&counters->throughput_received, throughput_pass(&tunnel->rate_received, seconds, counter_read(&counters->bytes_received)));
}

void publish_tick(struct tunnel *tunnel, uint64_t now)
{
	if (tunnel->publish_at > now)
		return;
	tunnel->publish_at = LOOP_NEVER;
	tunnel->published_at = now;
	publish_socket(tunnel);
	uint64_t drops[WIREGUARD_DROP_COUNT];
	wireguard_device_take_drops(tunnel->device, drops);
	for (unsigned i = 0; i < WIREGUARD_DROP_COUNT; i++)
		counter_add(&tunnel->counters->dropped[i], drops[i]);
	for (size_t i = 0; i < tunnel->peer_count; i++)
		publish_peer(tunnel->peers[i], now);
	publish_rates(tunnel, now);
	assessment_review(tunnel);
	bool flowing = counter_read(&tunnel->counters->throughput_sent) != 0 || counter_read(&tunnel->counters->throughput_received) != 0 ||
	               counter_read(&tunnel->counters->bytes_sent) != tunnel->rate_sent.counted ||
	               counter_read(&tunnel->counters->bytes_received) != tunnel->rate_received.counted;
	if (condition_tick(tunnel, now))
		tunnel->publish_at = now + LOOP_SECOND;
	if (flowing)
		tunnel->publish_at = tunnel->rate_at + LOOP_SECOND > now ? tunnel->rate_at + LOOP_SECOND : now + EVERY;
}
