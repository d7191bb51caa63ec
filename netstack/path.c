#include "netstack/path.h"

#include "netstack/black_hole.h"
#include "netstack/stream.h"

#define SECOND 1000000000ull
#define LEAST6 1280                /* RFC 8200, 5 */
#define MEMORY (600 * SECOND)      /* PMTU_RAISE_TIMER (RFC 8899, 5.1.1) */
#define PROOF_AGE (10 * SECOND)    /* a far end heard within this time */
#define PROOF_BYTES (64ull * 1024) /* and with so many bytes in flight is being sent full segments */

uint16_t netstack_path_limit(const struct netstack *stack, uint64_t now)
{
	return now < stack->path_limit_until ? stack->path_limit : 0;
}

uint16_t path_mtu(const struct netstack *stack, uint8_t family)
{
	uint16_t limit = netstack_path_limit(stack, stack->now);

	if (limit == 0)
		return stack->config.mtu;
	if (family == AF_INET6 && limit < LEAST6)
		limit = LEAST6;
	return limit < stack->config.mtu ? limit : stack->config.mtu;
}

/* Whether larger packets pass to or from another far end: it sent one, or acknowledges full segments. */
static bool disproves(const struct netstack_stream *stream, const struct netstack_stream *other, uint32_t packet, uint64_t now)
{
	uint32_t payload = black_hole_payload(other->local.family, packet);

	if (other->state != STREAM_OPEN || memcmp(other->remote.bytes, stream->remote.bytes, sizeof(other->remote.bytes)) == 0)
		return false;
	if (now - other->heard_at > PROOF_AGE || other->sender.rtt.backoff > 0)
		return false;
	return other->receiver.segment > payload || (other->sender.segment > payload && other->sender.rate.delivered > PROOF_BYTES);
}

void path_limit(const struct netstack_stream *stream, uint32_t packet, uint64_t now)
{
	struct netstack *stack = stream->stack;

	if (packet >= stack->config.mtu)
		return;
	for (const struct netstack_stream *other = stack->all_streams; other != NULL; other = other->next) {
		if (disproves(stream, other, packet, now))
			return;
	}
	if (now >= stack->path_limit_until || packet < stack->path_limit)
		stack->path_limit = (uint16_t)packet;
	stack->path_limit_until = now + MEMORY;
	for (struct netstack_stream *other = stack->all_streams; other != NULL; other = other->next)
		stream_shrink(other, path_mtu(stack, other->local.family));
}
