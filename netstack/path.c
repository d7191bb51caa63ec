#include "netstack/path.h"

#include <stdlib.h>

#include "netstack/packet/black_hole.h"
#include "netstack/stream.h"

#define SECOND 1000000000ull
#define LEAST6 1280                /* RFC 8200, 5 */
#define MEMORY (600 * SECOND)      /* PMTU_RAISE_TIMER (RFC 8899, 5.1.1) */
#define PROOF_AGE (10 * SECOND)    /* a far end heard within this time */
#define PROOF_BYTES (64ull * 1024) /* and with so many bytes in flight is being sent full segments */

#define FINDINGS 8 /* far ends; the oldest is forgotten for a new one */

struct path_finding {
	struct netstack_endpoint remote; /* the port is unused */
	uint16_t limit;
	uint64_t until;
};

struct stack_paths {
	struct path_finding list[FINDINGS];
};

uint16_t netstack_mtu(const struct netstack *stack)
{
	return stack->config.mtu;
}

void netstack_set_mtu(struct netstack *stack, uint16_t mtu)
{
	stack->config.mtu = mtu;
	for (struct netstack_stream *stream = stack->all_streams; stream != NULL; stream = stream->next)
		stream_shrink(stream, path_mtu(stack, &stream->remote));
}

uint16_t netstack_path_limit(const struct netstack *stack, uint64_t now)
{
	return now < stack->path_limit_until ? stack->path_limit : 0;
}

uint16_t netstack_path_refused(const struct netstack *stack)
{
	uint32_t above = black_hole_above(stack->path_limit);

	return above != 0 && above < stack->config.mtu ? (uint16_t)above : stack->config.mtu;
}

/* What was found with this far end, 0: nothing. */
static uint16_t limit_with(const struct netstack *stack, const struct netstack_endpoint *remote, uint64_t now)
{
	for (size_t i = 0; stack->paths != NULL && i < FINDINGS; i++) {
		const struct path_finding *finding = &stack->paths->list[i];
		if (now < finding->until && stack_is_same_host(&finding->remote, remote))
			return finding->limit;
	}
	return 0;
}

uint16_t path_mtu(const struct netstack *stack, const struct netstack_endpoint *remote)
{
	uint16_t limit = netstack_path_limit(stack, stack->now), with = limit_with(stack, remote, stack->now);

	if (limit == 0 || (with != 0 && with < limit))
		limit = with;
	if (limit == 0)
		return stack->config.mtu;
	if (remote->family == AF_INET6 && limit < LEAST6)
		limit = LEAST6;
	return limit < stack->config.mtu ? limit : stack->config.mtu;
}

/* Whether larger packets pass to or from this far end: it sent one, or acknowledges full segments. */
static bool disproves(const struct netstack_stream *stream, uint32_t packet, uint64_t now)
{
	uint32_t payload = black_hole_payload(stream->local.family, packet);

	if (stream->state != STREAM_OPEN || limit_with(stream->stack, &stream->remote, now) != 0)
		return false;
	if (now - stream->heard_at > PROOF_AGE || stream->sender.rtt.backoff > 0)
		return false;
	return stream->receiver.segment > payload || (stream->sender.segment > payload && stream->sender.rate.delivered > PROOF_BYTES);
}

static void remember(struct netstack *stack, const struct netstack_endpoint *remote, uint16_t packet, uint64_t now)
{
	if (stack->paths == NULL)
		stack->paths = calloc(1, sizeof(*stack->paths));
	if (stack->paths == NULL) /* this stream alone knows */
		return;
	struct path_finding *place = &stack->paths->list[0];
	for (size_t i = 0; i < FINDINGS; i++) {
		struct path_finding *finding = &stack->paths->list[i];
		if (finding->until != 0 && stack_is_same_host(&finding->remote, remote)) {
			place = finding;
			break;
		}
		if (finding->until < place->until)
			place = finding;
	}
	*place = (struct path_finding){ .remote = *remote, .limit = packet, .until = now + MEMORY };
}

/* The limit that two far ends have in common, 0: none. The larger one explains what both have seen. */
static uint16_t common_limit(const struct netstack *stack, uint64_t now)
{
	uint16_t limit = 0;
	size_t count = 0;

	for (size_t i = 0; stack->paths != NULL && i < FINDINGS; i++) {
		const struct path_finding *finding = &stack->paths->list[i];
		if (now >= finding->until)
			continue;
		count++;
		if (finding->limit > limit)
			limit = finding->limit;
	}
	return count >= 2 ? limit : 0;
}

static void limit_all(struct netstack *stack, uint64_t now)
{
	uint16_t limit = common_limit(stack, now);

	if (limit == 0)
		return;
	for (const struct netstack_stream *stream = stack->all_streams; stream != NULL; stream = stream->next) {
		if (disproves(stream, limit, now))
			return;
	}
	stack->path_limit = limit;
	stack->path_limit_until = now + MEMORY;
}

void path_limit(const struct netstack_stream *stream, uint32_t packet, uint64_t now)
{
	struct netstack *stack = stream->stack;

	if (packet >= stack->config.mtu)
		return;
	remember(stack, &stream->remote, (uint16_t)packet, now);
	limit_all(stack, now);
	for (struct netstack_stream *other = stack->all_streams; other != NULL; other = other->next)
		stream_shrink(other, path_mtu(stack, &other->remote));
}
