#include "tunnel/verdict.h"

#include "tunnel/carrier.h"
#include "tunnel/tunnel.h"

/* Initiations since the peer was last heard whose time for an answer has passed. */
static unsigned missed(const struct tunnel_peer *peer, const struct wireguard_peer_stats *stats)
{
	bool may_come = loop_now(peer->tunnel->context->loop) < peer->health.initiated_at + HEALTH_ANSWER_TIME;
	return stats->unanswered > 0 && may_come ? stats->unanswered - 1 : stats->unanswered;
}

static struct verdict judge(const struct tunnel_peer *peer)
{
	struct wireguard_peer_stats stats = tunnel_peer_stats(peer);
	const char *refusal = health_why_refused(peer);
	if (refusal != NULL)
		return (struct verdict){ TUNNEL_STALE, true, refusal };
	if (missed(peer, &stats) >= HEALTH_DOWN_AFTER)
		return (struct verdict){ TUNNEL_STALE, true, "the peer does not answer handshakes" };
	if (stats.last_handshake != 0)
		return (struct verdict){ TUNNEL_UP, false, "" };
	if (wireguard_peer_has_endpoint(peer->peer))
		return (struct verdict){ TUNNEL_HANDSHAKING, false, "" };
	if (!tunnel_peer_is_named(peer))
		return (struct verdict){ TUNNEL_HANDSHAKING, true, "waiting for the peer, which has no endpoint" };
	return (struct verdict){ TUNNEL_HANDSHAKING, true,
		                 peer->tunnel->carrier == NULL ? "waiting for the peer: the name of its endpoint is not resolved"
		                                               : "waiting for the peer: the outer tunnel's interface.dns has not resolved "
		                                                 "the name of its endpoint" };
}

static int rank(const struct verdict *verdict)
{
	static const int ranks[TUNNEL_STATE_COUNT] = { [TUNNEL_UP] = 3, [TUNNEL_HANDSHAKING] = 1, [TUNNEL_STALE] = 0 };
	return ranks[verdict->state] + !verdict->is_down;
}

static struct verdict judge_carrier(const struct tunnel *tunnel)
{
	bool may_open;
	const char *reason = carrier_why_closed(tunnel->carrier, &may_open);
	return (struct verdict){ may_open ? TUNNEL_HANDSHAKING : TUNNEL_STALE, !may_open, reason };
}

struct verdict verdict_of(const struct tunnel *tunnel)
{
	if (tunnel_is_isolated(tunnel))
		return (struct verdict){ TUNNEL_STALE, true, "silent, because this node is cut off from its fleet (placement.on_isolation)" };
	if (tunnel->carrier != NULL && !carrier_is_open(tunnel->carrier))
		return judge_carrier(tunnel);
	if (!tunnel_has_way(tunnel))
		return (struct verdict){ TUNNEL_DISABLED, true, tunnel->spec.enabled ? "no UDP socket" : "" };
	if (tunnel->peer_count == 0)
		return (struct verdict){ TUNNEL_HANDSHAKING, true, "no peer is configured" };
	struct verdict best = judge(tunnel->peers[0]);
	for (size_t i = 1; i < tunnel->peer_count && best.state != TUNNEL_UP; i++) {
		struct verdict other = judge(tunnel->peers[i]);
		if (rank(&other) > rank(&best))
			best = other;
	}
	return best;
}
